"""The labels below pictures."""

from __future__ import annotations

import dataclasses

import pytest
from PIL import Image, ImageChops, ImageDraw

from bot.i18n.translate import LANGUAGES, translate
from bot.images.compose import GAP, labelled
from bot.images.labels import draw_label, load_fonts, missing
from bot.images.picture import Picture
from bot.styles import SHIPPED, SHIPPED_FOR_MODEL, Styles

DEJAVU, NOTO = FONTS = load_fonts()
LABELS = [
    *(translate(locale, f"img2img.{key}") for locale in LANGUAGES for key in ("before", "after")),
    *(name for path in (SHIPPED, *SHIPPED_FOR_MODEL.values()) for name in Styles(path).names),
    "0.123456789",
]


def drawn(label: str, *, number: int = 3, width: float = 400) -> Image.Image:
    image = Image.new("L", (400, 40))
    draw_label(ImageDraw.Draw(image), (200, 20), label, number=number, width=width, fonts=FONTS)
    return image


@pytest.mark.parametrize("label", sorted(set(LABELS)))
def test_each_label_of_the_product_has_all_its_characters(label: str) -> None:
    assert any(not missing(font, label) for font in FONTS)


@pytest.mark.parametrize("label", ["Ölkreide", "señal", "Łódź", "Ğ", "Эскиз", "Ω", "– …", "№"])
def test_letters_of_europe_are_in_the_first_font(label: str) -> None:
    assert missing(DEJAVU, label) == set()


@pytest.mark.parametrize(
    "label", ["水彩画", "すいさい", "スイサイ", "薔薇と檸檬", "強さ：０．３～０．５", "油彩 B é"]
)
def test_japanese_labels_are_in_the_second_font(label: str) -> None:
    assert missing(DEJAVU, label)
    assert missing(NOTO, label) == set()


@pytest.mark.parametrize(
    ("label", "as_if"),
    [
        ("🎨", "3"),
        ("🎨 ", "3"),
        ("🎨 Paint 🖌️ it", "3. Paint it"),
        ("수채화", "3"),
        ("水彩 🎨", "3. 水彩"),
        # Each character is in one of the fonts only.
        ("水彩 ☀", "3. 水彩"),
        # A family of three, joined by U+200D.
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "3"),
        ("Water\u200bcolour\u00ad", "Watercolour"),
        ("❤\ufe0f", "❤"),
        ("a\u0301", "á"),
    ],
)
def test_a_character_of_no_font_is_not_drawn_as_a_box(label: str, as_if: str) -> None:
    assert drawn(label).tobytes() == drawn(as_if).tobytes()


@pytest.mark.parametrize(
    ("label", "width", "as_if"),
    [
        ("Watercolour", 150, "Watercolour"),
        ("Watercolour", 110, "Waterc…"),
        ("Watercolour on old paper", 175, "Watercolour…"),
        ("水彩画と油彩画", 119, "水彩画…"),
        ("Watercolour 🎨", 105, "3. Wat…"),
    ],
)
def test_a_label_is_shortened_to_its_width(label: str, width: float, as_if: str) -> None:
    short = drawn(label, width=width)
    assert short.tobytes() == drawn(as_if).tobytes()
    left, _, right, _ = short.getbbox() or (0, 0, 0, 0)
    assert 0 < right - left <= width


def test_a_long_label_stays_below_its_picture() -> None:
    red = Picture(Image.new("RGB", (96, 64), "red").tobytes(), 96, 64)
    sheet = labelled([(red, "Watercolour on old paper"), (red, "B"), (red, "C")], 3)
    image = Image.frombytes("RGB", (sheet.width, sheet.height), sheet.pixels)
    below = image.crop((0, GAP + 64, sheet.width, sheet.height))
    others = labelled([(red, " "), (red, "B"), (red, "C")], 3)
    expected = Image.frombytes("RGB", (others.width, others.height), others.pixels)
    changed = ImageChops.difference(below, expected.crop((0, GAP + 64, *expected.size)))
    left, _, right, _ = changed.getbbox() or (0, 0, 0, 0)
    assert GAP <= left < right <= GAP + 96


def test_a_sheet_in_japanese_has_its_labels() -> None:
    red = Picture(Image.new("RGB", (96, 64), "red").tobytes(), 96, 64)
    labels = [translate("ja", "img2img.before"), translate("ja", "img2img.after")]
    sheet = labelled([(red, label) for label in labels], 2)
    boxes = labelled([(red, "\uffff")] * 2, 2)
    latin = labelled([(red, translate("en", f"img2img.{key}")) for key in ("before", "after")], 2)
    assert len({sheet.pixels, boxes.pixels, latin.pixels}) == 3
    assert dataclasses.replace(sheet, pixels=b"") == dataclasses.replace(latin, pixels=b"")
