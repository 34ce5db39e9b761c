"""The labels below pictures."""

from __future__ import annotations

import dataclasses

import pytest
from PIL import Image, ImageDraw

from bot.i18n.translate import LANGUAGES, translate
from bot.images.compose import labelled
from bot.images.labels import draw_label, load_fonts, missing
from bot.images.picture import Picture
from bot.styles import SHIPPED, SHIPPED_FOR_MODEL, Styles

DEJAVU, NOTO = FONTS = load_fonts()
LABELS = [
    *(translate(locale, f"img2img.{key}") for locale in LANGUAGES for key in ("before", "after")),
    *(name for path in (SHIPPED, *SHIPPED_FOR_MODEL.values()) for name in Styles(path).names),
    "0.123456789",
]


def drawn(label: str, *, number: int = 3) -> Image.Image:
    image = Image.new("L", (400, 40))
    draw_label(ImageDraw.Draw(image), (200, 20), label, number=number, fonts=FONTS)
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
        ("❤\ufe0f", "❤"),
        ("a\u0301", "á"),
    ],
)
def test_a_character_of_no_font_is_not_drawn_as_a_box(label: str, as_if: str) -> None:
    assert drawn(label).tobytes() == drawn(as_if).tobytes()


def test_a_sheet_in_japanese_has_its_labels() -> None:
    red = Picture(Image.new("RGB", (96, 64), "red").tobytes(), 96, 64)
    labels = [translate("ja", "img2img.before"), translate("ja", "img2img.after")]
    sheet = labelled([(red, label) for label in labels], 2)
    boxes = labelled([(red, "\uffff")] * 2, 2)
    latin = labelled([(red, translate("en", f"img2img.{key}")) for key in ("before", "after")], 2)
    assert len({sheet.pixels, boxes.pixels, latin.pixels}) == 3
    assert dataclasses.replace(sheet, pixels=b"") == dataclasses.replace(latin, pixels=b"")
