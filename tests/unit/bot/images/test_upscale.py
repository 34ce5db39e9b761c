"""Enlarging with SPAN: sharper than Lanczos, the same in strips as in one piece."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from bot.images import upscale as module
from bot.images.picture import Picture
from bot.images.upscale import SCALE, upscale


def picture_of(image: Image.Image) -> Picture:
    return Picture(image.tobytes(), *image.size)


def pixels_of(picture: Picture) -> Any:
    shape = (picture.height, picture.width, 3)
    return np.frombuffer(picture.pixels, np.uint8).reshape(shape).astype(float)


def psnr(made: Picture, wanted: Image.Image) -> float:
    error = np.mean((pixels_of(made) - np.asarray(wanted, dtype=float)) ** 2)
    return float(10 * np.log10(255**2 / error))


@pytest.fixture(scope="module")
def original() -> Image.Image:
    return Image.fromarray(skimage.data.astronaut()).crop((160, 32, 288, 160))


@pytest.fixture(scope="module")
def small(original: Image.Image) -> Picture:
    size = (original.width // SCALE, original.height // SCALE)
    return picture_of(original.resize(size, Image.Resampling.BICUBIC))


def test_span_is_closer_to_the_original_than_lanczos(
    original: Image.Image, small: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, method = upscale(small, SCALE)
    assert method == "span"
    monkeypatch.setattr(module, "_network", lambda: None)
    plain, method = upscale(small, SCALE)
    assert method == "lanczos"
    assert psnr(made, original) >= psnr(plain, original) + 0.5


@pytest.mark.parametrize("factor", [2, 4, 5])
def test_the_size_is_the_factor_times_as_large(small: Picture, factor: int) -> None:
    made, _ = upscale(small, factor)
    assert (made.width, made.height) == (small.width * factor, small.height * factor)
    assert len(made.pixels) == made.width * made.height * 3


def test_strips_do_not_change_the_picture(small: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = upscale(small, SCALE)
    monkeypatch.setattr(module, "STRIP", 12)
    strips, _ = upscale(small, SCALE)
    assert np.abs(pixels_of(whole) - pixels_of(strips)).max() <= 1


def test_other_threads_run_while_a_picture_is_enlarged(
    original: Image.Image, small: Picture
) -> None:
    upscale(small, SCALE)
    # Large enough that a busy machine lets the other thread run several times.
    large = picture_of(original)

    def turns_meanwhile() -> int:
        done = threading.Event()
        turns = 0

        def count() -> None:
            nonlocal turns
            while not done.is_set():
                turns += 1
                time.sleep(0.001)

        counter = threading.Thread(target=count)
        counter.start()
        upscale(large, SCALE)
        done.set()
        counter.join()
        return turns

    # With the interpreter's lock held, the loop would turn only before and after each call. A
    # machine that is too busy for the loop in one call is not in all of them.
    assert any(turns_meanwhile() >= 5 for _ in range(5))
