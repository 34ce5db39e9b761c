"""The router between Ray Serve and the routing rules."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from inference.service import ModelState, ModelStatus
from tests.support.requests import request

pytest.importorskip("ray.serve")
from inference.fleet.router import FleetRouter


def replica(name: str, release: str = "", slots: int = 1) -> Any:
    """A replica that has reported its state, if it has a release."""
    models = {"m": ModelStatus(name="m", state=ModelState.LOADED, slots=slots)}
    return SimpleNamespace(
        replica_id=SimpleNamespace(unique_id=name),
        routing_stats={"release": release, "models": models} if release else {},
    )


def pending(id_: str = "1") -> Any:
    return SimpleNamespace(
        args=[request(id=id_, model="m")],
        metadata=SimpleNamespace(internal_request_id=id_),
        routing_context=SimpleNamespace(should_backoff=False),
        future=asyncio.get_running_loop().create_future(),
    )


def router() -> FleetRouter:
    # Its constructor needs a running Serve.
    made = FleetRouter.__new__(FleetRouter)
    made.initialize_state(release="new")
    return made


async def chosen(one: FleetRouter, replicas: list[Any], wanted: Any) -> list[str]:
    ranks = await one.choose_replicas(replicas, wanted)
    return [first.replica_id.unique_id for [first] in ranks]


async def test_only_replicas_of_this_release_get_requests() -> None:
    replicas = [
        replica("old", release="old", slots=9),
        replica("silent"),
        replica("new", release="new", slots=1),
    ]
    assert await chosen(router(), replicas, pending()) == ["new"]


@pytest.mark.parametrize("replicas", [[], [replica("full", release="new", slots=1)]])
async def test_the_next_try_for_a_request_waits(replicas: list[Any]) -> None:
    """Otherwise Serve tries again without end and blocks its event loop."""
    wanted = pending()
    await chosen(router(), replicas, wanted)
    assert wanted.routing_context.should_backoff


async def test_requests_under_way_count_before_they_arrive() -> None:
    one = router()
    replicas = [replica("a", release="new", slots=1), replica("b", release="new", slots=1)]
    first, second = pending("1"), pending("2")
    assert (await chosen(one, replicas, first))[0] == "a"
    assert (await chosen(one, replicas, second))[0] == "b"
    # The first one arrives, the second one is cancelled before.
    first.future.set_result(None)
    second.future.cancel()
    await asyncio.sleep(0)
    assert (await chosen(one, replicas, pending("3")))[0] == "b"
