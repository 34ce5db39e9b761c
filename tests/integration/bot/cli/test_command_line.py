"""`python -m bot`: the output and exit code of each command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.bot.cli.conftest import ROOT, CommandLine, Done
from tests.support.pictures import photo


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "in.jpg"
    photo(300, 200).save(path)
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("{none}", "x", "--out", "{out}.png", "--model", "noise"), "cannot be read"),
        (("{text}", "x", "--out", "{out}.png", "--model", "noise"), "is not a picture"),
        (("{source}", "x", "--out", "{out}.gif", "--model", "noise"), "none of .png, .webp, .jpg"),
        (("{source}", "x", "--out", "{out}.png", "--model", "nothing"), "neither in the catalogue"),
        (("{source}", "x", "--out", "{out}.png", "--strength", "2"), "not between"),
        (("{source}", "x", "--out", "{out}.png", "--seed", "-2"), "not a seed"),
        (("{source}", "x", "--out", "{out}.png", "--seed", "4294967296"), "not a seed"),
        (("{source}", "x", "--out", "{out}.png", "--seed", "1e3"), "not a seed"),
        (("{source}", "x", "--out", "{out}.png", "--seed", "9" * 5000), "not a seed"),
        (("{source}", "x", "--out", "{none}/out.png", "--model", "noise"), "no such folder"),
        (("{source}", "x", "--out", "{out}.png", "--model", "sd2-depth"), "cannot be reached"),
    ],
)
def test_render_reports_what_is_wrong(
    bot: CommandLine, tmp_path: Path, source: str, arguments: tuple[str, ...], said: str
) -> None:
    text = tmp_path / "text.png"
    text.write_text("not a picture at all")
    names = {"none": tmp_path / "none", "text": text, "source": source, "out": tmp_path / "out"}
    filled = [argument.format(**names) for argument in arguments]
    done = bot("render", *filled, DATA_DIR=str(tmp_path / "data"))
    assert done.code != 0
    assert said in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


@pytest.mark.parametrize("place", ["source", "prompt", "out", "negative", "seed"])
def test_render_refuses_arguments_that_are_not_utf_8(
    bot: CommandLine, tmp_path: Path, source: str, place: str
) -> None:
    bad = b"caf\xe9"
    values: dict[str, str | bytes] = {
        "source": source,
        "prompt": "x",
        "out": str(tmp_path / "o.png"),
        "negative": "y",
        "seed": "1",
    }
    values[place] = bad
    # As Python decodes the arguments of a process.
    texts = {key: os.fsdecode(value) for key, value in values.items()}
    done = bot(
        *("render", texts["source"], texts["prompt"], "--out", texts["out"]),
        *("--negative-prompt", texts["negative"], "--seed", texts["seed"], "--model", "noise"),
    )
    assert done == Done(1, "", "The argument 'caf\\xe9' is not valid UTF-8.\n")


def test_run_without_a_token_explains_how_to_get_one_and_how_to_invite(
    bot: CommandLine, tmp_path: Path
) -> None:
    done = bot("run", DATA_DIR=str(tmp_path))
    assert done.code == 1
    assert "https://discord.com/developers/applications" in done.err
    assert "scope=bot+applications.commands" in done.err
    asked = done.err.split("The link asks for: ")[1].split(".")[0]
    assert sorted(asked.split(", ")) == [
        "Attach Files",
        "Embed Links",
        "Read Message History",
        "Send Messages",
        "Send Messages in Threads",
        "View Channels",
    ]


def test_check_reports_everything_that_would_stop_the_bot(bot: CommandLine, tmp_path: Path) -> None:
    no_gpu = {"CUDA_VISIBLE_DEVICES": ""}
    done = bot("check", MODEL="nothing", DATA_DIR="/proc/redraw", DEVICE="cuda", **no_gpu)
    assert done.code == 1
    report = done.out
    assert "ok   settings" in report
    assert "bad  token: There is no DISCORD_TOKEN yet" in report
    assert "bad  model: The model 'nothing' is neither" in report
    assert "bad  device: torch finds no device cuda" in report
    assert "bad  storage: /proc/redraw cannot be written to" in report


def test_check_passes_a_working_setup(bot: CommandLine, tmp_path: Path) -> None:
    settings = {"MODEL": "noise", "DATA_DIR": str(tmp_path), "DTYPE": "float32"}
    done = bot("check", **settings, CUDA_VISIBLE_DEVICES="")
    assert "ok   model: noise" in done.out
    assert ", on this machine" in done.out
    assert "ok   device: cpu in float32" in done.out
    assert "ok   storage" in done.out
    assert done.err == ""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MAX_STEPS", "many", "MAX_STEPS must be a whole number, not 'many'."),
        ("MAX_STEPS", "500", "MAX_STEPS must be at most 150, not '500'."),
        ("BATCH_ROWS", "1.5", "BATCH_ROWS must be a whole number, not '1.5'."),
        ("QUEUE_LIMIT", "0", "QUEUE_LIMIT must be at least 1, not '0'."),
        ("RETENTION_HOURS", "a day", "RETENTION_HOURS must be a number, not 'a day'."),
        ("RETENTION_HOURS", "0", "RETENTION_HOURS must be more than 0, not '0'."),
        ("USER_INSTALL", "maybe", "USER_INSTALL must be true or false, not 'maybe'."),
        ("DEVICE", "gpu", "DEVICE must be auto, cuda, cuda:N, mps or cpu, not 'gpu'."),
        ("BACKGROUND", "red", "BACKGROUND must be a colour such as #ffffff, not 'red'."),
        ("ALLOWED_PORTS", "80, http", "ALLOWED_PORTS must be a whole number, not 'http'."),
        ("ROLE_WEIGHTS", "{bad", 'ROLE_WEIGHTS must be JSON, such as {"123": 2}.'),
        ("ROLE_WEIGHTS", "[1]", 'ROLE_WEIGHTS must be JSON of the form {"123": 2}, not [1].'),
        ("ROLE_WEIGHTS", '{"a": 2}', "ROLE_WEIGHTS must be a whole number, not 'a'."),
    ],
)
def test_a_wrong_setting_is_one_plain_sentence(
    bot: CommandLine, name: str, value: str, said: str
) -> None:
    assert bot("check", **{name: value}) == Done(1, "", said + "\n")


def test_unknown_names_in_env_are_reported(bot: CommandLine, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MODLE=pocket\nDTYPE=float32\nSOMETHING_ELSE=1\n")
    done = bot("check", cwd=tmp_path, DATA_DIR=str(tmp_path), MODEL="noise")
    expected = [
        "note settings: MODLE in .env is not a setting and is ignored. Did you mean MODEL?",
        "note settings: SOMETHING_ELSE in .env is not a setting and is ignored.",
    ]
    assert [line for line in done.out.splitlines() if line.startswith("note")] == expected
    done = bot("run", cwd=tmp_path, DATA_DIR=str(tmp_path))
    assert "MODLE in .env is not a setting" in done.err


def test_version_is_printed(bot: CommandLine) -> None:
    assert bot("--version").out.startswith("redraw ")


SLOW_STOP = """
import asyncio, signal
from bot.cli.signals import stop_event
async def main():
    stop = stop_event(signal.SIGINT, signal.SIGTERM)
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_a_slow_stop_at_once(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_STOP], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for expected in ("ready\n", "stopping\n"):
            assert process.stdout.readline() == expected
            process.send_signal(number)
        assert process.wait(30) == -number


READY = """
import asyncio, sys, time
from pathlib import Path
start = time.perf_counter()
import simcord
imported = time.perf_counter()
from tests.support.simulated_discord import open_simulated_discord
from tests.support.services import ScriptedService
async def main():
    async with open_simulated_discord(Path(sys.argv[1]), ScriptedService()) as discord_sim:
        await discord_sim.bot.wait_until_ready()
        heavy = [m for m in ("torch", "diffusers", "transformers") if m in sys.modules]
        print(heavy, f"{time.perf_counter() - imported:.2f} s to ready")
asyncio.run(main())
"""


def test_the_bot_is_ready_without_any_model_library(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-X", "importtime", "-c", READY, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    print(done.stdout)
    assert done.stdout.startswith("[]")
    assert " torch" not in done.stderr
    assert "discord.client" in done.stderr
