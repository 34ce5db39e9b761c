"""Hostile servers are stopped by the limits of time and size, and do not stall the bot."""

from __future__ import annotations

import asyncio
import gc
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


async def _outcome_of(intake: Intake, link: str) -> tuple[str, float]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        await intake.fetch(link)
    except (LinkError, PictureError) as error:
        return type(error).__name__, loop.time() - began
    return "fetched", loop.time() - began


@asynccontextmanager
async def hostile(
    seconds: float,
) -> AsyncIterator[tuple[Intake, str, Callable[[], dict[str, int]]]]:
    with hostile_server() as (port, sent):
        async with name_server() as (names, resolve):
            names.answers["host.test"] = [["127.0.0.1"]]
            limits = IntakeLimits(
                total_seconds=seconds, allowed_ports=(port,), allowed_hosts=("host.test",)
            )
            async with Intake(limits, resolve=resolve) as intake:
                yield intake, f"http://host.test:{port}", sent


EXPECTED_ERRORS = {
    "drip": LinkTooSlow,
    "slow-head": LinkTooSlow,
    "silent": LinkTooSlow,
    "chunks": LinkTooSlow,
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


async def test_every_hostile_server_is_stopped_by_the_limits() -> None:
    async with hostile(seconds=1) as (intake, site, sent):
        for kind in HOSTILE:
            name, taken = await _outcome_of(intake, f"{site}/{kind}")
            # On a busy machine the time limit may come first.
            assert name in (EXPECTED_ERRORS[kind].__name__, LinkTooSlow.__name__), kind
            assert taken < 3, kind
    # The count includes bytes in the system's buffers.
    assert sent()
    assert all(count < 36 * 2**20 for count in sent().values()), sent()


async def _lag_among_hostile_servers(seconds: float) -> float:
    """The 99th percentile of the loop's lag in seconds during 108 hostile fetches."""
    loop = asyncio.get_running_loop()
    lags: list[float] = []

    async def watch_the_loop() -> None:
        while True:
            before = loop.time()
            await asyncio.sleep(0.005)
            lags.append(loop.time() - before - 0.005)

    async with hostile(seconds) as (intake, site, _):
        watch = asyncio.create_task(watch_the_loop())
        links = [f"{site}/{HOSTILE[number % len(HOSTILE)]}" for number in range(108)]
        ends = await asyncio.gather(*(_outcome_of(intake, link) for link in links))
        watch.cancel()
    assert "fetched" not in {name for name, _ in ends}
    assert max(taken for _, taken in ends) < seconds + 2
    return sorted(lags)[int(len(lags) * 0.99)]


@pytest.mark.parametrize("seconds", [3.0, pytest.param(15.0, marks=pytest.mark.slow)])
async def test_a_hundred_hostile_servers_do_not_stall_the_bot(seconds: float) -> None:
    # Exclude the objects of the test run from garbage collection.
    gc.collect()
    gc.freeze()
    # Other load only adds lag, so the best of three runs counts.
    lag = 1.0
    for _ in range(3):
        if lag >= 0.1:
            lag = await _lag_among_hostile_servers(seconds)
    gc.unfreeze()
    assert lag < 0.1
