"""`/settings limits`, `export` and `import`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import discord
import pytest
import pytest_asyncio

from bot.errors import StorageFull
from bot.i18n.error_text import translate_error
from bot.i18n.translate import LANGUAGES
from bot.jobs.budgets import EVERYONE, RoleLimits
from cogs.settings._errors import SettingsFileInvalid
from cogs.settings._file import read_settings_file
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
    limits = {"seconds_a_day": 60, "steps": 20, "models": "noise, noise", "private": False}
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
        seconds_a_day=60, steps=20, models=("noise",), private=False
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
    "not JSON": (b"gallery: 1", "not valid JSON (line 1, column 1)"),
    "another version": (b'{"version": 2}', "version has a value that is not possible"),
    "an unknown name": (with_settings(galery=1), "there is no setting settings.galery"),
    "a number out of range": (with_settings(strength=2), "settings.strength must be ≤ 1"),
    "a number that is none": (b'{"version": 1, "settings": {"strength": NaN}}', "strength"),
    "a channel of another server": (with_settings(gallery=1), "no channel 1"),
    "a role of another server": (with_settings(limits={"7": {}}), "no role 7"),
    "an unknown style": (with_settings(style="Cubism"), 'no style "Cubism"'),
    "more than the operator allows": (with_settings(retention_hours=25), "from 0.1 to 24"),
    "a threshold above the operator's": (
        b'{"version": 1, "moderation": {"threshold": 0.9}}',
        "from 0 to 0.5",
    ),
    "a retention time near zero": (with_settings(retention_hours=1e-9), "from 0.1 to 24"),
    "a budget of more than a day": (
        with_settings(limits={"0": {"seconds_a_day": 86401}}),
        "seconds_a_day must be a number from 0 to 86400",
    ),
    "an unknown model": (with_settings(limits={"0": {"models": ["x"]}}), 'the model "x" is not'),
    "a model that is not configured": (
        with_settings(limits={"0": {"models": ["pocket"]}}),
        'the model "pocket" is not available',
    ),
    "too many channels": (
        with_settings(channels=list(range(26))),
        "settings.channels has more than 25 entries",
    ),
    "too many roles": (
        with_settings(roles=list(range(26))),
        "settings.roles has more than 25 entries",
    ),
    "too many models": (
        with_settings(limits={"0": {"models": ["noise"] * 26}}),
        "more than 25 entries",
    ),
    "a name of two lines": (b'{"version": 1, "a\\nb": 1}', "there is no setting a b."),
    "an empty name": (b'{"version": 1, "": 1}', 'there is no setting "".'),
    "an empty name of a setting": (with_settings(**{" ": 1}), 'there is no setting settings."".'),
    "a list": (b"[]", "it does not contain a JSON object."),
    "null": (b"null", "it does not contain a JSON object."),
    "a text": (b'"x"', "it does not contain a JSON object."),
    "no version": (b"{}", "version is missing"),
    "a file that ends too early": (b'{\n"version":', "not valid JSON (line 2, column 10)"),
    "a file of another character set": ('{"ü": 1}'.encode("latin-1"), "not valid JSON (line 1"),
    "a limit of no role": (with_settings(limits={"x": {}}), "settings.limits.x"),
    "a negative limit": (with_settings(limits={"0": {"steps": -1}}), "steps must be"),
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


@pytest.mark.parametrize("content", [content for content, _ in BAD.values()], ids=BAD.keys())
async def test_the_problem_of_a_file_is_told_in_the_users_language(
    server: ModeratedServer, content: bytes
) -> None:
    guild = server.sim.bot.get_guild(server.guild_id)
    assert guild is not None
    with pytest.raises(SettingsFileInvalid) as caught:
        read_settings_file(content, server.services, guild)
    problem = caught.value.params["problem"]
    for locale in LANGUAGES:
        assert problem.localized(locale) in translate_error(locale, caught.value)
        assert (problem.localized(locale) == str(problem)) == (locale == "en")


async def test_limits_under_the_id_of_the_server_are_refused_in_each_language(
    server: ModeratedServer,
) -> None:
    content = with_settings(limits={str(server.guild_id): {"steps": 3}})
    before = await stored(server)
    told = await import_file(server, content)
    assert "in settings.limits, the limits of all users have the key 0." in told
    assert await stored(server) == before
    guild = server.sim.bot.get_guild(server.guild_id)
    assert guild is not None
    with pytest.raises(SettingsFileInvalid) as caught:
        read_settings_file(content, server.services, guild)
    assert len({translate_error(locale, caught.value) for locale in LANGUAGES}) == len(LANGUAGES)


async def test_a_file_with_a_byte_order_mark_is_read(server: ModeratedServer) -> None:
    assert "apply now" in await import_file(server, b"\xef\xbb\xbf" + with_settings(strength=0.3))
    options, _ = await stored(server)
    assert options.strength == 0.3
    assert "apply now" in await import_file(server, with_settings())


async def test_damaged_settings_refuse_requests_until_a_file_replaces_them(
    server: ModeratedServer,
) -> None:
    values = (server.guild_id, '{"of a later version": 1}')
    replace = "REPLACE INTO guild_settings VALUES (?, ?)"
    await server.services.store.database.execute("test", replace, values)
    assert "settings of this server cannot be read" in await server.redraw()
    panel = await server.command(server.manager, "settings panel")
    assert "settings of this server cannot be read" in panel
    assert "apply now" in await import_file(server, with_settings())
    assert await server.redraw() == ""


async def test_limits_of_everybody_are_set_and_removed(server: ModeratedServer) -> None:
    everyone = server.sim.env.guild.default_role
    await server.manager.slash(server.log, "settings limits", role=everyone, pictures=2)
    options, _ = await stored(server)
    assert options.limits[EVERYONE] == RoleLimits(pictures=2)
    await server.manager.slash(server.log, "settings limits", role=everyone)
    options, _ = await stored(server)
    assert EVERYONE not in options.limits


@pytest.mark.parametrize("field", ["gallery", "log_channel_id", "channels"])
async def test_a_category_is_refused_as_a_channel(server: ModeratedServer, field: str) -> None:
    guild = server.sim.bot.get_guild(server.guild_id)
    assert guild is not None
    category = await guild.create_category("rooms")
    assert "of a kind that is not possible here" in await import_channel(server, field, category.id)


@pytest.mark.parametrize("field", ["gallery", "log_channel_id"])
async def test_a_channel_in_which_the_bot_cannot_post_is_refused(
    server: ModeratedServer, field: str
) -> None:
    guild = server.sim.env.guild
    closed = discord.PermissionOverwrite(send_messages=False)
    channel = guild.create_text_channel("closed", overwrites={guild.default_role: closed})
    told = await import_channel(server, field, channel.id)
    assert f"in the channel {channel.id} I need Send Messages" in told


async def import_channel(server: ModeratedServer, field: str, channel_id: int) -> str:
    """Import a file with this channel, which must not change anything."""
    before = await stored(server)
    if field == "log_channel_id":
        content = {"version": 1, "moderation": {field: channel_id}}
    else:
        value = [channel_id] if field == "channels" else channel_id
        content = {"version": 1, "settings": {field: value}}
    told = await import_file(server, json.dumps(content).encode())
    assert await stored(server) == before
    return told


async def test_an_import_stores_all_or_nothing(server: ModeratedServer) -> None:
    before = await stored(server)
    content = b'{"version": 1, "settings": {"strength": 0.9}, "moderation": {"threshold": 0.1}}'
    lists = server.services.moderation.lists
    with patch.object(lists, "write_policy", side_effect=StorageFull):
        assert "apply now" not in await import_file(server, content)
    assert await stored(server) == before
    assert "apply now" in await import_file(server, content)
    options, policy = await stored(server)
    assert (options.strength, policy.threshold) == (0.9, 0.1)


@pytest.mark.parametrize(
    ("models", "refused"), [("noise, pocket", "pocket"), (",", ","), (" , ,, ", " , ,, ")]
)
async def test_limits_name_configured_models_only(
    server: ModeratedServer, models: str, refused: str
) -> None:
    before = await stored(server)
    told = await server.command(
        server.manager, "settings limits", role=server.artists, models=models
    )
    assert told == f"The model {refused} is not available here. Available models: noise."
    assert await stored(server) == before


async def test_changes_at_the_same_time_are_all_stored(server: ModeratedServer) -> None:
    settings, lists = server.services.store.guild_settings, server.services.moderation.lists
    await asyncio.gather(
        settings.change(server.guild_id, mentions=False),
        settings.change(server.guild_id, strength=0.5),
        settings.change_limits(server.guild_id, EVERYONE, lambda _: RoleLimits(steps=7)),
        settings.change_limits(server.guild_id, server.artists.id, lambda _: RoleLimits(steps=9)),
        lists.change_policy(server.guild_id, threshold=0.2),
        lists.change_policy(server.guild_id, slow_mode_seconds=5),
    )
    options, policy = await stored(server)
    assert (options.mentions, options.strength) == (False, 0.5)
    assert options.limits[EVERYONE].steps == 7
    assert options.limits[server.artists.id].steps == 9
    assert (policy.threshold, policy.slow_mode_seconds) == (0.2, 5)
