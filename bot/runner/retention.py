"""Erases jobs after the retention time, while the bot runs, also when the system's clock jumps."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from bot.errors import StorageFull
from bot.retention_clock import RetentionClock
from bot.store.erasure import last_activity, limit_answer_times
from bot.store.store import Store

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 600.0
# If the last activity was so long before the start, the clock may be wrong: erasure then waits for
# a time service, or the operator, to set it right.
GAP_SECONDS = 7 * 86400.0
HOLD_SECONDS = 3600.0


async def erase_expired_jobs(store: Store, hours: float, clock: Callable[[], float]) -> None:
    """Now and every ten minutes: erase jobs that were answered more than `hours` ago, those of
    servers with a shorter time of their own, and the users of past days in the ledger. Runs until
    cancelled."""
    retention_clock = RetentionClock(clock)
    gap = clock() - (await last_activity(store.database) or clock())
    if gap > hours * 3600 + GAP_SECONDS:
        log.warning(
            "the last request was %.0f days ago: if the clock is wrong, set it within the next "
            "%.0f minutes; then expired jobs are erased",
            gap / 86400,
            HOLD_SECONDS / 60,
        )
        await asyncio.sleep(HOLD_SECONDS)
    while True:
        try:
            await _erase(store, hours * 3600, retention_clock)
        except (StorageFull, OSError, sqlite3.Error) as error:
            log.error("old jobs could not be erased; trying again later: %s", error)
        await asyncio.sleep(INTERVAL_SECONDS)


async def _erase(store: Store, seconds: float, retention_clock: RetentionClock) -> None:
    if retention_clock.was_set_back():
        await limit_answer_times(store.database, retention_clock.now())
    erased = await store.erase_before(retention_clock.cutoff(seconds))
    for guild_id, own in (await store.guild_settings.with_retention()).items():
        if own * 3600 < seconds:
            erased += await store.erase_before(retention_clock.cutoff(own * 3600), guild_id)
    await store.ledger.expire(retention_clock.cutoff(seconds) + seconds)
    if erased:
        log.info("erased %d jobs after their retention time", erased)
