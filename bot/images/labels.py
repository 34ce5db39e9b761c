"""Draws the labels of pictures, in the font that has their characters."""

from __future__ import annotations

import unicodedata
from importlib.resources import files
from io import BytesIO

from PIL import ImageDraw
from PIL.ImageFont import FreeTypeFont, truetype

# Pillow's own font has ASCII only. The first of these has the letters of Europe, the second one
# kana and kanji.
FONTS = ("DejaVuSans.ttf", "NotoSansCJKjp-JISX0208.otf")
# Legible where Discord shows a sheet at half its size.
SIZE = 24
COLOUR = "#f2f3f5"
# No font has this character: https://www.unicode.org/faq/private_use.html#nonchar6
NONCHARACTER = "\uffff"
# Follows a character that is to be drawn in colour. DejaVu Sans draws it as a box.
EMOJI_SELECTOR = "\ufe0f"
# Characters without a glyph, such as the joiner within an emoji:
# https://www.unicode.org/reports/tr44/#General_Category_Values
FORMAT = "Cf"
ELLIPSIS = "…"


def load_fonts() -> tuple[FreeTypeFont, ...]:
    """The fonts of labels. They must be used in one thread."""
    folder = files("bot.images").joinpath("fonts")
    return tuple(truetype(BytesIO(folder.joinpath(name).read_bytes()), SIZE) for name in FONTS)


def draw_label(
    draw: ImageDraw.ImageDraw,
    middle: tuple[float, float],
    label: str,
    *,
    number: int,
    width: float,
    fonts: tuple[FreeTypeFont, ...],
) -> None:
    """Draw the label of picture `number` around `middle`, at most `width` pixels wide.

    The whole label is in one font, the one that lacks the fewest of its characters. Characters that
    this font does not have, such as emoji, are left out; the number is then written before the
    others. A label that is too wide ends with an ellipsis.
    """
    label = unicodedata.normalize("NFC", _visible(label))
    font = min(fonts, key=lambda each: len(missing(each, label)))
    if absent := missing(font, label):
        rest = "".join(character for character in label if character not in absent)
        label = " ".join([f"{number}.", *rest.split()]) if rest.strip() else str(number)
    draw.text(middle, _shortened(label, font, width), fill=COLOUR, font=font, anchor="mm")


def _visible(text: str) -> str:
    return "".join(
        character
        for character in text
        if character != EMOJI_SELECTOR and unicodedata.category(character) != FORMAT
    )


def _shortened(label: str, font: FreeTypeFont, width: float) -> str:
    shown, end = label, len(label)
    while end and font.getlength(shown) > width:
        end -= 1
        shown = label[:end].rstrip() + ELLIPSIS
    return shown


def missing(font: FreeTypeFont, text: str) -> set[str]:
    """The characters of the text that the font does not have."""
    box = _drawn(font, NONCHARACTER)
    return {character for character in set(text) if _drawn(font, character) == box}


def _drawn(font: FreeTypeFont, text: str) -> tuple[tuple[int, int], list[int]]:
    mask = font.getmask(text)
    return mask.size, list(mask)
