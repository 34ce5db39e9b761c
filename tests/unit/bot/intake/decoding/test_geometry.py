"""The computed size is close to the budget, in multiples, with little distortion."""

import random
from math import ceil

import pytest

from bot.intake import TooLong
from bot.intake.decoding.geometry import MAX_ASPECT, fit
from inference import MODELS

BUDGETS = [(512 * 512, 64), (768 * 768, 64), (128 * 128, 64), (512 * 512, 8), (96 * 96, 32)]


def sources(count: int) -> list[tuple[int, int]]:
    chance = random.Random(1)
    found = []
    for _ in range(count):
        short = round(10 ** chance.uniform(0, 3.7))
        long = round(short * MAX_ASPECT ** chance.random())
        found.append((long, short) if chance.random() < 0.5 else (short, long))
    return found


@pytest.mark.parametrize(("pixels", "multiple"), BUDGETS)
def test_every_size_is_in_multiples_and_within_the_budget(pixels: int, multiple: int) -> None:
    for width, height in sources(1000):
        w, h = fit(width, height, pixels, multiple)
        assert w % multiple == h % multiple == 0
        assert 0 < w * h <= pixels


@pytest.mark.parametrize(("pixels", "multiple"), BUDGETS)
def test_the_aspect_ratio_is_kept_to_within_one_multiple(pixels: int, multiple: int) -> None:
    for width, height in sources(1000):
        w, h = fit(width, height, pixels, multiple)
        exact = w * height / width if width >= height else h * width / height
        assert abs(min(w, h) - exact) <= multiple, (width, height, w, h)


@pytest.mark.parametrize(
    ("pixels", "multiple", "least"),
    [(512 * 512, 64, 0.7), (768 * 768, 64, 0.7), (128 * 128, 64, 0.5), (512 * 512, 8, 0.94)],
)
def test_the_area_is_close_to_the_budget(pixels: int, multiple: int, least: float) -> None:
    for width, height in sources(1000):
        w, h = fit(width, height, pixels, multiple)
        assert w * h >= least * pixels, (width, height, w, h)


def test_swapping_the_sides_swaps_the_result() -> None:
    for width, height in sources(1000):
        assert fit(width, height, 512 * 512, 64) == fit(height, width, 512 * 512, 64)[::-1]


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ((1, 1), (512, 512)),
        ((512, 512), (512, 512)),
        ((3000, 2000), (576, 384)),
        ((4032, 3024), (576, 448)),
        ((3024, 4032), (448, 576)),
        ((1920, 1080), (640, 384)),
        ((1080, 2400), (320, 704)),
    ],
)
def test_common_sizes(source: tuple[int, int], size: tuple[int, int]) -> None:
    assert fit(*source, 512 * 512, 64) == size


SIZES = {model.name: model for model in MODELS.values() if model.sizes}


@pytest.mark.parametrize("name", SIZES)
def test_the_preferred_sizes_of_a_model_are_few_and_valid(name: str) -> None:
    model = SIZES[name]
    assert 3 <= len(model.sizes) == len(set(model.sizes)) <= 5
    for width, height in model.sizes:
        assert (height, width) in model.sizes
        assert width % model.multiple == height % model.multiple == 0
        assert 0.75 * model.pixels <= width * height <= model.pixels


@pytest.mark.parametrize("name", SIZES)
def test_with_preferred_sizes_the_aspect_ratio_is_kept_to_within_one_multiple(name: str) -> None:
    model = SIZES[name]
    for width, height in sources(1000):
        w, h = fit(width, height, model.pixels, model.multiple, model.sizes)
        exact = w * height / width if width >= height else h * width / height
        assert abs(min(w, h) - exact) <= model.multiple, (width, height, w, h)


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ((1, 1), (512, 512)),
        ((1200, 1100), (512, 512)),
        ((4032, 3024), (576, 448)),
        ((3024, 4032), (448, 576)),
        ((1080, 1350), (448, 576)),
        ((3000, 2000), (640, 384)),
        ((1920, 1080), (640, 384)),
        ((1080, 1920), (384, 640)),
        ((2560, 1600), (640, 384)),
        # Too long for the nearest size: computed.
        ((1080, 2400), (320, 704)),
        ((1500, 500), (768, 256)),
    ],
)
def test_common_sources_share_the_preferred_sizes(
    source: tuple[int, int], size: tuple[int, int]
) -> None:
    model = MODELS["sd2-depth"]
    assert fit(*source, model.pixels, model.multiple, model.sizes) == size


@pytest.mark.parametrize("short", [1, 7, 100, 3000])
def test_only_ratios_over_the_limit_are_refused(short: int) -> None:
    long = MAX_ASPECT * short
    fit(long, short, 512 * 512, 64)
    for size in ((long + 1, short), (short, ceil(long * 1.01) + 1)):
        with pytest.raises(TooLong, match=f"at most {MAX_ASPECT} times"):
            fit(*size, 512 * 512, 64)


def test_a_budget_below_one_multiple_raises() -> None:
    with pytest.raises(ValueError, match="less than a square"):
        fit(100, 100, 63 * 64, 64)
