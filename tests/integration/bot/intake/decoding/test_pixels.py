"""Valid pictures are decoded upright, with the right colours, at the model's size.

Expected values are computed from the standards, not recorded from an earlier run.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from bot.intake import Intake, IntakeLimits, TooLong
from tests.support.intake.expected_pixels import assert_quarters, decoded, lab_to_srgb, srgb_curve
from tests.support.intake.pictures import (
    DISPLAY_P3,
    FORMATS,
    GAMMA,
    QUARTERS,
    SMALL,
    SRGB,
    Colour,
    cmyk_profile,
    encoded,
    grey_profile,
    odd_pictures,
    quarters,
    rgb_profile,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How the stored picture differs from the upright one, per orientation (Exif 3.0, 4.6.5.1.6)."""


@pytest.mark.parametrize("form", FORMATS)
async def test_every_format_keeps_its_colours(intake: Intake, form: str) -> None:
    picture = await decoded(intake, encoded(quarters(), form))
    assert_quarters(picture, tolerance=2 if form in ("PNG", "BMP", "TIFF", "GIF") else 5)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF", "HEIF", "TIFF"])
async def test_every_orientation_is_decoded_upright(
    intake: Intake, form: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    turn = STORED[orientation]
    stored = quarters() if turn is None else quarters().transpose(turn)
    # Given EXIF as bytes, the HEIC encoder writes the rotation into the container as well, as
    # phones do. Applying both would rotate twice.
    data = encoded(stored, form, exif=exif.tobytes())
    assert form != "HEIF" or orientation == 1 or b"irot" in data or b"imir" in data
    picture = await decoded(intake, data)
    assert_quarters(picture, tolerance=8)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "HEIF"])
async def test_a_wide_gamut_profile_is_converted_to_srgb(intake: Intake, form: str) -> None:
    light = (np.array(QUARTERS) / 255) ** GAMMA
    expected = srgb_curve((np.linalg.inv(SRGB) @ np.array(DISPLAY_P3) @ light.T).T)
    assert np.abs(expected - QUARTERS).max() > 15
    data = encoded(quarters(), form, icc_profile=rgb_profile())
    assert_quarters(await decoded(intake, data), expected, tolerance=2 if form == "PNG" else 6)


async def test_a_grey_profile_is_converted_to_srgb(intake: Intake) -> None:
    levels = np.array((20, 80, 140, 250))
    data = encoded(quarters(levels.tolist(), "L"), "PNG", icc_profile=grey_profile())
    expected = [[value] * 3 for value in srgb_curve(levels / 255)]
    assert_quarters(await decoded(intake, data), expected)


@pytest.mark.parametrize("profile", [b"nonsense", grey_profile(), rgb_profile()[:200]])
async def test_a_profile_that_does_not_apply_is_ignored(intake: Intake, profile: bytes) -> None:
    data = encoded(quarters(), "PNG", icc_profile=profile)
    assert_quarters(await decoded(intake, data))


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
async def test_cmyk_without_a_profile_is_converted_by_formula(intake: Intake, form: str) -> None:
    inks = [(255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 128)]
    expected = [(0, 255, 255), (255, 0, 255), (255, 255, 0), (127, 127, 127)]
    data = encoded(quarters(inks, "CMYK"), form)
    assert_quarters(await decoded(intake, data), expected, tolerance=5)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
async def test_cmyk_is_converted_by_its_profile(intake: Intake, form: str) -> None:
    inks = {
        (0, 0, 0, 0): (100, 0, 0),
        (1, 0, 0, 0): (55, -20, -30),
        (0, 1, 0, 0): (48, 50, -3),
        (0, 0, 1, 0): (85, -5, 60),
    }
    corners = [tuple(255 * part for part in ink) for ink in inks]
    data = encoded(quarters(corners, "CMYK"), form, icc_profile=cmyk_profile(inks))
    expected = lab_to_srgb(np.array(list(inks.values()), float))
    assert_quarters(await decoded(intake, data), expected, tolerance=4)


@pytest.mark.parametrize(
    ("name", "form", "mode", "levels", "expected"),
    [
        ("PNG, 16 bits", "PNG", "I;16", (0, 10280, 32896, 65535), (0, 40, 128, 255)),
        ("TIFF, 16 bits", "TIFF", "I;16", (0, 10280, 32896, 65535), (0, 40, 128, 255)),
        ("TIFF, big-endian", "TIFF", "I;16B", (0, 10280, 32896, 65535), (0, 40, 128, 255)),
        ("TIFF, 32 bits: its range", "TIFF", "I", (1000, 2000, 3000, 6000), (0, 51, 102, 255)),
        ("TIFF, float: its range", "TIFF", "F", (-1.0, 0.0, 1.0, 4.0), (0, 51, 102, 255)),
        ("PNG, 8 bits", "PNG", "L", (0, 40, 128, 255), (0, 40, 128, 255)),
        ("PNG, 1 bit", "PNG", "1", (0, 1, 1, 0), (0, 255, 255, 0)),
        ("BMP, 1 bit", "BMP", "1", (0, 1, 1, 0), (0, 255, 255, 0)),
    ],
)
async def test_grey_of_every_depth_spans_black_to_white(
    intake: Intake, name: str, form: str, mode: str, levels: Any, expected: Any
) -> None:
    kind = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4", "F": "<f4"}.get(mode, "u1")
    rows = np.repeat(np.repeat(np.array(levels).reshape(2, 2), 64, 0), 96, 1).astype(kind)
    if mode == "1":
        image = Image.frombytes("L", (192, 128), (255 * rows).tobytes()).convert("1")
    else:
        image = Image.frombytes(mode, (192, 128), rows.tobytes())
    picture = await decoded(intake, encoded(image, form))
    assert_quarters(picture, [[value] * 3 for value in expected], tolerance=1)


CLEAR = ((200, 40, 60, 255), (40, 180, 80, 0), (50, 70, 210, 128), (0, 0, 0, 0))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("background", [(255, 255, 255), (12, 34, 56)])
async def test_transparent_parts_show_the_background(form: str, background: Colour) -> None:
    expected = [
        [(c * alpha + b * (255 - alpha)) / 255 for c, b in zip(colour, background, strict=True)]
        for *colour, alpha in CLEAR
    ]
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    data = encoded(quarters(CLEAR, "RGBA"), form, **options)
    async with Intake(IntakeLimits(decode_seconds=60, background=background)) as intake:
        picture = await decoded(intake, data)
    assert_quarters(picture, expected, tolerance=8 if form in ("AVIF", "HEIF") else 2)


def palette(form: str) -> bytes:
    image = Image.new("P", (192, 128))
    image.putpalette([part for colour in QUARTERS for part in colour])
    for index in range(4):
        left, top = index % 2 * 96, index // 2 * 64
        image.paste(index, (left, top, left + 96, top + 64))
    return encoded(image, form, transparency=1)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("PNG palette", palette("PNG")),
        ("GIF palette", palette("GIF")),
        ("PNG with one transparent colour", encoded(quarters(), "PNG", transparency=QUARTERS[1])),
    ],
)
async def test_a_transparent_colour_shows_white(intake: Intake, name: str, data: bytes) -> None:
    expected = [QUARTERS[0], (255, 255, 255), *QUARTERS[2:]]
    assert_quarters(await decoded(intake, data), expected)


async def test_transparent_grey_shows_white(intake: Intake) -> None:
    image = quarters([(0, 255), (0, 128), (90, 255), (90, 0)], "LA")
    expected = [[0] * 3, [127] * 3, [90] * 3, [255] * 3]
    assert_quarters(await decoded(intake, encoded(image, "PNG")), expected)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
async def test_the_first_frame_of_an_animation_is_decoded(intake: Intake, form: str) -> None:
    others = [Image.new("RGB", (192, 128), colour) for colour in ("black", "white", "red")]
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    data = encoded(quarters(), form, save_all=True, append_images=others, **options)
    with Image.open(io.BytesIO(data)) as animation:
        assert getattr(animation, "n_frames", 1) == 4
    assert_quarters(await decoded(intake, data), tolerance=8)


async def test_a_lab_picture_keeps_its_colours(intake: Intake) -> None:
    lab = np.array([(50, 40, 30), (70, -30, 20), (40, 20, -40), (90, 0, 0)])
    # Pillow stores a and b with an offset of 128 and writes them as TIFF's signed bytes.
    stored = [(round(lv * 2.55), a + 128, b + 128) for lv, a, b in lab.tolist()]
    data = encoded(quarters(stored, "LAB"), "TIFF")
    assert_quarters(await decoded(intake, data), lab_to_srgb(lab.astype(float)), tolerance=4)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (7, 2), (64, 8), (8, 64)])
async def test_tiny_pictures_are_enlarged_to_the_model_size(
    intake: Intake, size: tuple[int, int]
) -> None:
    picture = await decoded(intake, encoded(Image.new("RGB", size, (10, 200, 30)), "PNG"))
    assert 0.7 * 512 * 512 < picture.width * picture.height <= 512 * 512
    assert (picture.width > picture.height) == (size[0] > size[1])
    assert picture.pixels == bytes((10, 200, 30)) * (picture.width * picture.height)


@pytest.mark.parametrize("mode", ["I", "F", "I;16"])
async def test_a_constant_picture_of_high_bit_depth_is_decoded(intake: Intake, mode: str) -> None:
    picture = await decoded(intake, encoded(Image.new(mode, (64, 64), 7), "TIFF"))
    assert len(set(picture.pixels)) == 1


@pytest.mark.parametrize("size", [(9, 1), (1, 9), (900, 100), (50_000, 3)])
async def test_very_long_pictures_are_refused(intake: Intake, size: tuple[int, int]) -> None:
    with pytest.raises(TooLong, match="at most 8 times"):
        await decoded(intake, encoded(Image.new("RGB", size), "PNG"))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
async def test_a_large_photograph_is_resized_as_by_lanczos(intake: Intake, form: str) -> None:
    """Reduced JPEG decoding and `reducing_gap` differ from full resampling by at most -40 dB."""
    row, column = np.indices((2000, 3000))
    photo = 127 + 60 * np.sin(row / 40) + 60 * np.cos(column / 55 + row / 90)
    channels = [Image.fromarray((photo * k).astype(np.uint8)) for k in (1, 0.9, 0.7)]
    data = encoded(Image.merge("RGB", channels), form)
    picture = await intake.from_bytes(data, pixels=192 * 128, multiple=64)
    with Image.open(io.BytesIO(data)) as opened:
        reference = opened.convert("RGB").resize((192, 128), Image.Resampling.LANCZOS)
    pixels = np.frombuffer(picture.pixels, np.uint8).reshape(128, 192, 3)
    error = ((np.asarray(reference, float) - pixels) ** 2).mean()
    assert error < 255**2 / 10**4


@pytest.mark.parametrize("kind", odd_pictures())
async def test_unusual_files_are_decoded(intake: Intake, kind: str) -> None:
    await intake.from_bytes(odd_pictures()[kind], **SMALL)
