"""Picture files that several requests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import StoredPictureMissing
from bot.store.store import Store
from tests.support.jobs import job, picture


async def test_a_discarded_picture_stays_for_another_request_with_equal_pixels(
    tmp_path: Path,
) -> None:
    async with Store.open(tmp_path) as store:
        first, second = [await store.pictures.put(picture(1)) for _ in range(2)]
        assert first == second
        await store.discard(first)
        accepted = job(second)
        await store.accept(accepted)
        assert await store.pictures.get(second) == picture(1)


async def test_the_last_request_that_is_refused_deletes_the_file(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        names = [await store.pictures.put(picture(1)) for _ in range(2)]
        for name in names:
            await store.discard(name)
        with pytest.raises(StoredPictureMissing):
            await store.pictures.get(names[0])
