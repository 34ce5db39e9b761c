"""The commands on macOS and Windows: what those systems do not have is taken away here.

`render` runs on this system as it is, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pictures import photo

ROOT = Path(__file__).parents[4]

# Python imports this file at its start, in the command's process and in every child.
WITHOUT = f"""
import asyncio, os, signal, sys

del os.sched_getaffinity
del signal.SIGHUP
real_sysconf = os.sysconf

def sysconf(name):
    # Libraries have another implementation on Windows; here they still need it.
    if sys._getframe(1).f_code.co_filename.startswith({str(ROOT)!r} + "/inference"):
        raise AttributeError("sysconf")
    return real_sysconf(name)

def missing(*_):
    raise NotImplementedError

os.sysconf = sysconf
for name in ("add_signal_handler", "remove_signal_handler"):
    setattr(asyncio.SelectorEventLoop, name, missing)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    return {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "DATA_DIR": str(tmp_path / "data"),
        "MODEL": "noise",
        # As on a machine without a GPU.
        "CUDA_VISIBLE_DEVICES": "",
        "DTYPE": "float32",
        "DISCORD_TOKEN": "",
    }


def bot(
    environment: dict[str, str], *arguments: str, options: tuple[str, ...] = ("-W", "ignore")
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-m", "bot", *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_check_works(environment: dict[str, str]) -> None:
    done = bot(environment, "check")
    assert "ok   device: cpu in float32" in done.stdout
    assert "ok   storage" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("system", ["this", "others"])
def test_render_and_its_worker_print_the_result_and_nothing_else(
    environment: dict[str, str], tmp_path: Path, system: str
) -> None:
    """No warning, no progress bar of a library, no blank line."""
    if system == "this":
        del environment["PYTHONPATH"]
    photo(300, 200).save(tmp_path / "in.jpg")
    out = tmp_path / "out.png"
    del environment["OMP_NUM_THREADS"]
    done = bot(
        environment,
        *("render", str(tmp_path / "in.jpg"), "a red apple", "--model", "pocket"),
        *("--steps", "2", "--seed", "1", "--out", str(out)),
        options=(),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{out}: ")
    assert done.stdout.count("\n") == 2
    assert out.is_file()


STOP = """
import asyncio
from bot.cli.signals import ENDINGS, stop_event

async def main():
    stop = stop_event(*ENDINGS)
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_signals_stop_a_command(environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STOP], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for expected in ("ready\n", "stopping\n"):
            assert process.stdout.readline() == expected
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
