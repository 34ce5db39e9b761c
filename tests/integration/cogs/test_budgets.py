"""Budgets, cool-downs and limits by role, as users meet them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.jobs.budgets import EVERYONE, RoleLimits
from bot.store.ledger import renewal
from tests.support.jobs import job
from tests.support.moderation.discord import CAT, ModeratedServer, Painter, open_moderated_server

pytestmark = pytest.mark.usefixtures("within_one_day")

# As many steps as the engine takes: two pictures of this kind have the same price.
THREE_STEPS = {"steps": 3, "strength": 1.0}
PRICE = 10.0


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    async with open_moderated_server(
        tmp_path,
        Painter(device_seconds=PRICE),
        moderation=False,
        role_limits={EVERYONE: RoleLimits(seconds_a_day=3 * PRICE)},
        server_seconds_a_day=5 * PRICE,
    ) as opened:
        yield opened


def let_the_day_end(server: ModeratedServer) -> None:
    server.services.runner.accounting._clock = lambda: renewal(time.time()) + 1


async def test_a_spent_budget_refuses_with_a_price_until_the_day_ends_or_the_bot_restarts(
    server: ModeratedServer,
) -> None:
    four = {**THREE_STEPS, "count": 4}
    assert await server.redraw(options=THREE_STEPS) == ""
    told = await server.redraw(options=four)
    assert "needs about 40 s of computing time, and you have 20 s left for today" in told
    assert f"<t:{int(renewal(time.time()))}:R>" in told
    for _ in range(2):
        assert await server.redraw(options=THREE_STEPS) == ""
    spent = "You have used your computing time for today (30 s). It renews "
    assert spent in await server.redraw(options=THREE_STEPS)
    await server.sim.restart(Painter(device_seconds=PRICE))
    assert spent in await server.redraw(options=THREE_STEPS)
    # Another member has a budget of their own.
    assert await server.redraw(user=server.bob, options=THREE_STEPS) == ""
    let_the_day_end(server)
    assert await server.redraw(options=THREE_STEPS) == ""


async def test_a_server_has_a_budget_for_all_of_its_members(server: ModeratedServer) -> None:
    for user in (server.alice, server.bob, server.artist, server.manager, server.moderator):
        assert await server.redraw(user=user, options=THREE_STEPS) == ""
    told = await server.redraw(user=server.operator, options=THREE_STEPS)
    assert "This server has used its computing time for today" in told


async def test_waiting_pictures_count_before_they_are_made(server: ModeratedServer) -> None:
    assert await server.redraw(options=THREE_STEPS) == ""
    service = server.services.inference
    assert isinstance(service, Painter)
    service.gate.clear()
    command = {"prompt": "a fox", "image": CAT, **THREE_STEPS, "count": 2}
    await server.alice.slash(server.channel, "img2img", **command)
    refused = await server.alice.slash(server.channel, "img2img", **command)
    texts = [m.content for m in [refused.response, *refused.followups] if m is not None]
    assert any("You have used your computing time" in str(text) for text in texts)
    service.gate.set()
    await server.sim.settled()
    spent = await server.services.runner.accounting.spent(server.alice.id, server.guild_id)
    assert spent.user == pytest.approx(3 * PRICE)


async def test_a_cancelled_request_is_charged_once_for_the_steps_that_ran(
    server: ModeratedServer,
) -> None:
    assert await server.redraw(options=THREE_STEPS) == ""
    service, runner = server.services.inference, server.services.runner
    assert isinstance(service, Painter)
    service.gate.clear()
    await server.alice.slash(server.channel, "img2img", prompt="a fox", image=CAT, **THREE_STEPS)
    async with asyncio.timeout(60):
        while not runner.running or runner.estimates.steps_left(runner.running[0].id) != {0: 0}:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
    [job] = runner.running
    assert await runner.cancel(job.id)
    assert not await runner.cancel(job.id)
    service.gate.set()
    await server.sim.settled()
    spent = await runner.accounting.spent(server.alice.id, server.guild_id)
    assert spent.user == pytest.approx(2 * PRICE)


async def test_quota_shows_what_is_left_and_queue_shows_prices(server: ModeratedServer) -> None:
    assert await server.redraw(options=THREE_STEPS) == ""
    told = await server.command(server.alice, "quota")
    assert "**Computing time today:** 10 s" in told
    assert "- Your remaining time: 20 s of 30 s" in told
    assert "- The server's remaining time: 40 s of 50 s" in told
    assert f"<t:{int(renewal(time.time()))}:R>" in told
    service = server.services.inference
    assert isinstance(service, Painter)
    service.status = replace(service.status, slots=1)
    service.gate.clear()
    for prompt in ("a fox", "an owl"):
        options = {"prompt": prompt, "image": CAT, **THREE_STEPS}
        await server.alice.slash(server.channel, "img2img", **options)
    told = await server.command(server.alice, "queue")
    assert re.search("an owl: you are next.* · about 10 s of computing time", told)
    service.gate.set()
    await server.sim.settled()


def limited(server: ModeratedServer) -> dict[int, RoleLimits]:
    return {
        EVERYONE: RoleLimits(steps=20, pictures=1, private=False, models=("pocket",)),
        server.artists.id: RoleLimits(steps=40, pictures=2, private=True, models=("noise",)),
    }


BEYOND: list[tuple[dict[str, Any], str]] = [
    ({"steps": 41}, "With your roles, at most {steps} steps are allowed here."),
    ({"count": 3}, "With your roles, a request may have at most {pictures} here."),
    ({"private": True}, "With your roles, private pictures are not allowed here."),
    ({}, "With your roles, the model noise may not be used here."),
]


@pytest.mark.parametrize("by", ["operator", "server"])
async def test_a_role_raises_the_limits_of_all_members(tmp_path: Path, by: str) -> None:
    async with open_moderated_server(tmp_path, moderation=False) as server:
        limits = limited(server)
        if by == "operator":
            server.services.settings.role_limits = limits
        else:
            await server.services.store.guild_settings.change(
                server.guild_id, limits={key: each.model_dump() for key, each in limits.items()}
            )
        for options, sentence in BEYOND:
            told = await server.redraw(options=options)
            assert told == sentence.format(steps=20, pictures="1 picture")
        for options, sentence in BEYOND[:2]:
            told = await server.redraw(user=server.artist, options=options)
            assert told == sentence.format(steps=40, pictures="2 pictures")
        for allowed in ({"steps": 40}, {"count": 2}, {"private": True}, {}):
            assert await server.redraw(user=server.artist, options=allowed) == ""
        # Buttons are requests as well.
        assert "the model noise" in await server.click(server.alice, server.sim.last, "Again")
        told = await server.command(server.artist, "quota")
        assert "- At most 40 steps\n- At most 2 pictures a request" in told


async def test_a_size_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    limits = {EVERYONE: RoleLimits(megapixels=0.01)}
    async with open_moderated_server(tmp_path, moderation=False, role_limits=limits) as server:
        assert "pictures of at most 0.01 megapixels" in await server.redraw()
        # The source was stored before its size was known.
        assert list((server.services.settings.data_dir / "pictures").rglob("*.*")) == []


async def test_the_time_between_two_requests_depends_on_roles_and_survives_a_restart(
    tmp_path: Path,
) -> None:
    async with open_moderated_server(tmp_path, moderation=False) as server:
        server.services.settings.role_limits = {
            EVERYONE: RoleLimits(cooldown_seconds=600),
            server.artists.id: RoleLimits(cooldown_seconds=0),
        }
        for user, waits in ((server.alice, True), (server.artist, False)):
            assert await server.redraw(user=user) == ""
            assert ("Slow mode is on" in await server.redraw(user=user)) is waits
        await server.sim.restart(Painter())
        assert "Slow mode is on" in await server.redraw(user=server.alice)


async def test_slow_mode_survives_a_restart(tmp_path: Path) -> None:
    async with open_moderated_server(tmp_path, moderation=False) as server:
        await server.open_log(slow_mode_seconds=600)
        assert await server.redraw() == ""
        await server.sim.restart(Painter())
        assert "Slow mode is on" in await server.redraw()


async def test_a_refused_request_starts_no_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_moderated_server(tmp_path, moderation=False) as server:
        services = server.services
        services.settings.role_limits = {EVERYONE: RoleLimits(cooldown_seconds=600)}
        await services.runner.acceptance.pause("maintenance")
        assert "maintenance" in await server.redraw()
        await services.runner.acceptance.resume()
        assert "not a picture" in await server.redraw(options={"image": ("a.png", b"no picture")})
        decode = services.intake.from_bytes

        async def accept_another(*arguments: Any, **options: Any) -> Any:
            """Another request of the user is accepted while this one is prepared."""
            one = job(user_id=server.alice.id)
            here = replace(one.destination, guild_id=server.guild_id)
            await services.store.accept(replace(one, destination=here))
            return await decode(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(services.intake, "from_bytes", accept_another)
            assert "Slow mode is on" in await server.redraw()
        assert await server.redraw(user=server.bob) == ""
        assert "Slow mode is on" in await server.redraw(user=server.bob)
