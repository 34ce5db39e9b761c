"""Damaged and hostile files end as a picture or as one of the errors."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from PIL import Image

from bot.intake import (
    BrokenPicture,
    FileTooLarge,
    Intake,
    IntakeLimits,
    NotAPicture,
    PictureError,
    TooManyPixels,
    TooMuchWork,
)
from bot.intake.sandbox import pool
from tests.support.intake.pictures import (
    BUDGET,
    SMALL,
    encoded,
    mutated,
    odd_pictures,
    quarters,
)
from tests.support.intake.processes import sandbox_children

PLAIN = encoded(quarters(), "PNG")
GENEROUS = IntakeLimits(decode_seconds=60)
"""For tests that are not about time, on a busy machine."""


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", NotAPicture),
        (b"hello", NotAPicture),
        (b"<!doctype html><title>x</title>", NotAPicture),
        (PLAIN[:30] + bytes(len(PLAIN)), BrokenPicture),
        (encoded(Image.new("1", (7300, 7300)), "PNG"), TooManyPixels),
        (encoded(Image.new("1", (20_000, 20_000)), "PNG"), TooManyPixels),
    ],
)
async def test_files_that_cannot_be_decoded_raise_their_error(
    data: bytes, error: type[PictureError]
) -> None:
    async with Intake(GENEROUS) as intake:
        with pytest.raises(error) as raised:
            await intake.from_bytes(data, **BUDGET)
        assert str(raised.value).endswith(".")
        await intake.from_bytes(PLAIN, **SMALL)


async def test_too_many_bytes_are_refused_without_a_child() -> None:
    size = (64, 64)
    async with Intake(IntakeLimits(max_bytes=len(PLAIN) - 1)) as intake:
        with pytest.raises(FileTooLarge):
            await intake.from_bytes(PLAIN, **SMALL)
        with pytest.raises(FileTooLarge):
            await intake.mask_from_bytes(PLAIN, size=size)
        assert sandbox_children() == []
    # The limit itself is accepted.
    async with Intake(IntakeLimits(max_bytes=len(PLAIN), decode_seconds=60)) as intake:
        assert (await intake.from_bytes(PLAIN, **SMALL)).width == 64
        assert len(await intake.mask_from_bytes(PLAIN, size=size)) == 64 * 64


async def suspended_child(intake: Intake) -> psutil.Process:
    """The child process, suspended."""
    await intake.from_bytes(PLAIN, **SMALL)
    (child,) = sandbox_children()
    child.suspend()
    return child


async def test_a_child_that_hangs_costs_one_request() -> None:
    async with Intake(GENEROUS) as intake:
        await suspended_child(intake)
        intake._sandbox._seconds = 0.05
        with pytest.raises(TooMuchWork):
            await intake.from_bytes(PLAIN, **SMALL)
        intake._sandbox._seconds = GENEROUS.decode_seconds
        assert sandbox_children() == []
        await intake.from_bytes(PLAIN, **SMALL)


async def test_a_child_that_dies_costs_one_request() -> None:
    async with Intake(GENEROUS) as intake:
        child = await suspended_child(intake)
        work = asyncio.create_task(intake.from_bytes(PLAIN, **SMALL))
        await asyncio.sleep(0)
        child.kill()
        with pytest.raises(TooMuchWork):
            await work
        await intake.from_bytes(PLAIN, **SMALL)


async def test_a_child_that_dies_while_idle_costs_no_request() -> None:
    async with Intake(GENEROUS) as intake:
        (await suspended_child(intake)).kill()
        await intake._sandbox._idle[0]._process.wait()
        await intake.from_bytes(PLAIN, **SMALL)


async def test_cancelling_a_request_kills_its_child() -> None:
    async with Intake(GENEROUS) as intake:
        await suspended_child(intake)
        work = asyncio.create_task(intake.from_bytes(PLAIN, **SMALL))
        await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert sandbox_children() == []


async def test_children_are_replaced_after_many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_TASKS_PER_CHILD", 3)
    seen = set()
    async with Intake(GENEROUS) as intake:
        for _ in range(7):
            await intake.from_bytes(PLAIN, **SMALL)
            seen |= {child.pid for child in sandbox_children()}
    assert len(seen) == 3


async def test_closing_ends_every_child() -> None:
    async with Intake(GENEROUS) as intake:
        await asyncio.gather(*(intake.from_bytes(PLAIN, **SMALL) for _ in range(2)))
        assert len(sandbox_children()) == 2
    assert sandbox_children() == []


async def test_a_child_that_is_busy_at_the_close_ends_with_its_task() -> None:
    async with Intake(GENEROUS) as intake:
        child = await suspended_child(intake)
        work = asyncio.create_task(intake.from_bytes(PLAIN, **SMALL))
        await asyncio.sleep(0)
    assert sandbox_children() == [child]
    child.resume()
    assert (await work).width == 64
    assert sandbox_children() == []


async def test_cancelling_after_the_close_kills_the_busy_child() -> None:
    async with Intake(GENEROUS) as intake:
        await suspended_child(intake)
        work = asyncio.create_task(intake.from_bytes(PLAIN, **SMALL))
        await asyncio.sleep(0)
    work.cancel()
    await asyncio.wait({work})
    assert sandbox_children() == []


async def test_the_child_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "very-secret")
    async with Intake(GENEROUS) as intake:
        await intake.from_bytes(PLAIN, **SMALL)
        (child,) = sandbox_children()
        assert "very-secret" not in str(child.environ()) + str(child.cmdline())
        assert "DISCORD_TOKEN" not in child.environ()


def test_the_child_imports_every_module_before_it_starts(tmp_path: Path) -> None:
    """It cannot open files, so a later import would fail."""
    chance = random.Random(7)
    for number, (name, data) in enumerate(odd_pictures().items()):
        (tmp_path / f"{number}").write_bytes(data)
        for copy in range(4):
            (tmp_path / f"{name}-{copy}").write_bytes(mutated(data, chance))
    code = (
        "import pathlib, sys\n"
        "from bot.intake.sandbox import sandbox_main\n"
        "from bot.intake.decoding import decode\n"
        "files = [path.read_bytes() for path in sorted(pathlib.Path(sys.argv[1]).iterdir())]\n"
        "before = set(sys.modules)\n"
        "for data in files:\n"
        "    try: decode.decode(data, pixels=64 * 64, multiple=64, max_pixels=10**6,\n"
        "                       background=(1, 2, 3))\n"
        "    except Exception: pass\n"
        "print(set(sys.modules) - before)\n"
        "print({'torch', 'discord', 'aiohttp', 'numpy'} & set(sys.modules))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == ["set()", "set()"]


INVALID_RESPONSES = [
    "b''",
    "b'nonsense\\n'",
    "b'[]\\n'",
    "b'[' * 60000 + b'\\n'",
    "b'x' * 100000 + b'\\n'",
    "b'{\"length\": -1}\\n'",
    "b'{\"length\": 1000000000}\\n'",
    'b\'{"length": "3"}\\n\'',
    'b\'{"length": 12, "width": 64, "height": 64}\\n\' + bytes(12)',
    'b\'{"length": 12288, "width": 4096, "height": 1}\\n\' + bytes(12288)',
    'b\'{"length": 3, "width": 64, "height": 64}\\n\'',
    'b\'{"length": 0, "error": "SystemExit"}\\n\'',
]


@pytest.mark.parametrize("response", INVALID_RESPONSES)
async def test_invalid_responses_of_a_child_are_refused(
    response: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys; out = sys.stdout.buffer\n"
        'out.write(b\'{"length": 0, "limited": true}\\n\'); out.flush()\n'
        f"sys.stdin.buffer.readline(); out.write({response}); out.flush()\n"
    )
    monkeypatch.setattr(pool, "_COMMAND", ("-c", code))
    async with Intake(GENEROUS) as intake:
        with pytest.raises(TooMuchWork):
            await intake.from_bytes(PLAIN, **SMALL)


async def test_a_sandbox_that_does_not_start_raises_runtime_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "_COMMAND", ("-c", "raise SystemExit(1)"))
    async with Intake(GENEROUS) as intake:
        with pytest.raises(RuntimeError, match="does not start"):
            await intake.from_bytes(PLAIN, **SMALL)


async def test_the_sandbox_works_in_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modules in the working directory or in PYTHONPATH do not replace its own."""
    (tmp_path / "json.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with Intake(GENEROUS) as intake:
        picture = await intake.from_bytes(PLAIN, **SMALL)
    assert picture.width == picture.height == 64
