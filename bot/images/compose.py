"""Pictures beside each other: a labelled grid, before and after, a larger copy."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from bot.images.picture import Picture

GAP = 8
LABEL_HEIGHT = 28
# Discord shows a small picture as small as it is; a person wants to look at it.
SHOWN_SIDE = 384
BACKGROUND = "#1e1f26"
INK = "#f2f3f5"


def _image(picture: Picture) -> Image.Image:
    return Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)


def _picture(image: Image.Image) -> Picture:
    return Picture(image.tobytes(), *image.size)


def labelled(pictures: Sequence[tuple[Picture, str]], columns: int) -> Picture:
    """Pictures of one size in rows of `columns`, each with its label below."""
    width, height = pictures[0][0].width, pictures[0][0].height
    rows = -(-len(pictures) // columns)
    across, down = width + GAP, height + LABEL_HEIGHT + GAP
    sheet = Image.new("RGB", (columns * across + GAP, rows * down + GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=16)
    for number, (picture, label) in enumerate(pictures):
        x = GAP + number % columns * across
        y = GAP + number // columns * down
        sheet.paste(_image(picture), (x, y))
        middle = (x + width / 2, y + height + LABEL_HEIGHT / 2)
        draw.text(middle, label, fill=INK, font=font, anchor="mm")
    return _picture(sheet)


def enlarged(picture: Picture, factor: int) -> Picture:
    """`factor` times as wide and high, by Lanczos resampling: smooth, with no new detail."""
    size = (picture.width * factor, picture.height * factor)
    return _picture(_image(picture).resize(size, Image.Resampling.LANCZOS))


def shown_factor(width: int, height: int) -> int:
    """How many times larger a picture is posted than it was made: 1 but for small models'."""
    return -(-SHOWN_SIDE // max(width, height))


def shown(picture: Picture) -> Picture:
    """The picture as it is posted, its longer side at least `SHOWN_SIDE` pixels."""
    factor = shown_factor(picture.width, picture.height)
    return picture if factor == 1 else enlarged(picture, factor)


def thumbnail(picture: Picture, side: int) -> Picture:
    """No side longer than `side`, the shape kept."""
    image = _image(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _picture(image)
