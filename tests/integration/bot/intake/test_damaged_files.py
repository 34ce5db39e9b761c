"""Randomly damaged files end as a picture or as one of the errors."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter

import pytest

from bot.intake import Intake, IntakeLimits, PictureError
from tests.support.intake.pictures import SMALL, mutated, odd_pictures
from tests.support.intake.processes import peak_memory, sandbox_children


async def outcomes(count: int, seed: int) -> Counter[str]:
    """Counts the results of decoding `count` damaged files: `Picture` or the error's class."""
    chance = random.Random(seed)
    kinds = list(odd_pictures().values())
    found: Counter[str] = Counter()

    async def one(intake: Intake, data: bytes) -> None:
        try:
            picture = await intake.from_bytes(data, **SMALL)
            assert len(picture.pixels) == picture.width * picture.height * 3
            found["Picture"] += 1
        except PictureError as error:
            found[type(error).__name__] += 1

    async with Intake(IntakeLimits(decode_seconds=20)) as intake:
        for start in range(0, count, 200):
            batch = [
                mutated(kinds[index % len(kinds)], chance)
                for index in range(start, min(start + 200, count))
            ]
            await asyncio.gather(*(one(intake, data) for data in batch))
            for child in sandbox_children():
                assert peak_memory(child) <= 2**30
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("count", "seed"),
    [(2000, 1), pytest.param(20_000, 2, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
async def test_damaged_files_end_as_pictures_or_errors(count: int, seed: int) -> None:
    found = await outcomes(count, seed)
    assert found.total() == count
    # Both results are frequent, so the damage reaches the decoders and the pixels.
    assert found["Picture"] > count / 20
    assert found["BrokenPicture"] + found["IncompletePicture"] > count / 20
    assert found["TooMuchWork"] < count / 100
    print(dict(found))
