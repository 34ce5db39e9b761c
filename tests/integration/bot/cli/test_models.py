"""`python -m bot models`, against a fake hub on the loopback interface."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.hub.fake_hub import COMMIT, REPOSITORY, FakeHub
from tests.support.hub.model_repositories import save_old_layout

ROOT = Path(__file__).parents[4]


# Runs commands one after the other in one process: each start imports the bot, and `check` torch.
SCRIPT = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from bot.__main__ import main
done = []
for command in sys.argv[1:]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(command.split())
    done.append((code, out.getvalue(), err.getvalue()))
json.dump(done, sys.stdout)
"""


@dataclass
class Done:
    """What a command ended with; `log` is what its process and its workers wrote to stderr."""

    code: int
    out: str
    err: str
    log: str


Run = Callable[..., Awaitable[list[Done]]]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[FakeHub]:
    hub = FakeHub(save_old_layout(tmp_path / "repository"))
    async with hub.open():
        yield hub


@pytest.fixture
def bot(hub: FakeHub, tmp_path: Path) -> Run:
    async def run(*commands: str, **environment: str) -> list[Done]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-c", SCRIPT, *commands),
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
        assert process.returncode == 0, err.decode()
        return [Done(code, said, told, err.decode()) for code, said, told in json.loads(out)]

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
    done, listed = await bot(f"models download {REPOSITORY}", "models list", **own)
    assert done.code == 0, done.err
    assert "licence: unknown, precision: float32" in done.out
    assert COMMIT in done.out
    assert hub.tokens == {"hf_secret"}
    assert "hf_secret" not in done.out + done.err + done.log
    assert "GB (full)" in listed.out
    # The check finds it, without the network.
    hub.requests.clear()
    report, removed, again, after = await bot(
        "check",
        *[f"models remove {REPOSITORY}"] * 2,
        "check",
        HF_HUB_OFFLINE="true",
        **own,
    )
    assert f"ok   model: {REPOSITORY} from {REPOSITORY}" in report.out
    assert "downloaded to " + str(tmp_path / "hub") in report.out
    assert f"{REPOSITORY} is removed: " in removed.out
    assert not list((tmp_path / "hub").rglob("*.safetensors"))
    assert "is not on this machine" in again.out
    assert "is not downloaded, and HF_HUB_OFFLINE is true" in after.out
    assert hub.requests == []


async def test_the_catalogue_is_listed_and_the_check_looks_at_the_disk_of_the_hub_s_cache(
    bot: Run, hub: FakeHub, tmp_path: Path
) -> None:
    """Both without a request to the hub."""
    own = settings(tmp_path) | {"MODEL": "sd2-depth"}
    listed, report = await bot("models list", "check", **own)
    assert listed.code == 0
    assert "sd2-depth" in listed.out
    assert "openrail++" in listed.out
    assert "2.8 GB half, 5.6 GB full" in listed.out
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
    own = settings(tmp_path) | {"LOG_LEVEL": "ERROR"}
    [done] = await bot(f"models download {REPOSITORY}", **own)
    assert done.code == 1
    assert message in done.err.splitlines()[-1]
    assert "Traceback" not in done.err + done.log


async def test_a_bundled_or_unknown_model_is_neither_downloaded_nor_removed(bot: Run) -> None:
    download, remove, unknown = await bot(
        "models download pocket", "models remove pocket", "models download nothing"
    )
    assert (download.code, "there is nothing to download" in download.out) == (0, True)
    assert (remove.code, "was not downloaded" in remove.out) == (0, True)
    assert unknown.code == 1
    assert "neither in the catalogue" in unknown.err
