"""The odd pictures that the tests generate look the same in ImageMagick or libvips.

Needs Debian's packages `imagemagick` and `libvips-tools`; `pytest -m reference` runs it. The files
for which neither of them agrees are listed with the reason.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tifffile
from PIL import Image

from bot.intake import Intake
from tests.support.intake import reference
from tests.support.intake.pictures import (
    QUARTERS,
    encoded,
    grey_profile,
    odd_pictures,
    quarters,
    rgb_profile,
)
from tests.support.intake.raw_pictures import (
    GREY,
    GREY_ALPHA,
    TRUECOLOUR,
    TRUECOLOUR_ALPHA,
    bmp,
    chunk,
    png,
    quarters_png,
    with_brands,
    with_nclx,
)
from tests.support.pictures import photo

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.reference,
    pytest.mark.skipif(
        reference.MAGICK is None or reference.VIPS is None,
        reason="needs Debian's packages imagemagick and libvips-tools",
    ),
]

SIZE = (192, 128)
LEAST_DECIBELS = 30.0

DEVIATIONS = {
    "float": "They clip below 0 and above 1; the intake shows the range that is used.",
    "lab": "Both take CIELAB as under D65; Pillow and TIFF files of photo editors mean D50.",
    "moving AVIF": "Debian's versions cannot read animated AVIF.",
    "PNG, cICP P3": "Debian's versions are older than the chunk cICP.",
    "PNG, cICP PQ": "Debian's versions are older than the chunk cICP.",
    "PNG, cHRM P3": "Both ignore cHRM.",
    "AVIF, nclx P3": "Both ignore the primaries in nclx.",
    "HEIF, nclx P3": "Both ignore the primaries in nclx.",
    "BMP, unused alpha": "ImageMagick takes the zeros for transparent; browsers do not.",
    "GIF, empty first frame": "Both show the first frame, which is empty.",
    "APNG, default image": "Both show the default image; browsers show the animation.",
}


def more_pictures() -> dict[str, bytes]:
    """Files of the other tests of this folder."""
    image, clear = quarters(size=SIZE), Image.new("RGBA", SIZE)
    shown = image.convert("RGBA")
    levels = [[0], [0x4000], [0x8000], [0xFFFF]]
    wide = [[257 * part for part in colour] for colour in QUARTERS]
    nan = np.repeat(np.repeat(np.array([[0.0, 0.25], [0.5, 1.0]], np.float32), 64, 0), 96, 1)
    nan[0, 0] = np.nan
    jpeg = encoded(photo(*SIZE), "JPEG", quality=90)
    exif = Image.Exif()
    exif[0x0112] = 8
    return {
        "PNG, 16-bit grey": png(levels, depth=16, colour_type=GREY),
        "PNG, 16-bit colour": png(wide, depth=16, colour_type=TRUECOLOUR),
        "PNG, 16-bit alpha": png(
            [(*colour, 0x8000) for colour in wide], depth=16, colour_type=TRUECOLOUR_ALPHA
        ),
        "PNG, grey and alpha": png(
            [(9, 255), (99, 128), (199, 64), (250, 0)], colour_type=GREY_ALPHA
        ),
        "PNG, 2 bits": png([[0], [1], [2], [3]], depth=2, colour_type=GREY),
        "PNG, transparent grey": png(
            [[0], [80], [160], [255]], chunk(b"tRNS", b"\0\x50"), colour_type=GREY
        ),
        "PNG, transparent 2-bit grey": png(
            [[0], [1], [2], [3]], chunk(b"tRNS", b"\0\2"), depth=2, colour_type=GREY
        ),
        "PNG, transparent 16-bit grey": png(
            levels, chunk(b"tRNS", b"\x80\0"), depth=16, colour_type=GREY
        ),
        "PNG, transparent 16-bit colour": png(
            wide, chunk(b"tRNS", struct.pack(">3H", *wide[2])), depth=16, colour_type=TRUECOLOUR
        ),
        "PNG, large text": quarters_png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3 << 20)))),
        "PNG, wrong checksum": quarters_png(chunk(b"tEXt", b"a\0b", checksum=1)),
        "PNG, sRGB": quarters_png(chunk(b"sRGB", b"\0"), chunk(b"gAMA", struct.pack(">I", 45455))),
        "PNG, gAMA 1.0": quarters_png(chunk(b"gAMA", struct.pack(">I", 100_000))),
        "PNG, cHRM P3": quarters_png(
            chunk(
                b"cHRM",
                struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000),
            )
        ),
        "PNG, cICP P3": quarters_png(chunk(b"cICP", bytes((12, 13, 0, 1)))),
        "PNG, cICP PQ": quarters_png(chunk(b"cICP", bytes((9, 16, 0, 1)))),
        "PNG, grey profile": encoded(image.convert("L"), "PNG", icc_profile=grey_profile()),
        "PNG, without end": quarters_png()[:-12],
        "JPEG, without end": jpeg[:-2],
        "JPEG without its last rows": encoded(image, "JPEG")[:-30],
        "JPEG, turned": encoded(photo(*SIZE), "JPEG", exif=exif.tobytes(), quality=90),
        "JPEG, profile": encoded(photo(*SIZE), "JPEG", icc_profile=rgb_profile(), quality=90),
        "JPEG, grey": encoded(photo(*SIZE).convert("L"), "JPEG", quality=90),
        "JPEG, progressive photo": encoded(photo(*SIZE), "JPEG", progressive=True, quality=90),
        "JPEG, 4:4:4": encoded(photo(*SIZE), "JPEG", subsampling=0, quality=90),
        "WebP, photo": encoded(photo(*SIZE), "WEBP", quality=90),
        "WebP, turned": encoded(photo(*SIZE), "WEBP", exif=exif.tobytes(), quality=90),
        "AVIF, photo": encoded(photo(*SIZE), "AVIF", quality=90),
        "AVIF, 4:4:4": encoded(photo(*SIZE), "AVIF", subsampling="4:4:4", quality=90),
        "AVIF, nclx P3": with_nclx(encoded(image, "AVIF"), 12, 13),
        "AVIF, major brand mif1": with_brands(encoded(image, "AVIF"), b"mif1", b"avif", b"miaf"),
        "HEIF, photo": encoded(photo(*SIZE), "HEIF", quality=90),
        "HEIF, turned": encoded(photo(*SIZE), "HEIF", exif=exif.tobytes(), quality=90),
        "HEIF, nclx P3": with_nclx(encoded(image, "HEIF"), 12, 13),
        "HEIF, major brand mif1": with_brands(encoded(image, "HEIF"), b"mif1", b"heic", b"miaf"),
        "GIF, photo": encoded(photo(*SIZE).quantize(200), "GIF"),
        "GIF, transparent": encoded(image.quantize(8), "GIF", transparency=2),
        "GIF, empty first frame": encoded(
            clear, "GIF", save_all=True, append_images=[shown], disposal=2
        ),
        "APNG, default image": encoded(
            Image.new("RGB", SIZE), "PNG", save_all=True, default_image=True, append_images=[image]
        ),
        "BMP, alpha": bmp([(*colour, 128) for colour in QUARTERS], header=124),
        "BMP, unused alpha": bmp([(*colour, 0) for colour in QUARTERS], header=124),
        "TIFF, JPEG": encoded(photo(*SIZE), "TIFF", compression="jpeg"),
        "TIFF, turned": encoded(photo(*SIZE), "TIFF", exif=exif.tobytes()),
        "TIFF, 16-bit grey": encoded(photo(*SIZE).convert("L").convert("I;16"), "TIFF"),
        "TIFF, 16-bit grey, white is zero": tiff(
            photo(*SIZE).convert("L"), np.dtype("<u2"), photometric="miniswhite"
        ),
        "TIFF, 16-bit, big-endian": tiff(photo(*SIZE), np.dtype(">u2"), compression="zlib"),
        "TIFF, float, big-endian": tiff(
            photo(*SIZE).convert("L"), np.dtype(">f4"), compression="zlib"
        ),
        "TIFF, 64-bit float": tiff(photo(*SIZE).convert("L"), np.dtype("<f8")),
        "float with NaN": encoded(Image.fromarray(nan), "TIFF"),
    }


def tiff(picture: Image.Image, kind: np.dtype[Any], **options: Any) -> bytes:
    """A TIFF file with samples of this kind; those of floating-point numbers are of 0 to 1."""
    samples = np.asarray(picture).astype(np.float64)
    # The whole range is used, as the intake expects of floating-point numbers.
    samples = (samples - samples.min()) / (samples.max() - samples.min())
    file = io.BytesIO()
    top = 1 if kind.kind == "f" else 65535
    order: Literal[">", "<"] = ">" if kind.str.startswith(">") else "<"
    tifffile.imwrite(file, (samples * top).astype(kind), byteorder=order, **options)
    return file.getvalue()


CORPUS = odd_pictures(SIZE) | more_pictures()


def decibels(picture: Image.Image, other: Image.Image | None) -> float:
    """The peak signal-to-noise ratio; -inf where there is no other picture."""
    if other is None or other.width * picture.height != other.height * picture.width:
        return -math.inf
    other = other.resize(picture.size, Image.Resampling.LANCZOS)
    error = ((np.asarray(picture, float) - np.asarray(other, float)) ** 2).mean()
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


@pytest.mark.parametrize("name", CORPUS)
async def test_intake_agrees_with_imagemagick_or_libvips(
    intake: Intake, name: str, tmp_path: Path
) -> None:
    source = tmp_path / "picture.bin"
    source.write_bytes(CORPUS[name])
    picture = await intake.from_bytes(CORPUS[name], pixels=SIZE[0] * SIZE[1], multiple=64)
    ours = Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
    profile = reference.srgb_profile(tmp_path)
    magick = decibels(ours, reference.with_magick(source, profile))
    vips = decibels(ours, reference.with_vips(source, profile))
    print(f"{name}: ImageMagick {magick:.1f} dB, libvips {vips:.1f} dB")
    agrees = max(magick, vips) >= LEAST_DECIBELS
    assert agrees != (name in DEVIATIONS), (magick, vips, DEVIATIONS.get(name))
