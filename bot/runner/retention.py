"""Erases jobs after the retention time, while the bot runs."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from bot.errors import StorageFull
from bot.store.store import Store

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 600.0


async def erase_expired_jobs(store: Store, hours: float, clock: Callable[[], float]) -> None:
    """Now and every ten minutes: erase jobs that were answered more than `hours` ago, those of
    servers with a shorter time of their own, and the users of past days in the ledger. Runs until
    cancelled."""
    while True:
        try:
            erased = await store.erase_before(clock() - hours * 3600)
            for guild_id, own in (await store.guild_settings.with_retention()).items():
                if own < hours:
                    erased += await store.erase_before(clock() - own * 3600, guild_id)
            await store.ledger.expire(clock())
        except (StorageFull, OSError, sqlite3.Error) as error:
            log.error("old jobs could not be erased; trying again later: %s", error)
        else:
            if erased:
                log.info("erased %d jobs after their retention time", erased)
        await asyncio.sleep(INTERVAL_SECONDS)
