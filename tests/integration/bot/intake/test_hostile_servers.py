"""Hostile servers are stopped by the limits of time and size, and do not stall the bot."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bot.intake import (
    DeadLink,
    FileTooLarge,
    Intake,
    IntakeLimits,
    LinkError,
    LinkTooSlow,
    PictureError,
    TooManyRedirects,
)
from tests.support.intake.hostile_network import name_server
from tests.support.intake.hostile_server import HOSTILE, hostile_server

MAX_BYTES = 4 * 2**20
# Far beyond what any of these tests takes.
NEVER = 200.0
EXPECTED_ERRORS = {
    "drip": LinkTooSlow,
    "slow-head": LinkTooSlow,
    "silent": LinkTooSlow,
    "chunks": FileTooLarge,
    "continue": DeadLink,
    "endless": FileTooLarge,
    "gzip": FileTooLarge,
    "empty-gzip": FileTooLarge,
    "headers": DeadLink,
    "long-header": DeadLink,
    "trailers": DeadLink,
    "loop": TooManyRedirects,
    "nested-gzip": FileTooLarge,
    "codings": DeadLink,
}

# They take seconds of processor time until the limit of size, so that the limit of time may come
# first.
MUCH_WORK = ("empty-gzip", "nested-gzip")


async def _outcome_of(intake: Intake, link: str) -> str:
    try:
        await intake.fetch(link)
    except (LinkError, PictureError) as error:
        return type(error).__name__
    return "fetched"


@asynccontextmanager
async def hostile() -> AsyncIterator[
    tuple[Callable[[float], Intake], str, Callable[[], dict[str, int]]]
]:
    """An intake with a limit of so many seconds, the site, and the bytes that it sent."""
    with hostile_server() as (port, sent):
        async with name_server() as (names, resolve):
            names.answers["host.test"] = [["127.0.0.1"]]

            def intake(seconds: float) -> Intake:
                limits = IntakeLimits(
                    total_seconds=seconds,
                    max_bytes=MAX_BYTES,
                    allowed_ports=(port,),
                    allowed_hosts=("host.test",),
                )
                return Intake(limits, resolve=resolve)

            yield intake, f"http://host.test:{port}", sent


async def test_every_hostile_server_is_stopped_by_the_limits() -> None:
    async with hostile() as (opened, site, sent), opened(1.0) as hurried, opened(NEVER) as patient:
        for kind, error in EXPECTED_ERRORS.items():
            if kind in MUCH_WORK:
                name = await _outcome_of(hurried, f"{site}/{kind}")
                assert name in (error.__name__, LinkTooSlow.__name__), kind
                continue
            # No limit of size or structure depends on how fast this machine is.
            intake = hurried if error is LinkTooSlow else patient
            assert await _outcome_of(intake, f"{site}/{kind}") == error.__name__, kind
    # The count includes bytes in the system's buffers, a few megabytes for each connection.
    assert sent()
    assert all(count < MAX_BYTES + 12 * 2**20 for count in sent().values()), sent()


async def _longest_stalls(seconds: float, clock: Callable[[], float]) -> float:
    """The 99th percentile of the loop's time between two of its turns, by that clock, during 108
    hostile fetches."""
    stalls: list[float] = []

    async def watch_the_loop() -> None:
        while True:
            before = clock()
            await asyncio.sleep(0)
            stalls.append(clock() - before)
            await asyncio.sleep(0.005)

    # The objects of the tests before this one are excluded from garbage collection, too.
    gc.collect()
    gc.freeze()
    async with hostile() as (opened, site, _), opened(seconds) as intake:
        watch = asyncio.create_task(watch_the_loop())
        links = [f"{site}/{HOSTILE[number % len(HOSTILE)]}" for number in range(108)]
        ends = await asyncio.gather(*(_outcome_of(intake, link) for link in links))
        watch.cancel()
    assert "fetched" not in ends
    return sorted(stalls)[int(len(stalls) * 0.99)]


async def test_the_bots_event_loop_does_no_work_for_hostile_servers() -> None:
    """The processor time of the loop's own thread: other work on the machine adds nothing."""
    assert await _longest_stalls(3.0, time.thread_time) < 0.05


@pytest.mark.slow
async def test_a_hundred_hostile_servers_do_not_stall_the_bot() -> None:
    # Other load only adds time, so the best of three runs counts.
    lag = 1.0
    for _ in range(3):
        if lag >= 0.1:
            lag = await _longest_stalls(15.0, time.monotonic)
    assert lag < 0.1
