"""Recognizes file formats by their first bytes."""

from __future__ import annotations

import re
import struct

SUPPORTED = "PNG, JPEG, WebP, GIF, AVIF, HEIC, BMP or TIFF"

HEIF_BRANDS = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
"""Brands of HEIF files with HEVC pictures, and the general ones (ISO/IEC 23008-12, annex B)."""

AVIF_BRANDS = frozenset((b"avif", b"avis"))
"""https://aomediacodec.github.io/av1-avif/#brands"""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# (offset, bytes, name), in order. The names are shown to users.
_UNSUPPORTED: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (0, b"8BPS", "Photoshop (PSD)"),
    (0, b"FUJIFILMCCD-RAW", "camera RAW"),
    (0, b"IIRO", "camera RAW"),
    (0, b"IIRS", "camera RAW"),
    (0, b"MMOR", "camera RAW"),
    (0, b"IIU\0", "camera RAW"),
    (0, b"FOVb", "camera RAW"),
    (0, b"\0MRM", "camera RAW"),
    (6, b"HEAPCCDR", "camera RAW"),
    (0, b"%PDF-", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    # Without a name and a palette; an icon has a number other than 0 there.
    (0, b"\0\0\2\0\0\0\0\0", "Targa (TGA)"),
    (0, b"\0\0\x0a\0\0\0\0\0", "Targa (TGA)"),
    (0, b"\0\0\1\0", "icon (ICO)"),
    (0, b"\0\0\2\0", "icon (CUR)"),
    (0, b"icns", "icon (ICNS)"),
    (0, b"gimp xcf", "GIMP (XCF)"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"FLIF", "FLIF"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"AT&TFORM", "DjVu"),
    (0, b"\xd7\xcd\xc6\x9a", "Windows metafile"),
    (40, b" EMF", "Windows metafile"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska video"),
    (8, b"AVI ", "AVI video"),
    (0, b"FLV\x01", "Flash video"),
    (0, b"\0\0\1\xba", "MPEG video"),
    (0, b"\0\0\1\xb3", "MPEG video"),
    (0, b"OggS", "Ogg"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media video"),
    (0, b"ID3", "MP3 audio"),
    (8, b"WAVE", "WAV audio"),
    (0, b"fLaC", "FLAC audio"),
    (0, b"PK\x03\x04", "ZIP archive"),
    (0, b"Rar!\x1a\x07", "RAR archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
    (0, b"\x1f\x8b", "gzip archive"),
)
_NETPBM = re.compile(rb"P[1-7f-]|PF")
_SVG = re.compile(
    rb"\A(?:\xef\xbb\xbf)?\s*+(?:(?><\?.*?\?>)|(?><!--.*?-->)|(?><!doctype[^>]*>)|\s)*+<(?:svg:)?svg[\s>]",
    re.DOTALL | re.IGNORECASE,
)

VIDEO = "MP4 or QuickTime video"
RAW = "camera RAW"
SVG = "SVG"
NETPBM = "Netpbm (PPM)"
HEIF_CODEC = "HEIF without HEVC"
TIFF_VARIANT = "TIFF (rare pixel format)"
BMP_VARIANT = "BMP (rare pixel format)"
JPEG_VARIANT = "JPEG (lossless or 12-bit)"
UNSUPPORTED_NAMES = frozenset(
    (
        *(name for _, _, name in _UNSUPPORTED),
        *(VIDEO, RAW, SVG, NETPBM, HEIF_CODEC, TIFF_VARIANT, BMP_VARIANT, JPEG_VARIANT),
    )
)
"""Every name that `unsupported_format` and `variants.unreadable_variant` return."""


def is_supported(data: bytes) -> bool:
    """Whether `data` begins like a file of a supported format."""
    return format_of(data) is not None and unsupported_format(data) is None


def format_of(data: bytes) -> str | None:
    """Pillow's name of the supported format that `data` begins like, or None."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith(_TIFF):
        return "TIFF"
    brands = brands_of(data)
    if AVIF_BRANDS & set(brands):
        return "AVIF"
    if HEIF_BRANDS & set(brands):
        return "HEIF"
    return None


def unsupported_format(data: bytes) -> str | None:
    """The name of the unsupported format of `data`, one of `UNSUPPORTED_NAMES`, or None."""
    for offset, signature, name in _UNSUPPORTED:
        if data.startswith(signature, offset):
            return name
    if data.startswith(_TIFF) and _is_raw_photo(data):
        return RAW
    brands = brands_of(data)
    if brands and not set(brands) & (HEIF_BRANDS | AVIF_BRANDS):
        if brands[0] == b"crx ":
            return RAW
        codecs = {b"avci", b"avcs", b"jpeg", b"jpgs", b"j2ki", b"j2is", b"vvic", b"vvis", b"evbi"}
        return HEIF_CODEC if codecs & set(brands) else VIDEO
    if data[4:8] in (b"moov", b"mdat", b"wide"):
        return VIDEO
    if _NETPBM.match(data) and data[2:3].isspace():
        return NETPBM
    return SVG if _SVG.match(data[:4096]) else None


def brands_of(data: bytes) -> tuple[bytes, ...]:
    """The major brand and the compatible brands of an ISO base media file (ISO/IEC 14496-12)."""
    if data[4:8] != b"ftyp" or len(data) < 16:
        return ()
    size = min(int.from_bytes(data[:4]), 1024)
    box = data[8:size]
    return (box[:4], *(box[at : at + 4] for at in range(8, len(box) - 3, 4)))


# Tags of the first directory: TIFF 6.0, TIFF/EP (ISO 12234-2), DNG 1.7.
_NEW_SUBFILE_TYPE, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 254, 262, 330, 50706
_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892
_REDUCED_RESOLUTION = 1


def _is_raw_photo(data: bytes) -> bool:
    """Whether a TIFF file is a camera's: its first picture is a mere preview, or sensor data."""
    if data[8:10] == b"CR":
        return True
    order = "<" if data.startswith(b"II") else ">"
    try:
        (offset,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, offset)
        tags = {}
        for index in range(min(count, 512)):
            at = offset + 2 + 12 * index
            tag, kind = struct.unpack_from(order + "HH", data, at)
            # A short value lies in the first two bytes of its field.
            (tags[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)
    except struct.error:
        return False
    return (
        _DNG_VERSION in tags
        or tags.get(_PHOTOMETRIC) in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW)
        or (_SUB_IFDS in tags and tags.get(_NEW_SUBFILE_TYPE) == _REDUCED_RESOLUTION)
    )
