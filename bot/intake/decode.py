"""Decodes bytes to upright sRGB pixels of the model's size. Runs in the sandbox only."""

from __future__ import annotations

import warnings
from io import BytesIO

import pillow_heif
from PIL import (
    AvifImagePlugin,
    ExifTags,
    Image,
    ImageCms,
    MpoImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from bot.images.picture import Picture
from bot.intake.errors import BrokenPicture, NotAPicture, TooManyPixels
from bot.intake.geometry import fit

# All plugins are imported here, not on first use: the sandbox cannot open a file (or import a
# module) once it has started. `Image.open` calls `preinit` first.
Image.preinit()
_PLUGINS = (
    AvifImagePlugin,
    MpoImagePlugin,  # the variant of JPEG that two-lens cameras and some phones write
    TiffImagePlugin,
    WebPImagePlugin,
)
pillow_heif.register_heif_opener(thumbnails=False)
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "HEIF", "BMP", "TIFF")

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that makes a picture upright, per value of the tag Orientation (Exif 3.0,
section 4.6.5.1.6)."""


def decode(
    data: bytes, *, pixels: int, multiple: int, max_pixels: int, background: tuple[int, int, int]
) -> Picture:
    """The first frame of `data` in sRGB, resized to the size that `geometry.fit` gives.

    `max_pixels` limits the source, `pixels` the result. Transparent parts show `background`.

    Raises:
        NotAPicture, BrokenPicture, TooManyPixels, TooLong: see `bot.intake.errors`.
        Exception: decoders raise many types for damaged bytes.
    """
    Image.MAX_IMAGE_PIXELS = max_pixels
    with warnings.catch_warnings():
        # Other warnings say only that untrusted bytes are malformed.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
            return _to_picture(image, pixels, multiple, background)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise TooManyPixels(megapixels=max_pixels / 1e6) from None
        except UnidentifiedImageError:
            if _has_known_signature(data):
                raise BrokenPicture from None
            raise NotAPicture from None


def _has_known_signature(data: bytes) -> bool:
    accepts = [Image.OPEN[name][1] for name in FORMATS]
    return any(accept is not None and accept(data[:16]) is True for accept in accepts)


def _to_picture(
    image: Image.Image, pixels: int, multiple: int, background: tuple[int, int, int]
) -> Picture:
    size = fit(*image.size, pixels, multiple)
    if image.format in ("JPEG", "MPO"):
        # The JPEG decoder scales down while decoding, to at least twice the final size.
        image.draft(None, (2 * size[0], 2 * size[1]))
    profile = image.info.get("icc_profile")
    image.load()
    # Pillow applies a TIFF's orientation while loading, which may swap width and height.
    if image.format == "TIFF":
        size = fit(*image.size, pixels, multiple)
    turn = _TRANSPOSE.get(_orientation(image))
    # Resized before any other step, because memory holds few copies of 50 megapixels.
    image = _resizable(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if turn is not None:
        image = image.transpose(turn)
    if image.mode in ("LA", "RGBA"):
        opacity = image.getchannel("A")
        colours = _to_srgb(image.convert(image.mode[:-1]), profile)
        image = Image.composite(colours, Image.new("RGB", image.size, background), opacity)
    else:
        image = _to_srgb(image, profile)
    return Picture(image.tobytes(), image.width, image.height)


def _orientation(image: Image.Image) -> int:
    """The tag's value; 1 (upright) where the metadata is damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - the parser raises many types for damaged metadata
        return 1


def _resizable(image: Image.Image) -> Image.Image:
    """8 bits a channel, in a mode that can be resampled: L, LA, RGB, RGBA or CMYK."""
    mode = image.mode
    if mode.startswith("I;16"):
        return _scaled_to_8_bits(image.convert("I"), 0, 65535)
    if mode in ("I", "F"):
        # These modes define no white level, so the used range becomes black to white.
        low, high = image.getextrema()
        assert isinstance(low, (int, float))
        assert isinstance(high, (int, float))
        return _scaled_to_8_bits(image, low, high)
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


def _scaled_to_8_bits(image: Image.Image, low: float, high: float) -> Image.Image:
    scale = 255 / (high - low) if high > low else 0.0
    # The conversion truncates; adding a half makes it round.
    return image.point(lambda value: value * scale + (0.5 - low * scale)).convert("L")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """`image` (L, RGB or CMYK) as RGB. A profile that is damaged or for another mode is ignored,
    as in browsers."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            space = source.profile.xcolor_space.strip()
            if space == "RGB" and image.mode == "L":
                image = image.convert("RGB")
            if {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}.get(space) == image.mode:
                target = ImageCms.createProfile("sRGB")
                converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
                assert converted is not None
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return image.convert("RGB")
