"""Each kind of refusal has its own error."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from bot.intake import Intake, NotAPicture, PictureError, UnsupportedFormat
from tests.support.intake.expected_pixels import assert_quarters, decoded
from tests.support.intake.pictures import encoded, quarters

pytestmark = pytest.mark.asyncio(loop_scope="module")


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def ftyp(*brands: bytes) -> bytes:
    return box(b"ftyp", brands[0] + bytes(4) + b"".join(brands[1:])) + box(b"mdat", bytes(99))


def tiff(*tags: tuple[int, int, int], order: str = "<") -> bytes:
    """A TIFF file with one directory of (tag, type, value)."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = b"".join(
        struct.pack(order + "HHI", tag, kind, 1)
        + (struct.pack(order + "HH", value, 0) if kind == 3 else struct.pack(order + "I", value))
        for tag, kind, value in tags
    )
    return mark + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(200)


def bitmap(bits: int, compression: int, masks: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    """A black BMP file of 192 × 128 pixels."""
    size = 192 * 128 * bits // 8
    info = struct.pack("<IiiHHIIiiII", 108, 192, 128, 1, bits, compression, size, 0, 0, 0, 0)
    header = (info + struct.pack("<3I", *masks)).ljust(108, b"\0")
    return b"BM" + struct.pack("<IHHI", 122 + size, 0, 0, 122) + header + bytes(size)


UNSUPPORTED = {
    "JPEG XL": [b"\xff\x0a" + bytes(50), b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50)],
    "JPEG 2000": [encoded(quarters(), "JPEG2000"), b"\xff\x4f\xff\x51" + bytes(50)],
    "SVG": [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x -->\n<!DOCTYPE svg PUBLIC "a" "b">\n<svg >',
        b"\n  <svg:svg xmlns:svg='http://www.w3.org/2000/svg'>",
    ],
    "Photoshop (PSD)": [b"8BPS\0\1" + bytes(50), b"8BPS\0\2" + bytes(50)],
    "camera RAW": [
        b"II*\0\x10\0\0\0CR\2\0" + bytes(50),
        ftyp(b"crx ", b"crx ", b"isom"),
        b"FUJIFILMCCD-RAW 0201" + bytes(50),
        b"IIRO\x08\0\0\0" + bytes(50),
        b"IIU\0\x08\0\0\0" + bytes(50),
        tiff((254, 4, 1), (256, 3, 160), (330, 4, 400)),  # as NEF: a preview, the rest elsewhere
        tiff((254, 4, 0), (50706, 1, 0x104), order=">"),  # DNG
        tiff((262, 3, 32803)),  # sensor data
    ],
    "MP4 or QuickTime video": [
        ftyp(b"isom", b"isom", b"mp41"),
        ftyp(b"qt  "),
        ftyp(b"M4V ", b"mp42"),
        ftyp(b"3gp5"),
        box(b"moov", bytes(50)),
    ],
    "WebM or Matroska video": [b"\x1a\x45\xdf\xa3" + bytes(50)],
    "AVI video": [b"RIFF\x50\0\0\0AVI LIST" + bytes(50)],
    "HEIF without HEVC": [ftyp(b"avci", b"avci"), ftyp(b"j2ki", b"miaf"), ftyp(b"jpeg", b"jpeg")],
    "PDF": [b"%PDF-1.7\n"],
    "PostScript": [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"],
    "icon (ICO)": [encoded(quarters(), "ICO")],
    "icon (CUR)": [b"\0\0\2\0" + encoded(quarters(), "ICO")[4:]],
    "Targa (TGA)": [
        encoded(quarters(), "TGA"),
        encoded(quarters(), "TGA", compression="tga_rle"),
    ],
    "Netpbm (PPM)": [encoded(quarters(), "PPM"), b"P1\n1 1\n0\n", b"Pf 1 1 -1.0\n"],
    "OpenEXR": [b"v/1\x01\2\0\0\0" + bytes(50)],
    "QOI": [encoded(quarters(), "QOI")],
    "ZIP archive": [b"PK\x03\x04" + bytes(50)],
    "JPEG (lossless or 12-bit)": [
        encoded(quarters(), "JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc3\0\x11\x08"),
        encoded(quarters(), "JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xf7\0\x11\x08"),
        encoded(quarters(), "JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc1\0\x11\x0c"),
    ],
    "BMP (rare pixel format)": [
        bitmap(16, 3, masks=(0xF0F, 0xF0, 0xF000)),  # the bits of red are apart
        bitmap(24, 4),  # a JPEG file in a BMP file
        bitmap(64, 0),
    ],
}


@pytest.mark.parametrize(
    ("name", "data"), [(name, data) for name, files in UNSUPPORTED.items() for data in files]
)
async def test_a_known_format_is_named(intake: Intake, name: str, data: bytes) -> None:
    with pytest.raises(UnsupportedFormat) as raised:
        await decoded(intake, data)
    assert raised.value.params == {"format": name}
    assert str(raised.value).startswith(f"Files of type {name} are not supported; use PNG")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"hello",
        bytes(1000),
        b"<!doctype html><html><svg></svg></html>",
        b"<html><body>an error page</body></html>",
        b'{"error": 404}',
        b"P12 is not a picture",
        b"<?xml version='1.0'?><rss/>",
        b"\0\0\0\x18ftyp",
    ],
)
async def test_what_is_no_picture_gets_the_formats_that_work(intake: Intake, data: bytes) -> None:
    with pytest.raises(NotAPicture, match="PNG, JPEG, WebP, GIF, AVIF, HEIC, BMP and TIFF"):
        await decoded(intake, data)


async def test_an_ordinary_tiff_with_several_directories_is_no_raw_file(intake: Intake) -> None:
    data = encoded(quarters(), "TIFF", save_all=True, append_images=[Image.new("RGB", (19, 13))])
    assert_quarters(await decoded(intake, data))


async def test_every_error_of_the_decoder_reaches_the_caller(intake: Intake) -> None:
    """None of them is turned into another one on its way through the sandbox."""
    seen = set()
    whole = encoded(quarters(), "PNG")
    for data in (
        b"x",
        b"8BPS",
        whole[:200],
        whole[:20] + bytes(len(whole)),
        encoded(Image.new("1", (7300, 7300)), "PNG"),
        encoded(Image.new("1", (900, 100)), "PNG"),
    ):
        with pytest.raises(PictureError) as raised:
            await decoded(intake, data)
        seen.add(type(raised.value).__name__)
    assert seen == {
        "NotAPicture",
        "UnsupportedFormat",
        "IncompletePicture",
        "BrokenPicture",
        "TooManyPixels",
        "TooLong",
    }
