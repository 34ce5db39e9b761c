"""Of an animation, the first frame that shows something is used."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from PIL import Image

from bot.intake import Intake
from tests.support.intake.expected_pixels import assert_quarters, decoded
from tests.support.intake.pictures import encoded, quarters

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLEAR = Image.new("RGBA", (192, 128), (0, 0, 0, 0))
SHOWN = quarters().convert("RGBA")
LATER = Image.new("RGBA", (192, 128), (1, 2, 3, 255))
OPTIONS: dict[str, dict[str, Any]] = {
    "GIF": {"disposal": 2},
    "PNG": {"blend": 0},
    "WEBP": {"lossless": True, "exact": True},
    "AVIF": {"quality": 95},
}


def animation(form: str, *frames: Image.Image, **options: Any) -> bytes:
    # Different durations keep equal frames apart.
    durations = [100 + 10 * number for number in range(len(frames))]
    data = encoded(
        frames[0],
        form,
        save_all=True,
        append_images=frames[1:],
        **(OPTIONS[form] | {"duration": durations} | options),
    )
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == len(frames)
    return data


def empty_frames(count: int) -> list[Image.Image]:
    """Transparent frames whose hidden colours alternate, because encoders merge equal frames."""
    return [Image.new("RGBA", (192, 128), (200 * (number % 2), 0, 0, 0)) for number in range(count)]


@pytest.mark.parametrize("empty", [1, 2, 7])
@pytest.mark.parametrize("form", OPTIONS)
async def test_transparent_frames_are_skipped(intake: Intake, form: str, empty: int) -> None:
    data = animation(form, *empty_frames(empty), SHOWN, LATER)
    assert_quarters(await decoded(intake, data), tolerance=8)


@pytest.mark.parametrize("form", OPTIONS)
async def test_a_frame_with_one_visible_corner_is_not_skipped(intake: Intake, form: str) -> None:
    corner = CLEAR.copy()
    corner.paste((10, 200, 30, 255), (0, 0, 96, 64))
    data = animation(form, corner, SHOWN)
    expected = [(10, 200, 30), *[(255, 255, 255)] * 3]
    assert_quarters(await decoded(intake, data), expected, tolerance=8)


@pytest.mark.parametrize("form", OPTIONS)
async def test_an_animation_of_nothing_shows_the_background(intake: Intake, form: str) -> None:
    data = animation(form, *empty_frames(3))
    assert_quarters(await decoded(intake, data), [(255, 255, 255)] * 4)


@pytest.mark.parametrize("transparency", [{}, {"transparency": 255}])
@pytest.mark.parametrize("background", [0, 1])
async def test_a_gif_smaller_than_its_canvas_is_transparent_around(
    intake: Intake, background: int, transparency: dict[str, int]
) -> None:
    image = Image.new("RGB", (96, 64), (10, 200, 30))
    image.putpixel((0, 0), (1, 2, 3))
    data = bytearray(encoded(image, "GIF", background=background, **transparency))
    data[6:10] = struct.pack("<HH", 192, 128)
    expected = [(10, 200, 30), *[(255, 255, 255)] * 3]
    assert_quarters(await decoded(intake, bytes(data)), expected)


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_an_animated_png_begins_with_its_animation(intake: Intake, count: int) -> None:
    default = Image.new("RGB", (192, 128), "black")
    others = [Image.new("RGB", (192, 128), (number, 0, 0)) for number in range(count - 1)]
    data = encoded(
        default, "PNG", save_all=True, default_image=True, append_images=[quarters(), *others]
    )
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == count + 1  # type: ignore[attr-defined]
    assert_quarters(await decoded(intake, data))


async def test_an_animated_png_with_a_default_image_skips_empty_frames(intake: Intake) -> None:
    default = Image.new("RGBA", (192, 128), "black")
    data = encoded(
        default, "PNG", save_all=True, default_image=True, append_images=[CLEAR, SHOWN], blend=0
    )
    assert_quarters(await decoded(intake, data))


@pytest.mark.parametrize("form", ["GIF", "PNG"])
async def test_frames_behind_the_first_visible_one_may_be_missing(
    intake: Intake, form: str
) -> None:
    data = animation(form, CLEAR, SHOWN, LATER, SHOWN)
    assert_quarters(await decoded(intake, data[:-30]))
