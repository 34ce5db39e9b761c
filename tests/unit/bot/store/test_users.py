"""Stored data of a user besides jobs: defaults, favourites; and the lineage of jobs."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.backup.inspection import inspect
from bot.errors import StoredPictureMissing
from bot.jobs.job import DELETED, Reference, Variant
from bot.store.favourites import FavouriteChange
from bot.store.opening import FILE_NAME
from bot.store.store import Store
from bot.store.user_defaults import Notification, UserDefaults
from tests.support.jobs import job, picture


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path) as opened:
        yield opened


async def test_defaults_survive_a_restart_and_each_can_be_removed(tmp_path: Path) -> None:
    full = {
        "strength": 0.4,
        "style": "Anime",
        "steps": 9,
        "private": True,
        "notification": Notification.DIRECT,
        "model": "sdxl-turbo",
    }
    async with Store.open(tmp_path) as store:
        assert await store.user_defaults.change(7, **full) == UserDefaults(**full)  # type: ignore[arg-type]
    async with Store.open(tmp_path) as store:
        assert await store.user_defaults.of(7) == UserDefaults(**full)  # type: ignore[arg-type]
        for name, value in dataclasses.asdict(UserDefaults()).items():
            await store.user_defaults.change(7, **{name: value})
        assert await store.user_defaults.of(7) == UserDefaults()
        rows = await store.database.execute("test", "DELETE FROM user_defaults", ())
        assert rows == 0, "defaults that say nothing are not stored"


async def test_erasing_a_user_overwrites_their_defaults(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        await store.user_defaults.change(7, style="a-style-of-this-user")
        await store.erase_user(7)
    assert b"a-style-of-this-user" not in (tmp_path / FILE_NAME).read_bytes()


async def test_favourites_are_listed_newest_first_and_limited(store: Store) -> None:
    jobs = [dataclasses.replace(job(), id=f"{n:016x}", user_id=7) for n in range(3)]
    for each in jobs:
        await store.accept(each)
    for now, each in enumerate(jobs[:2]):
        change = await store.favourites.toggle(7, each.id, now, limit=2)
        assert change is FavouriteChange.ADDED
    assert await store.favourites.of(7) == [jobs[1].id, jobs[0].id]
    toggle = store.favourites.toggle
    assert await toggle(7, jobs[2].id, 9.0, limit=2) is FavouriteChange.REFUSED
    assert await toggle(7, "f" * 16, 9.0, limit=9) is FavouriteChange.REFUSED
    assert await toggle(7, jobs[0].id, 9.0, limit=2) is FavouriteChange.REMOVED
    assert await store.favourites.of(7) == [jobs[1].id]
    assert await store.favourites.of(8) == []


async def test_retention_keeps_the_favourites_of_their_own_user_only(store: Store) -> None:
    jobs = [dataclasses.replace(job(), id=f"{n:016x}", user_id=7) for n in range(3)]
    for each in jobs:
        await store.accept(each)
        await store.fail(each.id, "No.")
        await store.answered(each.id, 5.0)
    await store.favourites.toggle(7, jobs[0].id, 1.0, limit=9)
    await store.favourites.toggle(8, jobs[1].id, 1.0, limit=9)
    assert await store.erase_before(6.0) == 2
    assert [each.id for each in await store.jobs_of(7)] == [jobs[0].id]
    assert await store.favourites.of(8) == []
    await store.erase_job(jobs[0].id)
    assert await store.jobs_of(7) == []


async def test_retention_deletes_the_inputs_of_favourites(tmp_path: Path, store: Store) -> None:
    names = [await store.pictures.put(picture(n)) for n in range(6)]
    source, reference, mask, structure, depth, result = names
    one = dataclasses.replace(
        job(source, user_id=7, mask=mask, structure=structure, depth=depth),
        references=(Reference(stored=reference, width=16, height=8, name="b.png"),),
        variants=(Variant(seed=1, strength=0.5, result=result),),
    )
    await store.accept(one)
    await store.fail(one.id, "No.")
    await store.answered(one.id, 5.0)
    await store.favourites.toggle(7, one.id, 1.0, limit=9)
    for _ in range(2):
        assert await store.erase_before(6.0) == 0
    kept = await store.job(one.id)
    assert kept is not None
    assert kept.pictures == {result}
    assert (*kept.uploads, kept.depth) == (DELETED,) * 5
    assert [path.stem for path in (tmp_path / "pictures").iterdir()] == [result]
    found = inspect(tmp_path)
    assert (found.intact, found.pictures) == (True, 1)


async def test_erasing_a_user_deletes_what_others_took_from_their_jobs(store: Store) -> None:
    source, depth, result = [await store.pictures.put(picture(n)) for n in range(3)]
    parent = job(source, user_id=7, variants=(Variant(seed=1, strength=0.5, result=result),))
    taken = [
        job(source, user_id=8, parent_id=parent.id, depth=depth),
        job(result, user_id=8, parent_id=parent.id),
        # The last in a line, of which the others may be erased.
        job(source, user_id=9, parent_id="f" * 16),
    ]
    # User 10 uploaded an equal picture, and redrew it again.
    own = [job(source, user_id=10), job(source, user_id=10, parent_id="e" * 16)]
    for each in (parent, *taken, *own):
        await store.accept(each)
    await store.erase_user(7)
    for each in taken:
        left = await store.job(each.id)
        assert left is not None
        assert left.pictures == set()
        assert left.source == DELETED
    for each in own:
        assert (await store.job(each.id)) == each
    await store.erase_user(10)
    with pytest.raises(StoredPictureMissing):
        await store.pictures.get(source)


async def test_a_result_that_another_user_used_stays_an_input_of_its_own_user(
    store: Store,
) -> None:
    result = await store.pictures.put(picture())
    first = job(
        user_id=8, parent_id="f" * 16, variants=(Variant(seed=1, strength=1, result=result),)
    )
    second = job(result, user_id=8, parent_id=first.id)
    for each in (first, second, job(result, user_id=7, parent_id=first.id)):
        await store.accept(each)
    await store.erase_user(7)
    assert await store.job(second.id) == second
    assert await store.pictures.get(result)


async def test_the_children_of_a_job_are_found(store: Store) -> None:
    parent = job()
    children = [
        dataclasses.replace(parent, id=f"{n:016x}", parent_id=parent.id) for n in range(1, 4)
    ]
    for each in (parent, *children):
        await store.accept(each)
    assert [each.id for each in await store.children_of(parent.id)] == [c.id for c in children]
    assert [each.id for each in await store.children_of(parent.id, limit=2)] == [
        c.id for c in children[:2]
    ]
    assert await store.children_of(children[0].id) == []
