"""A backup holds the state of one moment, without anything that was erased meanwhile."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest

from bot.backup import create as creation
from bot.backup.create import create
from bot.backup.restore import restore
from bot.errors import StartError
from bot.store.store import Store
from tests.support.stores import accepted, filled, jobs_in, names_in


def content(file: Path) -> bytes:
    return file.read_bytes()


async def test_a_backup_of_a_running_bot_restores_its_jobs_and_pictures(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "data") as store:
        jobs = [await accepted(store, number) for number in range(3)]
        await store.guild_settings.set_gallery(3, 9)
        contents = create(tmp_path / "data", tmp_path / "backup.tar")
        await accepted(store, 4)
    assert (contents.jobs, contents.pictures, contents.missing) == (3, 3, ())
    assert stat.S_IMODE((tmp_path / "backup.tar").stat().st_mode) == 0o600
    assert names_in(tmp_path) == {"backup.tar", "data"}
    restored = restore(tmp_path / "backup.tar", tmp_path / "new")
    assert restored.replaced is None
    assert await jobs_in(tmp_path / "new") == jobs
    async with Store.open(tmp_path / "new") as store:
        assert await store.guild_settings.gallery(3) == 9


async def test_jobs_that_are_erased_during_a_backup_are_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Store.open(tmp_path) as store:
        kept = await accepted(store, 1)
        await accepted(store, 2, user_id=8)
        add = creation._add

        def add_after_erasure(*args: Any) -> bool:
            monkeypatch.setattr(creation, "_add", add)
            store._erase(user=8)
            return add(*args)

        monkeypatch.setattr(creation, "_add", add_after_erasure)
        contents = create(tmp_path, tmp_path / "backup.tar")
    assert (contents.jobs, contents.missing) == (1, ())
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert await jobs_in(tmp_path / "new") == [kept]


async def test_what_is_erased_during_a_backup_is_overwritten_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would otherwise only mark the pages as free."""
    prompt = "a secret prompt"
    async with Store.open(tmp_path) as store:
        await accepted(store, 1)
        await accepted(store, 2, user_id=8, prompt=prompt)
        add = creation._add

        def add_after_erasure(*args: Any) -> bool:
            store._erase(user=8)
            return add(*args)

        monkeypatch.setattr(creation, "_add", add_after_erasure)
        assert create(tmp_path, tmp_path / "backup.tar").jobs == 1
    assert prompt.encode() not in content(tmp_path / "backup.tar")


async def test_a_file_that_appears_during_a_backup_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path / "data", 1)
    file = tmp_path / "backup.tar"
    add = creation._add

    def add_while_a_file_appears(*args: Any) -> bool:
        file.write_text("another program's")
        return add(*args)

    monkeypatch.setattr(creation, "_add", add_while_a_file_appears)
    with pytest.raises(StartError, match="exists already"):
        create(tmp_path / "data", file)
    assert file.read_text() == "another program's"
    assert names_in(tmp_path) == {"backup.tar", "data"}


async def test_a_backup_says_which_pictures_have_no_file(tmp_path: Path) -> None:
    async with Store.open(tmp_path / "data") as store:
        one, _ = [await accepted(store, number) for number in range(2)]
    (tmp_path / "data" / "pictures" / f"{one.source}.png").unlink()
    contents = create(tmp_path / "data", tmp_path / "backup.tar")
    assert (contents.jobs, contents.pictures, contents.missing) == (2, 1, (one.source,))
    restored = restore(tmp_path / "backup.tar", tmp_path / "new")
    assert restored.contents.missing == (one.source,)


async def test_a_backup_replaces_no_file(tmp_path: Path) -> None:
    await filled(tmp_path / "data", 1)
    file = tmp_path / "backup.tar"
    create(tmp_path / "data", file)
    earlier = content(file)
    with pytest.raises(StartError, match="exists already"):
        create(tmp_path / "data", file)
    assert content(file) == earlier


async def test_files_of_a_killed_backup_do_not_disturb_the_next_one(tmp_path: Path) -> None:
    one = await filled(tmp_path / "data", 1)
    for name in ("backup.tar.part", "backup.tar.database.part"):
        (tmp_path / name).write_text("hello")
    create(tmp_path / "data", tmp_path / "backup.tar")
    assert names_in(tmp_path) == {"backup.tar", "data"}
    restore(tmp_path / "backup.tar", tmp_path / "new")
    assert await jobs_in(tmp_path / "new") == [one]


@pytest.mark.parametrize("place", ["no store", "no folder for the file"])
async def test_a_backup_that_is_not_possible_is_one_sentence(tmp_path: Path, place: str) -> None:
    if place == "no folder for the file":
        await filled(tmp_path / "data", 1)
    file = tmp_path / "missing" / "backup.tar" if place != "no store" else tmp_path / "backup.tar"
    with pytest.raises(StartError):
        create(tmp_path / "data", file)
    assert names_in(tmp_path) <= {"data"}
