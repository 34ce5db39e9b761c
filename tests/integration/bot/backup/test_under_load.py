"""Backups of a bot that works under load and is killed again and again are complete and intact."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from bot.backup.create import create
from bot.backup.restore import restore
from bot.store.opening import FILE_NAME
from tests.support.bots.crash_campaign import Campaign
from tests.support.fake_discord.server import fake_discord
from tests.support.fake_discord.state import DiscordState

pytestmark = [
    # A bot that is killed during an upload leaves the fake server with an incomplete form.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.timeout(900),
]
JOBS_A_ROUND = 16


def ids(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / FILE_NAME)) as db:
        return {id_ for (id_,) in db.execute("SELECT id FROM job")}


def back_up_and_check(folder: Path, target: Path) -> set[str]:
    """Make a backup, restore it elsewhere and check it; the ids of its jobs."""
    file = target.with_suffix(".tar")
    contents = create(folder, file)
    assert contents.missing == ()
    restored = restore(file, target).contents
    assert restored.intact
    assert (restored.jobs, restored.pictures) == (contents.jobs, contents.pictures)
    return ids(target)


@pytest.mark.parametrize("kills", [3, pytest.param(150, marks=pytest.mark.slow)])
async def test_every_backup_of_a_bot_that_is_killed_is_intact(tmp_path: Path, kills: int) -> None:
    state = DiscordState()
    backups: list[set[str]] = []

    async def back_up() -> None:
        while True:
            target = tmp_path / f"backup{len(backups)}"
            backups.append(await asyncio.to_thread(back_up_and_check, bot.folder, target))

    async with fake_discord(state) as discord:
        bot = Campaign(discord, tmp_path / "bot", 1000, Random(1), deleted=0.0)
        state.on_show = bot.watch
        await bot.round(JOBS_A_ROUND)
        task = asyncio.create_task(back_up())
        # On a busy machine a backup takes longer than a round.
        rounds = 1
        while rounds < kills or len(backups) < kills:
            await bot.round(JOBS_A_ROUND)
            rounds += 1
            if task.done():
                task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        # The bot is dead now, and its log was not written back.
        last = await asyncio.to_thread(back_up_and_check, bot.folder, tmp_path / "last")
    assert last == ids(bot.folder)
    assert set(bot.seen) <= last
    # Each later backup has all jobs of the earlier ones: none is erased within a test.
    assert all(earlier <= later for earlier, later in pairwise(backups))
