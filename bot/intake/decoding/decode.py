"""Decodes bytes to upright sRGB pixels of the model's size. Runs in the sandbox only."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TypeVar

import pillow_heif
from PIL import (
    AvifImagePlugin,
    ExifTags,
    Image,
    ImageChops,
    MpoImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from bot.images.picture import Picture
from bot.intake.decoding import colour
from bot.intake.decoding.bmp import bitfields_of, load_bitfields
from bot.intake.decoding.complete import is_cut_off
from bot.intake.decoding.frames import load_first_visible, with_alpha_flag
from bot.intake.decoding.geometry import Size, fit
from bot.intake.decoding.isobmff import nclx_of, with_known_brand
from bot.intake.decoding.jpeg import load_without_end
from bot.intake.decoding.levels import to_8_bits, with_transparent_colour
from bot.intake.decoding.png import PngFile, read_png
from bot.intake.decoding.signatures import TIFF_VARIANT, format_of, unsupported_format
from bot.intake.decoding.tiff import has_wide_planes, use_native_order, with_black_as_zero
from bot.intake.decoding.variants import unreadable_variant
from bot.intake.errors import (
    BrokenPicture,
    IncompletePicture,
    NotAPicture,
    NotTransparent,
    PictureError,
    TooManyPixels,
    UnsupportedFormat,
)

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

JPEG_FACTOR = 4
"""JPEG files may have so many times `max_pixels`, because they are scaled down while decoding."""

T = TypeVar("T")

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
    data: bytes,
    *,
    pixels: int,
    multiple: int,
    sizes: Sequence[Size] = (),
    max_pixels: int,
    background: tuple[int, int, int],
) -> Picture:
    """The first visible frame of `data` in sRGB, resized to the size that `geometry.fit` gives.

    `max_pixels` limits the source, `pixels` the result. Transparent parts show `background`.

    Raises:
        PictureError: one of its subclasses.
        MemoryError: the memory limit is too low for it.
    """
    return _decode(
        data, pixels, multiple, sizes, max_pixels, lambda decoder: decoder.picture(background)
    )


def _decode(
    data: bytes,
    pixels: int,
    multiple: int,
    sizes: Sequence[Size],
    max_pixels: int,
    read: Callable[[_Decoder], T],
) -> T:
    if (name := unsupported_format(data)) is not None:
        raise UnsupportedFormat(format=name)
    if format_of(data) is None:
        raise NotAPicture
    # Pillow warns at this number, and a warning is an error here. The exact limits are below.
    Image.MAX_IMAGE_PIXELS = max_pixels * JPEG_FACTOR
    try:
        with warnings.catch_warnings():
            # Other warnings say only that untrusted bytes are malformed.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return read(_Decoder(data, pixels, multiple, sizes, max_pixels))
    except (PictureError, MemoryError):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise TooManyPixels(megapixels=max_pixels / 1e6) from None
    except Exception:  # noqa: BLE001 - decoders raise many types for damaged bytes
        if is_cut_off(data):
            raise IncompletePicture from None
        if (variant := unreadable_variant(data)) is not None:
            raise UnsupportedFormat(format=variant) from None
        raise BrokenPicture from None


def decode_mask(data: bytes, *, size: Size, only_transparent: bool, max_pixels: int) -> bytes:
    """The mask in `data`: 8-bit grey of this size, row-major; white is redrawn.

    Of a picture with a transparent region, that region is white and the rest black. Of an opaque
    picture, it is the brightness.

    Raises:
        NotTransparent: `only_transparent` is set, and the picture is opaque.
        PictureError: another one of its subclasses.
        MemoryError: the memory limit is too low for it.
    """

    def mask(decoder: _Decoder) -> bytes:
        image, _ = decoder.upright()
        if "A" in image.getbands() and image.getchannel("A").getextrema()[0] != 255:
            grey = ImageChops.invert(image.getchannel("A"))
        elif only_transparent:
            raise NotTransparent
        else:
            grey = image.convert("L")
        return grey.resize(size, Image.Resampling.BILINEAR).tobytes()

    # Any size of the same area suffices: the mask is resized once more.
    return _decode(data, size[0] * size[1], 1, (size,), max_pixels, mask)


class _Decoder:
    def __init__(
        self,
        data: bytes,
        pixels: int,
        multiple: int,
        sizes: Sequence[Size],
        max_pixels: int,
    ) -> None:
        self._format = format_of(data)
        self._png = read_png(data) if self._format == "PNG" else PngFile()
        self._data = self._png.data or with_alpha_flag(with_known_brand(data))
        self._pixels = pixels
        self._multiple = multiple
        self._sizes = sizes
        self._max_pixels = max_pixels

    def picture(self, background: tuple[int, int, int]) -> Picture:
        image, profile = self.upright()
        if image.mode in ("LA", "RGBA"):
            opacity = image.getchannel("A")
            colours = colour.to_srgb(image.convert(image.mode[:-1]), profile)
            image = Image.composite(colours, Image.new("RGB", image.size, background), opacity)
        else:
            image = colour.to_srgb(image, profile)
        return Picture(image.tobytes(), image.width, image.height)

    def upright(self) -> tuple[Image.Image, bytes | None]:
        """The picture in 8 bits at the fitted size, and its colour profile."""
        image = self._load()
        profile = self._profile(image)
        turn = _TRANSPOSE.get(_orientation(image))
        # Of a turned TIFF, Pillow gives the upright size and loads the upright pixels.
        size = fit(*image.size, self._pixels, self._multiple, self._sizes)
        image = to_8_bits(image)
        if self._png.transparent is not None:
            image = with_transparent_colour(image, self._png)
        # Resized before any other step, because memory holds few copies of 50 megapixels.
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
        if turn is not None:
            image = image.transpose(turn)
        return image, profile

    def _load(self) -> Image.Image:
        if self._format == "TIFF" and has_wide_planes(self._data):
            raise UnsupportedFormat(format=TIFF_VARIANT)
        if self._format == "BMP" and (file := bitfields_of(self._data)) is not None:
            self._check(*file.size, self._max_pixels)
            return _without_unused_alpha(load_bitfields(self._data, file))
        image: Image.Image = Image.open(BytesIO(self._data), formats=FORMATS)
        self._prepare(image)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            use_native_order(image)
        try:
            image = load_first_visible(image)
        except OSError:
            if self._format != "JPEG":
                raise
            return load_without_end(self._data, self._prepare)
        if self._format == "BMP":
            return _without_unused_alpha(image)
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            return with_black_as_zero(image)
        return image

    def _prepare(self, image: Image.Image) -> None:
        width, height = image.size
        limit = self._max_pixels
        if self._format == "JPEG" and width * height <= limit * JPEG_FACTOR:
            wanted = fit(width, height, self._pixels, self._multiple, self._sizes)
            # The JPEG decoder scales down while decoding, to at least twice the final size.
            image.draft(None, (2 * wanted[0], 2 * wanted[1]))
            width, height = image.size
        self._check(width, height, limit)

    def _check(self, width: int, height: int, limit: int) -> None:
        """Apply the limits of a picture's size, before its pixels are loaded."""
        if width * height > limit:
            raise TooManyPixels(megapixels=limit / 1e6)
        fit(width, height, self._pixels, self._multiple, self._sizes)

    def _profile(self, image: Image.Image) -> bytes | None:
        """The ICC profile of the picture, or one made from the codes that name its colours."""
        if self._format == "PNG":
            # The order of precedence of PNG, third edition, section 4.3.
            png = self._png
            if png.cicp is not None:
                return colour.profile_of_codes(*png.cicp)
            if png.profile is not None or png.srgb:
                return png.profile
            return colour.profile_of_gamma(png.gamma, png.chromaticities)
        profile: bytes | None = image.info.get("icc_profile")
        if not profile and self._format in ("AVIF", "HEIF"):
            codes = nclx_of(self._data)
            return None if codes is None else colour.profile_of_codes(*codes)
        return profile


def _orientation(image: Image.Image) -> int:
    """The tag's value in EXIF; 1 (upright) where the metadata is damaged or has none.

    Like browsers, this ignores XMP, which `Image.getexif` reads as well.
    """
    exif = image.info.get("exif")
    if not exif:
        return 1
    try:
        tags = Image.Exif()
        tags.load(exif)
        return int(tags.get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - the parser raises many types for damaged metadata
        return 1


def _without_unused_alpha(image: Image.Image) -> Image.Image:
    """Opaque if alpha is zero everywhere, as browsers show such BMP files."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        return image.convert("RGB")
    return image
