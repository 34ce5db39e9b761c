"""The commands `backup`, `restore` and `check --deep`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.cli.check import _store
from bot.store.opening import FILE_NAME
from bot.store.store import Store
from tests.support.jobs import job, picture


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with one job, which the settings name."""
    folder = tmp_path / "data"

    async def fill() -> None:
        async with Store.open(folder) as store:
            await store.accept(job(await store.pictures.put(picture(1))))

    asyncio.run(fill())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATA_DIR", str(folder))
    return folder


def test_backup_and_restore_say_what_they_did(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backup", "copy.tar"]) == 0
    assert capsys.readouterr().out == "copy.tar: 1 job and 1 picture\n"
    assert main(["backup", "copy.tar"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["restore", "copy.tar"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("restored 1 job and 1 picture\nthe previous data is in ")
    assert main(["restore", "other.tar"]) == 1
    assert "other.tar cannot be restored" in capsys.readouterr().err


def test_a_deep_check_tells_what_is_lost_and_where(data: Path) -> None:
    [finding] = _store(data)
    assert (finding.good, finding.text) == (True, "1 job and 1 picture, all intact")
    [path] = (data / "pictures").iterdir()
    path.unlink()
    [finding] = _store(data)
    assert (finding.good, finding.fatal) == (False, True)
    assert finding.text == f"1 picture of a job has no file: {path.stem[:16]}"
    (data / FILE_NAME).write_text("not a database")
    [finding] = _store(data)
    assert (finding.good, finding.fatal) == (False, True)
    assert "is damaged" in finding.text
