"""Metadata that is large, malformed or has a wrong checksum does not spoil the picture."""

from __future__ import annotations

import random
import struct
import zlib

import pytest
from PIL import PngImagePlugin

from bot.intake import Intake
from tests.support.intake.expected_pixels import assert_quarters, decoded
from tests.support.intake.pictures import encoded, quarters, rgb_profile
from tests.support.intake.raw_pictures import chunk, quarters_png

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEBIBYTE = 2**20
# Text that hardly compresses, as workflows with embedded data do not.
WORKFLOW = random.Random(1).randbytes(3 * MEBIBYTE // 2).hex().encode()


def packed_text(kind: bytes, size: int) -> bytes:
    text = zlib.compress(b"x" * size)
    body = {b"zTXt": b"prompt\0\0", b"iTXt": b"workflow\0\1\0en\0\0"}[kind] + text
    return chunk(kind, body)


def profile(body: bytes) -> bytes:
    return chunk(b"iCCP", body)


LARGE = {
    "zTXt of 1 MiB and more": packed_text(b"zTXt", MEBIBYTE + 1),
    "zTXt of 200 MB": packed_text(b"zTXt", 200_000_000),
    "iTXt of 3 MB": packed_text(b"iTXt", 3_000_000),
    "tEXt of 3 MiB": chunk(b"tEXt", b"workflow\0" + WORKFLOW),
    "iTXt of 3 MiB, not compressed": chunk(b"iTXt", b"prompt\0\0\0\0\0" + WORKFLOW),
    "100 texts of 1 MiB": packed_text(b"zTXt", MEBIBYTE) * 100,
    "a profile of 2 MiB": profile(
        b"x\0\0" + zlib.compress(rgb_profile().ljust(2 * MEBIBYTE, b"\0"))
    ),
    "a profile of 200 MB": profile(b"x\0\0" + zlib.compress(bytes(200_000_000))),
    "a private chunk of 3 MiB": chunk(b"prVt", WORKFLOW),
}

MALFORMED = {
    "a profile that is not compressed": profile(b"sRGB\0\0" + rgb_profile()),
    "a profile that is cut off": profile(b"x\0\0" + zlib.compress(rgb_profile())[:100]),
    "a profile without a name": profile(b"x" * 90),
    "an unknown compression": profile(b"x\0\7" + zlib.compress(rgb_profile())),
    "an empty profile": profile(b""),
    "a profile of nonsense": profile(b"x\0\0" + zlib.compress(b"nonsense" * 50)),
    "text that is not compressed": chunk(b"zTXt", b"a\0\0nonsense"),
    "text without a key": chunk(b"tEXt", b"nothing but text"),
    "text of an unknown language": chunk(b"iTXt", b"a\0\1\0\xff\xfe\0\0nonsense"),
    "gAMA too short": chunk(b"gAMA", b"\0\1"),
    "gAMA of zero": chunk(b"gAMA", bytes(4)),
    "cHRM of zero": chunk(b"cHRM", bytes(32)),
    "cHRM too long": chunk(b"cHRM", bytes(40)),
    "tRNS too short": chunk(b"tRNS", b"\0\1"),
    "EXIF of nonsense": chunk(b"eXIf", b"nonsense" * 9),
    "pHYs, tIME and sBIT too short": b"".join(chunk(k, b"\0") for k in (b"pHYs", b"tIME", b"sBIT")),
}

GAMMA_1 = struct.pack(">I", 100_000)
ORIENTATION_6 = b"MM\0*\0\0\0\10\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
WRONG = {
    "text": chunk(b"tEXt", b"a\0b", checksum=0),
    "compressed text": chunk(b"zTXt", b"a\0\0" + zlib.compress(b"b"), checksum=1),
    "gamma": chunk(b"gAMA", GAMMA_1, checksum=2),
    "colours": chunk(b"cICP", bytes((9, 16, 0, 1)), checksum=3),
    "profile": chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile()), checksum=4),
    "transparency": chunk(b"tRNS", struct.pack(">3H", 200, 40, 60), checksum=5),
    "orientation": chunk(
        b"eXIf", b"MM\0*\0\0\0\10\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0", checksum=6
    ),
    "date and size": chunk(b"tIME", bytes(7), checksum=7) + chunk(b"pHYs", bytes(9), checksum=8),
    "a private chunk": chunk(b"abCd", b"x" * 1000, checksum=9),
}


@pytest.mark.parametrize("name", LARGE)
async def test_large_chunks_are_skipped(intake: Intake, name: str) -> None:
    assert_quarters(await decoded(intake, quarters_png(LARGE[name])))


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_chunks_are_skipped(intake: Intake, name: str) -> None:
    assert_quarters(await decoded(intake, quarters_png(MALFORMED[name])))


@pytest.mark.parametrize("name", WRONG)
async def test_ancillary_chunks_with_a_wrong_checksum_are_skipped(
    intake: Intake, name: str
) -> None:
    assert_quarters(await decoded(intake, quarters_png(WRONG[name])))


@pytest.mark.parametrize("name", [*LARGE, *WRONG])
async def test_the_same_holds_behind_the_pixels(intake: Intake, name: str) -> None:
    data = quarters_png()
    end = data.index(b"IEND") - 4
    data = data[:end] + (LARGE | WRONG)[name] + data[end:]
    assert_quarters(await decoded(intake, data))


async def test_what_pillow_writes_is_read(intake: Intake) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "x" * 5_000_000, zip=True)
    texts.add_itxt("workflow", "ü" * 2_000_000, zip=True)
    data = encoded(quarters(), "PNG", pnginfo=texts, dpi=(72, 72))
    assert_quarters(await decoded(intake, data))


@pytest.mark.parametrize("profile", [b"nonsense", rgb_profile()[:200], b"\0" * 2 * MEBIBYTE])
@pytest.mark.parametrize("form", ["JPEG", "WEBP", "TIFF", "AVIF"])
async def test_malformed_profiles_of_other_formats_are_ignored(
    intake: Intake, form: str, profile: bytes
) -> None:
    data = encoded(quarters(), form, icc_profile=profile)
    assert_quarters(await decoded(intake, data), tolerance=5)


@pytest.mark.parametrize(
    "segment",
    [
        b"\xff\xe2\x00\x20ICC_PROFILE\x00\x02\x03" + bytes(16),  # the second of three, alone
        b"\xff\xe1\x00\x10Exif\0\0nonsense",
        b"\xff\xe1\x00\x04xx" * 50,
        b"\xff\xfe\xff\xff" + b"x" * 65_533,
        b"\xff\xed\x00\x20Photoshop 3.0\0" + b"8BIM" + b"\xff" * 12,
    ],
)
async def test_malformed_segments_of_jpeg_are_ignored(intake: Intake, segment: bytes) -> None:
    data = encoded(quarters(), "JPEG")
    assert_quarters(await decoded(intake, data[:2] + segment + data[2:]), tolerance=5)
