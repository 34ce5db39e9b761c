"""Picture files that several requests share."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from bot.errors import StorageFull, StoredPictureMissing
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


async def test_the_file_of_a_picture_is_a_png_of_its_size(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        name = await store.pictures.put(picture(1, width=32, height=8))
        data = store.pictures.read_file(name)
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (32, 8))
        assert [path.name for path in (tmp_path / "pictures").iterdir()] == [f"{name}.png"]


async def test_an_incomplete_file_is_in_the_folder_of_the_complete_ones(tmp_path: Path) -> None:
    """Renaming is atomic within a file system only."""
    found: list[Path] = []

    def failpoint(name: str) -> None:
        if name == "picture written":
            found.extend((tmp_path / "pictures").iterdir())

    async with Store.open(tmp_path, failpoint=failpoint) as store:
        await store.pictures.put(picture(1))
    assert [path.suffix for path in found] == [".part"]


async def test_a_file_that_is_missing_is_named_in_the_error(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        name = "0123456789abcdef" * 4
        sentence = "^The file of picture 0123456789ab cannot be read.$"
        with pytest.raises(StoredPictureMissing, match=sentence):
            store.pictures.read_file(name)
        with pytest.raises(StoredPictureMissing, match=sentence):
            await store.pictures.get(name)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, OSError)],
)
async def test_only_a_disk_or_quota_without_space_is_a_full_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, "the device's error")

    async with Store.open(tmp_path) as store:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises((StorageFull, OSError)) as raised:
            await store.pictures.put(picture(1))
        monkeypatch.undo()
        assert type(raised.value) is expected
        assert list((tmp_path / "pictures").iterdir()) == []


async def test_only_the_picture_that_is_discarded_is_deleted(tmp_path: Path) -> None:
    async with Store.open(tmp_path) as store:
        names = [await store.pictures.put(picture(n)) for n in range(3)]
        store.pictures.named(names)
        store.pictures.delete([names[1], "f" * 64])
        left = {path.stem for path in (tmp_path / "pictures").iterdir()}
        assert left == {names[0], names[2]}
