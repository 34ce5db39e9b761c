"""Damaged, unusual and hostile files end as a picture or as one of the errors."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import psutil
import pytest
from PIL import Image, PngImagePlugin

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


@pytest.mark.parametrize("kind", odd_pictures())
async def test_undamaged_files_are_decoded(kind: str) -> None:
    async with Intake(GENEROUS) as intake:
        await intake.from_bytes(odd_pictures()[kind], **SMALL)


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
    async with Intake(IntakeLimits(max_bytes=1000)) as intake:
        with pytest.raises(FileTooLarge):
            await intake.from_bytes(bytes(1001), **SMALL)
        assert sandbox_children() == []


def bombs() -> dict[str, bytes]:
    """Small files that expand to much memory, although their pixel count is allowed."""
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "x" * 60_000_000, zip=True)
    image = quarters(size=(48, 32))
    png = encoded(image, "PNG")
    chunk = b"iCCP" + b"x\0\0" + zlib.compress(bytes(200_000_000), 9)
    profile = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    frames = [Image.new("L", (4000, 4000), n) for n in range(8)]
    return {
        "compressed text": encoded(image, "PNG", pnginfo=text),
        "compressed profile": png[:33] + profile + png[33:],
        "many frames": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "forty-nine megapixels": encoded(Image.new("L", (7000, 7000)), "PNG"),
    }


async def test_decompression_bombs_stay_within_the_child_s_memory() -> None:
    async with Intake(GENEROUS) as intake:
        for data in bombs().values():
            assert len(data) < 2**20
            with contextlib.suppress(PictureError):
                await intake.from_bytes(data, **SMALL)
        await intake.from_bytes(PLAIN, **SMALL)


async def suspended_child(intake: Intake) -> psutil.Process:
    """The child process, suspended."""
    await intake.from_bytes(PLAIN, **SMALL)
    (child,) = sandbox_children()
    child.suspend()
    return child


async def test_a_child_that_hangs_costs_one_request() -> None:
    async with Intake(IntakeLimits(decode_seconds=1)) as intake:
        await suspended_child(intake)
        with pytest.raises(TooMuchWork):
            await intake.from_bytes(PLAIN, **SMALL)
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


@pytest.mark.skipif(sys.platform != "linux", reason="memory limits need Linux")
async def test_a_child_that_runs_out_of_memory_costs_one_request() -> None:
    limits = IntakeLimits(decode_seconds=60, decode_memory=200 * 2**20, max_bytes=2**26)
    async with Intake(limits) as intake:
        with pytest.raises(TooMuchWork):
            await intake.from_bytes(encoded(Image.new("RGB", (7000, 7000)), "PNG"), **SMALL)
        await intake.from_bytes(PLAIN, **SMALL)


async def test_closing_ends_every_child() -> None:
    async with Intake(GENEROUS) as intake:
        await intake.from_bytes(PLAIN, **SMALL)
        assert len(sandbox_children()) == 1
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
