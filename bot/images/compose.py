"""Composes pictures: labelled grids, enlarged copies, thumbnails."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from bot.images.labels import draw_label, load_fonts
from bot.images.picture import Picture

GAP = 8
LABEL_HEIGHT = 40
# Discord shows small pictures in their own size, which is hard to see.
SHOWN_SIDE = 384
BACKGROUND = "#1e1f26"
# The part that would be redrawn.
TINT = "#ff2fd0"


def _image(picture: Picture) -> Image.Image:
    return Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)


def _picture(image: Image.Image) -> Picture:
    return Picture(image.tobytes(), *image.size)


def labelled(pictures: Sequence[tuple[Picture, str]], columns: int) -> Picture:
    """Pictures of one size in rows of `columns`, each with its label below, which is at most as
    wide as its picture."""
    width, height = pictures[0][0].width, pictures[0][0].height
    rows = -(-len(pictures) // columns)
    across, down = width + GAP, height + LABEL_HEIGHT + GAP
    sheet = Image.new("RGB", (columns * across + GAP, rows * down + GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    fonts = load_fonts()
    for index, (picture, label) in enumerate(pictures):
        x = GAP + index % columns * across
        y = GAP + index // columns * down
        sheet.paste(_image(picture), (x, y))
        middle = (x + width / 2, y + height + LABEL_HEIGHT / 2)
        draw_label(draw, middle, label, number=index + 1, width=width, fonts=fonts)
    return _picture(sheet)


def enlarged(picture: Picture, factor: int) -> Picture:
    """The picture `factor` times as wide and high, by Lanczos resampling, which adds no detail."""
    size = (picture.width * factor, picture.height * factor)
    return _picture(_image(picture).resize(size, Image.Resampling.LANCZOS))


def tinted(picture: Picture, mask: bytes) -> Picture:
    """The picture with a tint where the mask is white; `mask` is 8-bit grey of its size."""
    image = _image(picture)
    tint = Image.blend(image, Image.new("RGB", image.size, TINT), 0.6)
    return _picture(Image.composite(tint, image, Image.frombytes("L", image.size, mask)))


def shown_factor(width: int, height: int) -> int:
    """The factor by which a picture is enlarged for posting: 1 except for small models."""
    return -(-SHOWN_SIDE // max(width, height))


def shown(picture: Picture) -> Picture:
    """The picture as it is posted: its longer side has at least `SHOWN_SIDE` pixels."""
    factor = shown_factor(picture.width, picture.height)
    return picture if factor == 1 else enlarged(picture, factor)


def thumbnail(picture: Picture, side: int) -> Picture:
    """A copy with no side longer than `side` and the same aspect ratio."""
    image = _image(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _picture(image)
