"""`/settings limits`, `export` and `import`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.jobs.budgets import EVERYONE, RoleLimits
from tests.support.moderation.discord import ModeratedServer, open_moderated_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ModeratedServer]:
    folder: Path = tmp_path_factory.mktemp("settings")
    async with open_moderated_server(folder, moderation=False) as opened:
        yield opened


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def import_file(server: ModeratedServer, content: bytes) -> str:
    return await server.command(server.manager, "settings import", file=("settings.json", content))


async def stored(server: ModeratedServer) -> tuple[Any, Any]:
    return (
        await server.services.store.guild_settings.options(server.guild_id),
        await server.services.moderation.lists.policy(server.guild_id),
    )


async def test_an_exported_file_restores_all_settings(server: ModeratedServer) -> None:
    limits = {"seconds_a_day": 60, "steps": 20, "models": "noise, pocket", "private": False}
    await server.manager.slash(server.log, "settings limits", role=server.artists, **limits)
    await server.services.store.guild_settings.change(
        server.guild_id,
        gallery=server.adult.id,
        channels=(server.channel.id,),
        language="ja",
        mentions=False,
        style="Watercolour",
        strength=0.4,
        retention_hours=2.0,
        server_seconds=600.0,
    )
    await server.open_log(threshold=0.3, slow_mode_seconds=9)
    before = await stored(server)
    assert before[0].limits[server.artists.id] == RoleLimits(
        seconds_a_day=60, steps=20, models=("noise", "pocket"), private=False
    )
    result = await server.manager.slash(server.log, "settings export")
    assert result.response is not None
    [file] = result.response.attachments
    content = await file.read()
    assert "apply now" in await import_file(server, b'{"version": 1}')
    assert await stored(server) != before
    assert "apply now" in await import_file(server, content)
    assert await stored(server) == before


def with_settings(**settings: Any) -> bytes:
    return json.dumps({"version": 1, "settings": settings}).encode()


BAD = {
    "not JSON": (b"gallery: 1", "Invalid JSON"),
    "another version": (b'{"version": 2}', "version"),
    "an unknown name": (with_settings(galery=1), "settings.galery"),
    "a number out of range": (with_settings(strength=2), "settings.strength"),
    "a number that is none": (b'{"version": 1, "settings": {"strength": NaN}}', "strength"),
    "a channel of another server": (with_settings(gallery=1), "no channel 1"),
    "a role of another server": (with_settings(limits={"7": {}}), "no role 7"),
    "an unknown style": (with_settings(style="Cubism"), "no style 'Cubism'"),
    "more than the operator allows": (with_settings(retention_hours=25), "limit is 24"),
    "a threshold above the operator's": (
        b'{"version": 1, "moderation": {"threshold": 0.9}}',
        "limit is 0.5",
    ),
    "a huge file": (b" " * 300_000, "more than 256 KiB"),
}


@pytest.mark.parametrize(("content", "problem"), BAD.values(), ids=BAD.keys())
async def test_a_bad_file_gets_one_sentence_and_changes_nothing(
    server: ModeratedServer, content: bytes, problem: str
) -> None:
    before = await stored(server)
    told = await import_file(server, content)
    assert told.startswith("This file cannot be used, and nothing was changed: ")
    assert problem in told
    assert "\n" not in told
    assert await stored(server) == before


async def test_limits_of_everybody_are_set_and_removed(server: ModeratedServer) -> None:
    everyone = server.sim.env.guild.default_role
    await server.manager.slash(server.log, "settings limits", role=everyone, pictures=2)
    options, _ = await stored(server)
    assert options.limits[EVERYONE] == RoleLimits(pictures=2)
    await server.manager.slash(server.log, "settings limits", role=everyone)
    options, _ = await stored(server)
    assert EVERYONE not in options.limits
