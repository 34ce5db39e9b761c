"""The limits of memory and processor time of the child processes that decode pictures."""

from __future__ import annotations

import contextlib
import struct
import sys
import zlib

import psutil
import pytest
from PIL import Image, PngImagePlugin

from bot.intake import Intake, IntakeLimits, PictureError, TooMuchWork
from tests.support.intake.pictures import SMALL, encoded, quarters
from tests.support.intake.processes import peak_memory, sandbox_children

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits need Linux")

PLAIN = encoded(quarters(), "PNG")
GENEROUS = IntakeLimits(decode_seconds=60)
"""For tests that are not about time, on a busy machine."""


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
    peaks: list[int] = []
    async with Intake(GENEROUS) as intake:
        for data in bombs().values():
            assert len(data) < 2**20
            with contextlib.suppress(PictureError):
                await intake.from_bytes(data, **SMALL)
            peaks += [peak_memory(child) for child in sandbox_children()]
        await intake.from_bytes(PLAIN, **SMALL)
    assert max(peaks) <= GENEROUS.decode_memory
    # The last one needs much memory, and is decoded.
    assert max(peaks) > 2 * 49_000_000


async def test_a_child_that_runs_out_of_memory_costs_one_request() -> None:
    limits = IntakeLimits(decode_seconds=60, decode_memory=200 * 2**20, max_bytes=2**26)
    async with Intake(limits) as intake:
        with pytest.raises(TooMuchWork):
            await intake.from_bytes(encoded(Image.new("RGB", (7000, 7000)), "PNG"), **SMALL)
        await intake.from_bytes(PLAIN, **SMALL)


async def test_each_task_may_use_twenty_seconds_of_cpu_time() -> None:
    async with Intake(GENEROUS) as intake:
        await intake.from_bytes(PLAIN, **SMALL)
        (child,) = sandbox_children()
        # The child has used some time when it sets its limit, and more afterwards.
        used = child.cpu_times()
        soft, hard = child.rlimit(psutil.RLIMIT_CPU)
        assert 20 <= soft <= used.user + used.system + 20
        assert hard == psutil.RLIM_INFINITY
        child.rlimit(psutil.RLIMIT_CPU, (soft + 100, hard))
        await intake.from_bytes(PLAIN, **SMALL)
        assert child.rlimit(psutil.RLIMIT_CPU)[0] in (soft, soft + 1)
