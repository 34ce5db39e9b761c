"""Stores with jobs, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bot.jobs.job import Job
from bot.store.store import Store
from tests.support.jobs import job, picture


async def accepted(store: Store, number: int, **changes: Any) -> Job:
    """A stored job whose source is the picture of that number."""
    one = job(await store.pictures.put(picture(number)), **changes)
    await store.accept(one)
    return one


async def filled(folder: Path, number: int) -> Job:
    """A closed store with one job; the job."""
    async with Store.open(folder) as store:
        return await accepted(store, number)


async def jobs_in(folder: Path) -> list[Job]:
    """The jobs of a closed store, whose pictures are intact."""
    async with Store.open(folder) as store:
        found = await store.unanswered()
        for one in found:
            await store.pictures.get(one.sources[0])
        return found


def names_in(folder: Path) -> set[str]:
    """The names of the files and folders in a folder."""
    return {path.name for path in folder.iterdir()}
