"""`/help` explains the bot in five languages; its buttons try it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio

from bot.config import Settings
from cogs.help._cog import draw_help
from inference import Task
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_shared_discord,
    settings_for,
    text_of,
)
from tests.support.simulated_users import newest_job, slash

# https://discord.com/developers/docs/components/reference#component-object-component-types
TEXT, UPLOAD = 4, 19
# https://discord.com/developers/docs/components/reference#component-limits
TEXT_LIMIT, COMPONENT_LIMIT = 4000, 40


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    async with open_shared_discord(
        tmp_path_factory.mktemp("help"),
        ScriptedService(),
        operator="Ada *Lovelace*",
        contact="ada@example.org",
    ) as opened:
        yield opened


ALL_TASKS: frozenset[Task] = frozenset({"img2img", "edit", "text2img"})


def texts(
    settings: Settings, locale: str, tasks: frozenset[Task] = ALL_TASKS, *, in_server: bool = True
) -> str:
    parts = "img2img" in tasks
    hours = settings.retention_hours
    view = draw_help(settings, locale, hours, tasks, parts=parts, in_server=in_server)
    assert view.total_children_count <= COMPONENT_LIMIT
    return "\n".join(
        item.content for item in view.walk_children() if isinstance(item, discord.ui.TextDisplay)
    )


@pytest.mark.parametrize(
    ("locale", "history"),
    [
        ("en-US", "/history"),
        ("de", "/verlauf"),
        ("fr", "/historique"),
        ("es-ES", "/historial"),
        ("ja", "/履歴"),
    ],
)
async def test_help_fits_and_names_the_commands_of_the_language(
    tmp_path: Path, locale: str, history: str
) -> None:
    settings = settings_for(tmp_path, operator="x" * 100, contact="y" * 200, retention_hours=48)
    text = texts(settings, locale)
    assert len(text) <= TEXT_LIMIT
    assert f"`{history}`" in text
    assert "48" in text
    assert "x" * 100 in text


async def test_help_says_only_what_holds_for_the_settings(tmp_path: Path) -> None:
    bare = texts(settings_for(tmp_path, favourites_per_user=0), "en-US")
    assert "⭐" not in bare
    assert "Contact" not in bare
    assert "has not given a name" in bare
    urls = {"privacy_url": "https://example.org/p", "terms_url": "https://example.org/t"}
    full = texts(settings_for(tmp_path, **urls), "en-US")
    assert "⭐" in full
    assert "Privacy policy: https://example.org/p" in full
    assert "Terms of use: https://example.org/t" in full


@pytest.mark.parametrize(
    ("locale", "server"), [("en-US", "server"), ("de", "Servers"), ("ja", "サーバー")]
)
async def test_help_names_the_managers_of_a_server_only_in_a_server(
    tmp_path: Path, locale: str, server: str
) -> None:
    settings = settings_for(tmp_path)
    for in_server in (True, False):
        operator = texts(settings, locale, in_server=in_server).split("###")[-1]
        assert (server in operator) == in_server


async def test_help_names_the_commands_that_the_model_offers(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    redraws = texts(settings, "en-US", frozenset({"img2img"}))
    assert "`/img2img`" in redraws
    assert "- The option `part` of `/img2img` redraws only" in redraws
    assert "`/edit`" not in redraws
    assert "I redraw pictures" in redraws
    edits = texts(settings, "en-US", frozenset({"edit", "text2img"}))
    assert "`/img2img`" not in edits
    assert "`/edit`: Change one picture" in edits
    assert "`/imagine`: Draw a picture" in edits
    assert "I edit pictures" in edits
    draws = texts(settings, "en-US", frozenset({"text2img"}))
    assert "I draw pictures" in draws
    assert "mention me" not in draws


async def test_help_names_mentions_only_where_they_are_requests(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    assert "mention me" in texts(settings, "en-US")
    view = draw_help(settings, "en-US", 1.0, ALL_TASKS, parts=True, mentions=False)
    shown = [item for item in view.walk_children() if isinstance(item, discord.ui.TextDisplay)]
    assert "mention me" not in "".join(item.content for item in shown)


@pytest.mark.asyncio(loop_scope="module")
class TestButtons:
    async def test_help_names_the_operator_as_plain_text(self, sim: SimulatedDiscord) -> None:
        result = await slash(sim.alice, sim.channel, "help")
        assert result.response.ephemeral
        text = text_of(result.response.message)
        assert r"Ada \*Lovelace\*" in text
        assert "ada@example.org" in text

    async def test_a_servers_shorter_retention_is_named(self, sim: SimulatedDiscord) -> None:
        await sim.bot.services.store.guild_settings.change(sim.env.guild.id, retention_hours=2)
        result = await slash(sim.alice, sim.channel, "help")
        assert "for 2 h after the answer" in text_of(result.response.message)

    async def press(self, sim: SimulatedDiscord, label: str) -> Any:
        shown = await slash(sim.alice, sim.channel, "help")
        message = shown.response.message
        return await sim.alice.click(message, custom_id=buttons_of(message)[label])

    async def test_a_sample_is_redrawn_with_two_clicks(self, sim: SimulatedDiscord) -> None:
        form = await self.press(sim, "Try it with a sample")
        fields = [label["component"] for label in form.modal["components"]]
        assert fields[0]["value"] == "a panda on a pink background"
        values = {
            field["custom_id"]: field.get("value") or ""
            for field in fields
            if field["type"] == TEXT
        }
        await sim.alice.submit_modal(form, values)
        await sim.settled()
        assert (await newest_job(sim, sim.alice)).source_name == "fox.png"
        assert sim.last.attachments

    async def test_an_own_picture_is_redrawn(self, sim: SimulatedDiscord) -> None:
        form = await self.press(sim, "Redraw my picture")
        fields = [label["component"] for label in form.modal["components"]]
        [upload] = [field["custom_id"] for field in fields if field["type"] == UPLOAD]
        own = ("own.png", file_of(photo(100, 100)))
        values = {fields[0]["custom_id"]: "an owl", upload: own}
        await sim.alice.submit_modal(form, values)
        await sim.settled()
        assert (await newest_job(sim, sim.alice)).source_name == "own.png"

    async def test_the_lists_and_defaults_open(self, sim: SimulatedDiscord) -> None:
        pictures = await self.press(sim, "My pictures")
        assert pictures.response.ephemeral
        defaults = await self.press(sim, "My defaults")
        assert "Your defaults" in text_of(defaults.response.message)
