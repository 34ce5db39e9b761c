"""`python -m bot backup` and `python -m bot restore`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.console import Console

from bot.backup.create import create
from bot.backup.restore import restore
from bot.config import Settings
from bot.i18n.plurals import counted


async def back_up(settings: Settings, file: Path) -> int:
    """Write a backup; return 1 if pictures of jobs were missing, else 0.

    Raises:
        StartError: see `bot.backup.create`.
    """
    contents = await asyncio.to_thread(create, settings.data_dir, file)
    _print(f"{file}: {_contents(contents.jobs, contents.pictures)}")
    if contents.missing:
        missing = counted(len(contents.missing), "picture has", "pictures have")
        _print(f"{missing} no file; run `python -m bot check --deep`")
    return 1 if contents.missing else 0


async def restore_backup(settings: Settings, file: Path) -> int:
    """Restore a backup; return 1 if it had no file for some pictures, else 0.

    Raises:
        StartError: see `bot.backup.restore`.
    """
    done = await asyncio.to_thread(restore, file, settings.data_dir)
    found = done.contents
    _print(f"restored {_contents(found.jobs, found.pictures - len(found.missing))}")
    if found.missing:
        missing = counted(len(found.missing), "picture", "pictures")
        _print(f"{missing} had no file when the backup was made")
    if done.replaced:
        _print(f"the previous data is in {done.replaced}")
    return 1 if found.missing else 0


def _contents(jobs: int, pictures: int) -> str:
    return f"{counted(jobs, 'job', 'jobs')} and {counted(pictures, 'picture', 'pictures')}"


def _print(text: str) -> None:
    Console(highlight=False).print(text, soft_wrap=True, markup=False)
