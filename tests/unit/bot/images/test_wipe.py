"""The animation from one picture to another."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageSequence

from bot.images.encode import DIGITAL_SOURCE_TYPE, DoesNotFit
from bot.images.picture import Picture
from bot.images.wipe import HOLD_MS, LONGEST_SIDE, STEPS, wipe


def plain(colour: tuple[int, int, int], size: tuple[int, int]) -> Picture:
    return Picture(bytes(colour) * (size[0] * size[1]), *size)


RED, BLUE = plain((250, 0, 0), (160, 128)), plain((0, 0, 250), (160, 128))


def frames_of(data: bytes) -> list[Image.Image]:
    with Image.open(io.BytesIO(data)) as image:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]


def redness(image: Image.Image) -> float:
    """The share of the pixels that are red rather than blue."""
    reds, _, blues = (band.tobytes() for band in image.resize((32, 1)).split())
    return sum(red > blue for red, blue in zip(reds, blues, strict=True)) / 32


def test_it_goes_from_the_first_picture_to_the_second_and_back() -> None:
    file = wipe(RED, BLUE, limit_bytes=10**6)
    frames = frames_of(file.data)
    assert len(frames) == 2 * STEPS
    shares = [redness(frame) for frame in frames]
    assert shares[0] == 1.0
    assert shares[STEPS] == 0.0
    assert shares[: STEPS + 1] == sorted(shares[: STEPS + 1], reverse=True)
    assert shares[STEPS:] == sorted(shares[STEPS:])
    assert frames[0].size == (160, 128)


def test_both_pictures_are_held_and_it_repeats() -> None:
    with Image.open(io.BytesIO(wipe(RED, BLUE, limit_bytes=10**6).data)) as image:
        assert image.info["loop"] == 0
        image.seek(STEPS)
        image.load()
        assert image.info["duration"] == HOLD_MS


def test_it_is_marked_as_made_by_ai() -> None:
    assert DIGITAL_SOURCE_TYPE.encode() in wipe(RED, BLUE, limit_bytes=10**6).data


def test_large_pictures_of_different_sizes_are_reduced_to_one() -> None:
    before, after = plain((9, 9, 9), (1024, 512)), plain((200, 9, 9), (512, 256))
    frames = frames_of(wipe(before, after, limit_bytes=10**6).data)
    assert {frame.size for frame in frames} == {(LONGEST_SIDE, LONGEST_SIDE // 2)}


def test_it_fits_the_limit_or_says_so() -> None:
    noise = [Picture(Image.effect_noise((96, 96), 90).convert("RGB").tobytes(), 96, 96)] * 2
    best = wipe(*noise, limit_bytes=10**7)
    smaller = wipe(*noise, limit_bytes=len(best.data) - 1)
    assert len(smaller.data) < len(best.data)
    with pytest.raises(DoesNotFit):
        wipe(*noise, limit_bytes=1000)
