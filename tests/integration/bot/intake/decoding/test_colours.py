"""Colour spaces and orientation are read from where browsers read them.

The expected values are computed from the standards' formulas.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from bot.intake import Intake
from tests.support.intake.expected_pixels import (
    BT709,
    BT2020,
    P3,
    assert_quarters,
    decoded,
    from_primaries,
    hlg_light,
    pq_light,
    srgb_light,
)
from tests.support.intake.pictures import QUARTERS, encoded, quarters, rgb_profile
from tests.support.intake.raw_pictures import chunk, quarters_png, with_brands, with_nclx

pytestmark = pytest.mark.asyncio(loop_scope="module")

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{}"/></rdf:RDF></x:xmpmeta>'
)
EXIF_TEXT = "\nexif\n      34\n4d4d002a00000008000101120003000000010006000000000000\n"


def with_xmp(form: str, orientation: int, exif: int | None = None) -> bytes:
    packet = XMP.format(orientation).encode()
    options: dict[str, Any] = {"xmp": packet}
    if form == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", packet.decode())
        options = {"pnginfo": texts}
    if exif is not None:
        tags = Image.Exif()
        tags[ExifTags.Base.Orientation] = exif
        options["exif"] = tags.tobytes()
    return encoded(quarters(), form, **options)


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF"])
async def test_orientation_in_xmp_is_ignored(intake: Intake, form: str, orientation: int) -> None:
    data = with_xmp(form, orientation)
    assert f'Orientation="{orientation}"'.encode() in data
    assert_quarters(await decoded(intake, data), tolerance=5)


@pytest.mark.parametrize("orientation", [2, 3, 4])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
async def test_orientation_in_exif_counts_whatever_xmp_says(
    intake: Intake, form: str, orientation: int
) -> None:
    order = {2: (1, 0, 3, 2), 3: (3, 2, 1, 0), 4: (2, 3, 0, 1)}[orientation]
    data = with_xmp(form, 1, exif=orientation)
    expected = [QUARTERS[index] for index in order]
    assert_quarters(await decoded(intake, data), expected, tolerance=5)


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt"])
async def test_orientation_in_a_text_chunk_is_ignored(intake: Intake, kind: bytes) -> None:
    text = EXIF_TEXT.encode()
    body = b"Raw profile type exif\0" + (text if kind == b"tEXt" else b"\0" + zlib.compress(text))
    assert_quarters(await decoded(intake, quarters_png(chunk(kind, body))))


SPACES = {
    (12, 13): (P3, srgb_light),
    (9, 13): (BT2020, srgb_light),
    (1, 8): (BT709, lambda value: value),
    (1, 4): (BT709, lambda value: value**2.2),
    (12, 5): (P3, lambda value: value**2.8),
    (1, 16): (BT709, pq_light),
    (9, 16): (BT2020, pq_light),
    (9, 18): (BT2020, hlg_light),
}
SRGB_CODES = [(1, 13), (1, 1), (2, 2), (1, 6), (2, 13), (1, 15)]
UNKNOWN_CODES = [(0, 0), (200, 13), (1, 99), (10, 13)]


def space(codes: tuple[int, int]) -> Any:
    primaries, curve = SPACES[codes]
    return from_primaries(QUARTERS, primaries, curve)


@pytest.mark.parametrize("codes", SPACES)
async def test_cicp_of_a_png_is_converted(intake: Intake, codes: tuple[int, int]) -> None:
    expected = space(codes)
    assert np.abs(expected - QUARTERS).max() > 3
    data = quarters_png(chunk(b"cICP", bytes((*codes, 0, 1))))
    assert_quarters(await decoded(intake, data), expected)


@pytest.mark.parametrize("codes", [*SRGB_CODES, *UNKNOWN_CODES])
async def test_cicp_that_means_srgb_or_nothing_changes_nothing(
    intake: Intake, codes: tuple[int, int]
) -> None:
    assert_quarters(await decoded(intake, quarters_png(chunk(b"cICP", bytes((*codes, 0, 1))))))


@pytest.mark.parametrize("codes", SPACES)
@pytest.mark.parametrize("form", ["AVIF", "HEIF"])
async def test_nclx_of_heif_and_avif_is_converted(
    intake: Intake, form: str, codes: tuple[int, int]
) -> None:
    data = with_nclx(encoded(quarters(), form, quality=100), *codes)
    # The codec's own errors of one or two are amplified, most of all by PQ.
    tolerance = 25 if 16 in codes or 18 in codes else 8
    assert_quarters(await decoded(intake, data), space(codes), tolerance)


@pytest.mark.parametrize("codes", [*SRGB_CODES, (10, 13)])
@pytest.mark.parametrize("form", ["AVIF", "HEIF"])
async def test_nclx_that_means_srgb_or_nothing_changes_nothing(
    intake: Intake, form: str, codes: tuple[int, int]
) -> None:
    data = with_nclx(encoded(quarters(), form), *codes)
    assert_quarters(await decoded(intake, data), tolerance=5)


@pytest.mark.parametrize("form", ["AVIF", "HEIF"])
async def test_a_profile_takes_precedence_over_nclx(intake: Intake, form: str) -> None:
    data = encoded(quarters(), form, icc_profile=rgb_profile())
    with_profile = await decoded(intake, data)
    if b"colrnclx" in data:
        data = with_nclx(data, 9, 16)
    assert (await decoded(intake, data)).pixels == with_profile.pixels


def gamma(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def chromaticities(*points: tuple[float, float]) -> bytes:
    numbers = [round(100_000 * part) for point in points for part in point]
    return chunk(b"cHRM", struct.pack(">8I", *numbers))


@pytest.mark.parametrize("value", [100_000, 55_556, 30_000, 200_000])
async def test_gama_is_honoured(intake: Intake, value: int) -> None:
    expected = from_primaries(QUARTERS, BT709, lambda v: v ** (100_000 / value))
    assert np.abs(expected - QUARTERS).max() > 10
    assert_quarters(await decoded(intake, quarters_png(gamma(value))), expected)


@pytest.mark.parametrize("value", [45_455, 45_454, 45_000, 0, 1, 4_294_967_295])
async def test_a_gama_that_means_srgb_or_nothing_changes_nothing(
    intake: Intake, value: int
) -> None:
    assert_quarters(await decoded(intake, quarters_png(gamma(value))))


@pytest.mark.parametrize("primaries", [P3, BT2020])
@pytest.mark.parametrize("value", [None, 45_455, 100_000])
async def test_chrm_is_honoured_with_and_without_gama(
    intake: Intake, primaries: Any, value: int | None
) -> None:
    chunks = [chromaticities((0.3127, 0.3290), *primaries)]
    curve: Any = srgb_light
    if value is not None:
        chunks.append(gamma(value))
        if value == 100_000:
            curve = lambda v: v  # noqa: E731
    expected = from_primaries(QUARTERS, primaries, curve)
    assert_quarters(await decoded(intake, quarters_png(*chunks)), expected)


SRGB_CHUNK = chunk(b"sRGB", b"\0")
PROFILE = chunk(b"iCCP", b"x\0\0" + zlib.compress(rgb_profile()))
P3_CODES = chunk(b"cICP", bytes((12, 13, 0, 1)))


@pytest.mark.parametrize(
    ("chunks", "same_as"),
    [
        ((SRGB_CHUNK, gamma(100_000)), ()),
        ((gamma(100_000), chromaticities((0.3, 0.3), *P3), SRGB_CHUNK), ()),
        ((PROFILE, gamma(100_000)), (PROFILE,)),
        ((gamma(100_000), PROFILE), (PROFILE,)),
        ((PROFILE, SRGB_CHUNK, P3_CODES), (P3_CODES,)),
        ((P3_CODES, PROFILE, gamma(100_000)), (P3_CODES,)),
    ],
)
async def test_the_colour_chunks_of_png_have_an_order(
    intake: Intake, chunks: tuple[bytes, ...], same_as: tuple[bytes, ...]
) -> None:
    picture = await decoded(intake, quarters_png(*chunks))
    assert picture.pixels == (await decoded(intake, quarters_png(*same_as))).pixels


HEIC_BRANDS = [
    (b"heic", (b"mif1", b"heic")),
    (b"heix", (b"mif1", b"heix")),
    (b"mif1", (b"heic", b"miaf")),
    (b"msf1", (b"heic",)),
    (b"miaf", (b"mif1", b"heic")),
    (b"MiHB", (b"mif1", b"heic")),
    (b"MiHE", (b"heix", b"mif1")),
    (b"1pic", (b"mif1",)),
    (b"mif2", (b"mif1", b"heic")),
    (b"tmap", (b"heic",)),
]
AVIF_FILE_BRANDS = [
    (b"avif", (b"mif1", b"miaf")),
    (b"mif1", (b"avif", b"miaf")),
    (b"MA1A", (b"avif",)),
    (b"miaf", (b"avif",)),
    (b"tmap", (b"avif", b"mif1")),
]


@pytest.mark.parametrize(
    ("form", "major", "compatible"),
    [("HEIF", *brands) for brands in HEIC_BRANDS] + [("AVIF", *b) for b in AVIF_FILE_BRANDS],
)
async def test_heif_files_of_all_brands_open(
    intake: Intake, form: str, major: bytes, compatible: tuple[bytes, ...]
) -> None:
    data = with_brands(encoded(quarters(), form), major, *compatible)
    assert_quarters(await decoded(intake, data), tolerance=5)
