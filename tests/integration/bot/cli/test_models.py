"""`python -m bot models`, against a fake hub on the loopback interface."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.hub.fake_hub import COMMIT, REPOSITORY, FakeHub
from tests.support.hub.model_repositories import save_old_layout

ROOT = Path(__file__).parents[4]


@dataclass
class Done:
    code: int | None
    out: str
    err: str


Run = Callable[..., Awaitable[Done]]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[FakeHub]:
    hub = FakeHub(save_old_layout(tmp_path / "repository"))
    async with hub.open():
        yield hub


@pytest.fixture
def bot(hub: FakeHub, tmp_path: Path) -> Run:
    async def run(*arguments: str, **environment: str) -> Done:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-m", "bot", *arguments),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "HF_ENDPOINT": hub.url,
                "DTYPE": "float32",
                "DEVICE": "cpu",
                "COLUMNS": "200",
                **environment,
            },
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return Done(process.returncode, out.decode(), err.decode())

    return run


def settings(tmp_path: Path) -> dict[str, str]:
    return {
        "MODEL": REPOSITORY,
        "DATA_DIR": str(tmp_path / "data"),
        "HF_HOME": str(tmp_path / "hub"),
        "HF_TOKEN": "hf_secret",
        "LOG_LEVEL": "DEBUG",
    }


async def test_a_model_is_downloaded_listed_and_removed(
    bot: Run, hub: FakeHub, tmp_path: Path
) -> None:
    own = settings(tmp_path)
    listed = await bot("models", "list", **own)
    assert (listed.code, hub.requests) == (0, [])
    assert "sd2-depth" in listed.out
    assert "openrail++" in listed.out
    assert "2.8 GB half, 5.6 GB full" in listed.out
    done = await bot("models", "download", REPOSITORY, **own)
    assert done.code == 0, done.err
    assert "licence: unknown, precision: float32" in done.out
    assert COMMIT in done.out
    assert hub.tokens == {"hf_secret"}
    assert "hf_secret" not in done.out + done.err
    listed = await bot("models", "list", **own)
    assert "GB (full)" in listed.out
    # The check finds it, without the network.
    hub.requests.clear()
    report = await bot("check", HF_HUB_OFFLINE="true", **own)
    assert f"ok   model: {REPOSITORY} from {REPOSITORY}" in report.out
    assert "downloaded to " + str(tmp_path / "hub") in report.out
    removed = await bot("models", "remove", REPOSITORY, **own)
    assert f"{REPOSITORY} is removed: " in removed.out
    assert not list((tmp_path / "hub").rglob("*.safetensors"))
    again = await bot("models", "remove", REPOSITORY, **own)
    assert "is not on this machine" in again.out
    report = await bot("check", HF_HUB_OFFLINE="true", **own)
    assert "is not downloaded, and HF_HUB_OFFLINE is true" in report.out


async def test_the_check_looks_at_the_disk_of_the_hub_s_cache(
    bot: Run, hub: FakeHub, tmp_path: Path
) -> None:
    report = await bot("check", **settings(tmp_path) | {"MODEL": "sd2-depth"})
    assert f"will be downloaded to {tmp_path / 'hub' / 'hub'} (" in report.out
    assert "models download" not in report.out
    assert hub.requests == []


@pytest.mark.parametrize(
    ("refuse", "message"),
    [
        ((403, "GatedRepo"), "Accept the terms on the repository's page"),
        ((404, "RepoNotFound"), "has no repository some/model, or it is private. Check MODEL."),
    ],
)
async def test_a_refused_download_is_one_sentence_with_the_setting(
    bot: Run, hub: FakeHub, tmp_path: Path, refuse: tuple[int, str], message: str
) -> None:
    hub.refuse = refuse
    done = await bot(
        "models", "download", REPOSITORY, **settings(tmp_path) | {"LOG_LEVEL": "ERROR"}
    )
    assert done.code == 1
    assert message in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("download", "pocket"), "there is nothing to download"),
        (("remove", "pocket"), "was not downloaded"),
    ],
)
async def test_a_bundled_model_is_neither_downloaded_nor_removed(
    bot: Run, arguments: tuple[str, ...], message: str
) -> None:
    done = await bot("models", *arguments)
    assert (done.code, message in done.out) == (0, True)


async def test_an_unknown_model_is_one_sentence(bot: Run) -> None:
    done = await bot("models", "download", "nothing")
    assert done.code == 1
    assert "neither in the catalogue" in done.err
