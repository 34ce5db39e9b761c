"""Long lists are cut, so that every text fits Discord's limits in every language."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from unittest.mock import patch

import discord
import pytest
import pytest_asyncio

from bot.errors import UserError
from bot.i18n.error_text import translate_error
from bot.i18n.lists import cut_list
from bot.i18n.translate import LANGUAGES
from bot.jobs.budgets import EVERYONE, RoleLimits
from bot.moderation.model import GuildPolicy
from bot.store.guild_settings import GuildOptions
from bot.store.ledger import Usage
from cogs.admin._statistics import statistics_text
from cogs.queue._quota import quota_text
from cogs.requests.terms import check_server_place
from cogs.settings._panel import draw_panel
from cogs.shared.errors import NotInThisChannel, RoleNeeded
from inference import ReplicaSnapshot, ServiceState
from tests.support.moderation.discord import ModeratedServer, open_moderated_server

MESSAGE, PANEL = 2000, 4000
FIRST_ID = 9 * 10**18
IDS = tuple(range(FIRST_ID, FIRST_ID + 100))
MODELS = tuple(f"model-with-a-long-name-{n}" for n in range(100))
FULL = RoleLimits(
    seconds_a_day=86399,
    cooldown_seconds=21600,
    steps=150,
    pictures=6,
    megapixels=99.99,
    models=MODELS,
    private=False,
)
OPTIONS = GuildOptions(
    channels=IDS,
    roles=IDS,
    limits=dict.fromkeys((EVERYONE, *IDS), FULL),
    strength=0.123456,
    retention_hours=1.23456,
    server_seconds=12345.6,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ModeratedServer]:
    folder = tmp_path_factory.mktemp("limits")
    async with open_moderated_server(folder, moderation=False) as opened:
        yield opened


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    return request.param  # type: ignore[no-any-return]


async def test_the_panel_fits_with_limits_of_many_roles(
    server: ModeratedServer, language: str
) -> None:
    policy = GuildPolicy(guild_id=1, threshold=0.123456, age_restricted_threshold=0.123456)
    view = draw_panel(server.services, OPTIONS, policy, language)
    shown = [
        item.content for item in view.walk_children() if isinstance(item, discord.ui.TextDisplay)
    ]
    assert sum(map(len, shown)) <= PANEL
    assert f"<@&{FIRST_ID}>" in shown[-1]
    hidden = len(IDS) - sum(f"<@&{id_}>" in shown[-1] for id_ in IDS)
    assert f"{hidden}" in shown[-1].splitlines()[-1]


async def test_the_panel_with_limits_of_many_roles_is_opened(server: ModeratedServer) -> None:
    await server.services.store.guild_settings.save(server.guild_id, OPTIONS)
    result = await server.manager.slash(server.log, "settings panel")
    await server.services.store.guild_settings.save(server.guild_id, GuildOptions())
    assert result.response is not None
    assert result.response.ephemeral


async def test_the_quota_fits_with_many_models(server: ModeratedServer, language: str) -> None:
    options = GuildOptions(limits={EVERYONE: FULL}, server_seconds=12345.6)
    await server.services.store.guild_settings.save(server.guild_id, options)
    user = await server.sim.bot.fetch_user(server.alice.id)
    text = await quota_text(server.services, user, server.guild_id, language)
    await server.services.store.guild_settings.save(server.guild_id, GuildOptions())
    assert len(text) <= MESSAGE
    assert MODELS[0] in text
    assert MODELS[-1] not in text


@pytest.mark.parametrize(
    ("changes", "error"), [({"roles": ()}, NotInThisChannel), ({"channels": ()}, RoleNeeded)]
)
async def test_a_refusal_with_many_channels_or_roles_fits(
    server: ModeratedServer, language: str, changes: dict[str, object], error: type[UserError]
) -> None:
    user = await server.sim.bot.fetch_user(server.alice.id)
    with pytest.raises(error) as refused:
        check_server_place(OPTIONS.model_copy(update=changes), user, 1, None)
    text = translate_error(language, refused.value)
    assert len(text) <= MESSAGE
    assert str(FIRST_ID) in text


async def test_statistics_fit_with_many_servers_replicas_and_reasons(
    server: ModeratedServer, language: str
) -> None:
    usage = [
        Usage(
            day="2026-01-01",
            guild_id=id_,
            user_id=1,
            model="noise",
            requests=10**6,
            pictures=10**6,
            work=1.0,
            seconds=10.0**6,
        )
        for id_ in IDS
    ]
    replicas = tuple(
        ReplicaSnapshot(
            name=f"a-machine-with-a-long-name.example.org-{n}",
            state=ServiceState.READY,
            device="NVIDIA H100 80GB HBM3",
            models=("sd2-depth", "sdxl-depth-lightning", "klein-4b"),
            resident_bytes=2**36,
        )
        for n in range(16)
    )
    status = replace(server.services.inference.status, replicas=replicas)
    refusals = {f"ReasonWithALongName{n}": 10**6 for n in range(100)}
    with (
        patch.object(type(server.services.store.ledger), "usage", return_value=usage),
        patch.object(server.services.inference, "status", status),
        patch.object(server.sim.bot.metrics, "refusals", return_value=refusals),
    ):
        text = await statistics_text(server.sim.bot, 90, language)
    assert len(text) <= MESSAGE
    assert str(FIRST_ID) in text
    assert replicas[0].name in text
    assert "ReasonWithALongName0" in text


@pytest.mark.parametrize("limit", [30, 50, 100])
async def test_a_list_has_at_most_the_given_characters(limit: int) -> None:
    parts = [f"part {n}" for n in range(100)]
    text = cut_list(parts, "en", limit=limit)
    assert len(text) <= limit
    shown = text.split(", ")[:-1]
    assert shown == parts[: len(shown)]
    assert text.endswith(f"… and {100 - len(shown)} more")
    assert cut_list(parts[:2], "en", limit=limit) == "part 0, part 1"
