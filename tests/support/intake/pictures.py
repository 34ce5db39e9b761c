"""Generated pictures and colour profiles with known content."""

from __future__ import annotations

import functools
import io
import random
import struct
from collections.abc import Sequence
from typing import Any

import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "HEIF", "BMP", "TIFF")

Colour = tuple[int, int, int]
QUARTERS: tuple[Colour, Colour, Colour, Colour] = (
    (200, 40, 60),
    (40, 180, 80),
    (50, 70, 210),
    (230, 200, 40),
)
"""Top left, top right, bottom left, bottom right: every rotation and reflection moves them."""

BUDGET: dict[str, Any] = {"pixels": 512 * 512, "multiple": 64}
SMALL: dict[str, Any] = {"pixels": 64 * 64, "multiple": 64}


def quarters(
    colours: Sequence[Any] = QUARTERS, mode: str = "RGB", size: tuple[int, int] = (192, 128)
) -> Image.Image:
    """A picture of four flat rectangles; 3:2 by default."""
    width, height = size
    image = Image.new(mode, size)
    for index, colour in enumerate(colours):
        left, top = index % 2 * width // 2, index // 2 * height // 2
        image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """`image` as a file; lossy formats at a quality that preserves flat colours."""
    if form in ("JPEG", "WEBP", "AVIF", "HEIF"):
        options.setdefault("quality", 95)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _profile(kind: bytes, space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2 (ICC.1:2001-04)."""
    texts = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": _xyz(0.9642, 1.0, 0.8249),
    }
    tags = texts | tags
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += struct.pack(">4sII", name, offset + len(body), len(data))
        body += data
    header = struct.pack(
        ">I4sI4s4s4s", offset + len(body), b"", 0x02400000, kind, space, connection
    )
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp"
    header = header.ljust(68, b"\0") + _xyz(0.9642, 1.0, 0.8249)[8:]
    return header.ljust(128, b"\0") + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(value * 256))


GAMMA = 563 / 256

DISPLAY_P3 = (
    (0.51512, 0.29198, 0.15710),
    (0.24120, 0.69225, 0.06657),
    (-0.00105, 0.04189, 0.78407),
)
"""Its primaries, adapted to D50, as columns: the colour space of most phone photographs."""

SRGB = ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410))


def rgb_profile() -> bytes:
    """Display P3's primaries with a plain gamma of `GAMMA`."""
    columns = zip(*DISPLAY_P3, strict=True)
    tags = {
        name: _xyz(*column)
        for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    curves = {name: _gamma(GAMMA) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags | curves)


def grey_profile() -> bytes:
    """Grey with a linear tone curve."""
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": _gamma(1.0)})


def cmyk_profile(inks: dict[tuple[int, int, int, int], tuple[int, int, int]]) -> bytes:
    """A printer profile: full (1) or no (0) ink of each kind → CIELAB colour."""
    corners = bytearray()
    for index in range(16):
        lightness, a, b = inks.get(
            (index >> 3 & 1, index >> 2 & 1, index >> 1 & 1, index & 1), (0, 0, 0)
        )
        corners += bytes((round(lightness * 255 / 100), a + 128, b + 128))
    ramp = bytes(range(256))
    unit = struct.pack(">9i", *(65536 if index % 4 == 0 else 0 for index in range(9)))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + unit + 4 * ramp + bytes(corners) + 3 * ramp
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table})


@functools.cache
def odd_pictures(size: tuple[int, int] = (48, 32)) -> dict[str, bytes]:
    """One small valid file of each kind that the decoders handle differently."""
    image = quarters(size=size)
    clear = image.convert("RGBA")
    clear.putalpha(128)
    frames = {"save_all": True, "append_images": [image.transpose(Image.Transpose.ROTATE_180)]}
    exif = Image.Exif()
    exif[0x0112] = 6
    described = {"exif": exif.tobytes(), "icc_profile": rgb_profile()}
    kinds = {
        "grey": encoded(image.convert("L"), "PNG"),
        "grey-alpha": encoded(clear.convert("LA"), "PNG"),
        "deep": encoded(image.convert("L").convert("I;16"), "PNG"),
        "bits": encoded(image.convert("1"), "PNG"),
        "palette": encoded(image.quantize(16), "PNG", transparency=3),
        "progressive": encoded(image, "JPEG", progressive=True),
        "cmyk": encoded(image.convert("CMYK"), "JPEG"),
        "lossless": encoded(clear, "WEBP", lossless=True),
        "rle": encoded(image.quantize(16), "BMP"),
        "lzw": encoded(image, "TIFF", compression="tiff_lzw"),
        "packed": encoded(image, "TIFF", compression="packbits"),
        "deflated": encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "fax": encoded(image.convert("1"), "TIFF", compression="group4"),
        "float": encoded(image.convert("F"), "TIFF"),
        "lab": encoded(quarters([(100, 128, 90)] * 4, "LAB", size), "TIFF"),
    }
    kinds |= {f"plain {form}": encoded(image, form) for form in FORMATS}
    kinds |= {f"clear {f}": encoded(clear, f) for f in ("PNG", "WEBP", "AVIF", "HEIF", "TIFF")}
    kinds |= {
        f"moving {form}": encoded(image, form, **frames)
        for form in ("PNG", "GIF", "WEBP", "AVIF", "TIFF", "HEIF")
    }
    kinds |= {
        f"described {form}": encoded(image, form, **described)
        for form in ("PNG", "JPEG", "WEBP", "AVIF", "HEIF", "TIFF")
    }
    return kinds


def mutated(data: bytes, chance: random.Random) -> bytes:
    """`data` with one to eight random faults."""
    damaged = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        at = chance.randrange(len(damaged) + 1)
        length = chance.choice((1, 2, 4, 8, 64, 512))
        match chance.randrange(6):
            case 0 if at < len(damaged):
                damaged[at] ^= 1 << chance.randrange(8)
            case 1:
                damaged[at : at + 4] = struct.pack(
                    chance.choice("<>") + "I",
                    chance.choice((0, 1, 0x7F, 0x80, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)),
                )
            case 2 if len(damaged) > 16:
                del damaged[at:]
            case 3:
                del damaged[at : at + length]
            case 4:
                damaged[at:at] = damaged[at : at + length]
            case _:
                damaged[at : at + length] = chance.randbytes(length)
    return bytes(damaged)
