"""`python -m bot backup` and `python -m bot restore`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from bot.backup.create import create
from bot.backup.restore import restore
from bot.config import Settings


async def back_up(settings: Settings, file: Path) -> int:
    """Write a backup; return 1 if pictures of jobs were missing, else 0.

    Raises:
        StartError: see `bot.backup.create`.
    """
    contents = await asyncio.to_thread(create, settings.data_dir, file)
    _print(f"{file}: {contents.jobs} jobs and {contents.pictures} pictures")
    if contents.missing:
        _print(f"{len(contents.missing)} pictures have no file; run `python -m bot check --deep`")
    return 1 if contents.missing else 0


async def restore_backup(settings: Settings, file: Path) -> int:
    """Restore a backup; return 1 if it had no file for some pictures, else 0.

    Raises:
        StartError: see `bot.backup.restore`.
    """
    done = await asyncio.to_thread(restore, file, settings.data_dir)
    found = done.contents
    _print(f"restored {found.jobs} jobs and {found.pictures - len(found.missing)} pictures")
    if found.missing:
        _print(f"{len(found.missing)} pictures had no file when the backup was made")
    if done.replaced:
        _print(f"the previous data is in {done.replaced}")
    return 1 if found.missing else 0


def _print(text: str) -> None:
    Console(highlight=False).print(text, soft_wrap=True, markup=False)
