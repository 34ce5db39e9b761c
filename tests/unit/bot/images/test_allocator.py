"""The memory of pictures goes back to the system when they are freed."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from bot.images.allocator import return_freed_pictures

# A large block that is freed raises the default threshold. Each later block lies below a small one
# that stays.
SCRIPT = """
import psutil
from bot.images.allocator import return_freed_pictures
assert return_freed_pictures()
del (first := [bytearray(16 << 20)])[0]
process = psutil.Process()
before = process.memory_info().rss
blocks, kept = [], []
for _ in range(64):
    blocks.append(bytearray(1 << 20))
    kept.append(bytearray(2000))
full = process.memory_info().rss
blocks.clear()
print((full - before) >> 20, (process.memory_info().rss - before) >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_blocks_of_a_picture_s_size_return_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[4],
        check=True,
        capture_output=True,
        text=True,
    )
    full, left = map(int, done.stdout.split())
    assert full >= 60
    assert left <= 8


def test_a_c_library_without_the_setting_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not return_freed_pictures()
