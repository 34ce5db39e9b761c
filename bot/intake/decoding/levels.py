"""Brings every pixel mode to 8 bits a channel."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from PIL import Image, ImageChops, ImageCms, ImageMath

from bot.intake.decoding.png import PngFile


def to_8_bits(image: Image.Image) -> Image.Image:
    """`image` in a mode that can be resampled: L, LA, RGB, RGBA or CMYK."""
    mode = image.mode
    if mode.startswith("I;16"):
        return _scaled(image.convert("I"), 0, 65535)
    if mode == "F":
        image = _finite(image)
    if mode in ("I", "F"):
        # These modes define no white level, so the used range becomes black to white.
        low, high = image.getextrema()
        assert isinstance(low, (int, float))
        assert isinstance(high, (int, float))
        return _scaled(image, low, high)
    if mode == "LAB":
        # `Image.convert` does not support LAB.
        to_srgb = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        converted = ImageCms.applyTransform(image, to_srgb)
        assert converted is not None
        return converted
    if mode in ("L", "LA", "RGB", "RGBA", "CMYK") and "transparency" not in image.info:
        return image
    if mode in ("1", "L") and not image.has_transparency_data:
        return image.convert("L")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _scaled(image: Image.Image, low: float, high: float) -> Image.Image:
    scale = 255 / (high - low) if high > low else 0.0
    # The conversion truncates; adding a half makes it round.
    return image.point(lambda value: value * scale + (0.5 - low * scale)).convert("L")


def _finite(image: Image.Image) -> Image.Image:
    """`image` (F) with infinities at the ends of its finite range, and its lowest value for NaN."""
    finite = _where(image, lambda pixels: pixels - pixels == 0)
    box = finite.getbbox()
    if box is None:
        return Image.new("F", image.size)
    if finite.getextrema() == (255, 255):
        return image
    row = finite.crop((0, box[1], image.width, box[1] + 1)).getbbox()
    assert row is not None
    known = image.getpixel((row[0], box[1]))
    assert isinstance(known, float)
    low, high = Image.composite(image, Image.new("F", image.size, known), finite).getextrema()
    for values, value in (
        (_where(image, lambda pixels: pixels != pixels), low),
        (_where(image, lambda pixels: pixels < low), low),
        (_where(image, lambda pixels: pixels > high), high),
    ):
        image.paste(value, mask=values)
    return image


def with_transparent_colour(image: Image.Image, file: PngFile) -> Image.Image:
    """`image`, loaded from `file` and of 8 bits a channel, with the transparent colour as alpha."""
    assert file.transparent is not None
    clear = _clear_pixels(file, file.transparent)
    image = image.convert("LA" if image.mode == "L" else "RGBA")
    image.putalpha(ImageChops.invert(clear.convert("L")))
    return image


def _clear_pixels(file: PngFile, key: tuple[int, ...]) -> Image.Image:
    if file.depth < 16:
        # Lower depths are scaled to 8 bits when they are loaded.
        scale = 255 // (2**file.depth - 1)
        return _equal(_loaded(file), [value * scale for value in key])
    if len(key) == 1:
        wide = _loaded(file).convert("I")
        return _where(wide, lambda pixels: pixels == key[0])
    # Pillow reads the high bytes of 16-bit colours, which are big-endian in PNG. Read as
    # little-endian, it gives their low bytes.
    high = _equal(_loaded(file, "RGB;16B"), [value >> 8 for value in key])
    low = _equal(_loaded(file, "RGB;16L"), [value & 255 for value in key])
    return ImageChops.logical_and(high, low)


def _loaded(file: PngFile, raw_mode: str | None = None) -> Image.Image:
    image = Image.open(BytesIO(file.data), formats=("PNG",))
    if raw_mode is not None:
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
    image.load()
    return image


def _equal(image: Image.Image, colour: list[int]) -> Image.Image:
    bands = image.convert("L").split() if image.mode == "1" else image.split()
    found = Image.new("1", image.size, 1)
    for band, value in zip(bands, colour, strict=True):
        table = [255 if level == value else 0 for level in range(256)]
        found = ImageChops.logical_and(
            found, band.point(table).convert("1", dither=Image.Dither.NONE)
        )
    return found


def _where(image: Image.Image, test: Callable[[Any], Any]) -> Image.Image:
    """Mode 1: where `test` holds for the pixels of `image` (I or F)."""
    found: Image.Image = ImageMath.lambda_eval(lambda args: test(args["image"]), image=image)
    return (
        found.point(lambda value: value * 255).convert("L").convert("1", dither=Image.Dither.NONE)
    )
