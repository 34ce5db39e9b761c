"""Everything that a German user reads is in German: commands, buttons, forms, lists and errors.

The texts of both catalogues are marked, so that an English one is found wherever it is shown.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from simcord import interactions

from bot.i18n.translate import catalogue
from tests.support.moderation.discord import ModeratedServer, open_moderated_server
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, buttons_of
from tests.support.simulated_users import CAT, set_gallery

MODELS = ("pocket", "noise", "noise-edit")
ENGLISH, GERMAN = "\N{CIRCLED LATIN CAPITAL LETTER E}", "\N{CIRCLED LATIN CAPITAL LETTER D}"


@pytest_asyncio.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModeratedServer]:
    plain = interactions.base_payload

    def german(*args: Any, **options: Any) -> Any:
        """simcord always sends the locale en-US."""
        record, payload = plain(*args, **options)
        return record, payload | {"locale": "de"}

    monkeypatch.setattr(interactions, "base_payload", german)
    async with open_moderated_server(
        tmp_path, ScriptedService(), moderation=False, model=MODELS[0], models=MODELS
    ) as opened:
        await set_gallery(opened.sim)
        # After the start, so that the names of the commands stay valid.
        for language, mark in (("en", ENGLISH), ("de", GERMAN)):
            texts = catalogue(language)
            for key, text in texts.items():
                monkeypatch.setitem(texts, key, mark + text)
        yield opened


class Reader:
    """Collects the texts that the bot sends."""

    def __init__(self, sim: SimulatedDiscord) -> None:
        self.sim = sim
        self._seen = len(sim.env.http_requests)

    def check(self, what: str) -> None:
        """All texts since the last check are German."""
        sent = self.sim.env.http_requests[self._seen :]
        self._seen += len(sent)
        texts = [text for each in sent for text in strings(each.json)]
        english = [text for text in texts if ENGLISH in text]
        assert english == [], what
        assert any(GERMAN in text for text in texts), what


def strings(value: Any) -> Iterator[str]:
    """Every string in a JSON value."""
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from strings(each)
        case list() | tuple():
            for each in value:
                yield from strings(each)


def one(result: Any) -> discord.Message:
    """The message of a reply."""
    [reply] = [*result.followups] or [result.response]
    return reply.message  # type: ignore[no-any-return]


async def test_every_button_answers_in_the_users_language(server: ModeratedServer) -> None:
    sim, reader = server.sim, Reader(server.sim)
    assert await server.redraw() == ""
    reader.check("img2img")
    message = sim.last
    for label, custom_id in buttons_of(message).items():
        if ":delete:" in custom_id:
            continue
        shown = await server.alice.click(message, custom_id=custom_id)
        await sim.settled()
        reader.check(label)
        if shown.modal is not None:
            continue
        for further, further_id in buttons_of(one(shown)).items():
            if any(part in further_id for part in (":largerfour:", ":animate:", ":post")):
                await server.alice.click(one(shown), custom_id=further_id)
                await sim.settled()
                reader.check(f"{label}, {further}")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in ("history", "favourites", "show", "queue", "quota", "cancel")),
        *((name, {}) for name in ("help", "defaults", "privacy delete", "privacy export")),
        ("show", {"id": "0" * 16}),
        ("img2img", {"prompt": " ", "image": CAT}),
        ("img2img", {"prompt": "x", "image": CAT, "url": "https://site.example/a.png"}),
        ("img2img", {"prompt": "x", "image": CAT, "model": "no such model"}),
        ("img2img", {"prompt": "x", "image": CAT, "style": "no such style"}),
        ("img2img", {"prompt": "x", "image": ("a.png", b"no picture")}),
        ("img2img", {"prompt": "x", "image": CAT, "part": "transparent", "mask": CAT}),
        ("img2img", {"prompt": "x", "url": "https://discord.com/channels/1/2"}),
        ("edit", {"instruction": "x", "image": CAT}),
        ("imagine", {"prompt": "x"}),
    ],
)
async def test_every_command_answers_in_the_users_language(
    server: ModeratedServer, name: str, options: dict[str, Any]
) -> None:
    if name in ("history", "favourites", "show", "privacy delete", "privacy export"):
        await server.redraw()
    reader = Reader(server.sim)
    await server.alice.slash(server.channel, name, **options)
    await server.sim.settled()
    reader.check(name)


async def test_the_forms_and_their_mistakes_are_in_the_users_language(
    server: ModeratedServer,
) -> None:
    sim, reader = server.sim, Reader(server.sim)
    await server.redraw()
    message, found = sim.last, await server.bob.send(server.channel, "look", attachments=[CAT])

    async def opened(open_form: Callable[[], Any], *, at: int, wrong: str) -> None:
        form = await open_form()
        reader.check(f"form {form.modal['title']}")
        fields = [label["component"]["custom_id"] for label in form.modal["components"]]
        values = {fields[0]: "x"} | {fields[at]: wrong}
        refused = await server.manager.submit_modal(form, values)
        reader.check(f"mistake in {form.modal['title']}")
        again = one(refused)
        [label] = buttons_of(again)
        assert GERMAN in label
        await server.manager.click(again, custom_id=buttons_of(again)[label])
        reader.check(f"{form.modal['title']} again")

    panel = one(await server.manager.slash(server.channel, "settings panel"))
    for field in ("numbers", "everyone"):
        await opened(
            lambda field=field: server.manager.click(  # type: ignore[misc]
                panel, custom_id=f"redraw:settings:{field}"
            ),
            at=0,
            wrong="much",
        )
    edit = next(id_ for id_ in buttons_of(message).values() if ":edit:" in id_)
    menu = catalogue("en")["img2img.menu"].removeprefix(ENGLISH)
    await opened(lambda: server.manager.click(message, custom_id=edit), at=2, wrong="much")
    await opened(
        lambda: server.manager.context_menu(server.channel, menu, found), at=2, wrong="much"
    )


async def test_the_forms_of_the_help_and_of_the_log_are_in_the_users_language(
    server: ModeratedServer,
) -> None:
    settings, reader = server.services.store.guild_settings, Reader(server.sim)
    await settings.change(server.guild_id, language="de")
    await server.open_log()
    shown = one(await server.alice.slash(server.channel, "help"))
    ids = buttons_of(shown).values()
    forms = [id_ for id_ in ids if id_.endswith((":sample", ":upload"))]
    for custom_id in forms:
        await server.alice.click(shown, custom_id=custom_id)
        reader.check(custom_id)
    await server.redraw()
    menu = catalogue("en")["moderation.report.menu"].removeprefix(ENGLISH)
    await server.alice.context_menu(server.channel, menu, server.sim.last)
    await server.sim.env.settle()
    asking = [id_ for id_ in buttons_of(server.entry).values() if "ban" in id_ or "timeout" in id_]
    for custom_id in asking:
        await server.moderator.click(server.entry, custom_id=custom_id)
        reader.check(custom_id)
    assert (len(forms), len(asking)) == (2, 2)


async def test_the_commands_of_managers_and_moderators_answer_in_their_language(
    server: ModeratedServer,
) -> None:
    # The log is in the server's language.
    settings = server.services.store.guild_settings
    await settings.change(server.guild_id, language="de")
    reader = Reader(server.sim)
    commands: dict[str, dict[str, Any]] = {
        "settings panel": {},
        "settings export": {},
        "moderation ban": {"target": server.bob},
        "moderation list": {},
        "moderation unban": {"target": server.bob},
        "moderation timeout": {"target": server.bob, "minutes": 5},
        "moderation allow": {"target": server.manager},
        "moderation disallow": {"target": server.manager},
        "moderation rules list": {},
        "moderation rules add": {"kind": "word", "pattern": "wolf"},
        "moderation rules test": {"text": "a wolf"},
        "moderation rules remove": {"number": 7},
        "moderation set thresholds": {"ordinary": 0.1},
        "moderation set slow_mode": {"seconds": 5},
        "moderation set log": {"channel": server.log},
        "moderation export": {},
    }
    for name, options in commands.items():
        await server.manager.slash(server.log, name, **options)
        await server.sim.env.settle()
        reader.check(name)


async def test_the_names_of_models_are_offered_in_the_users_language(
    server: ModeratedServer,
) -> None:
    await server.redraw()
    choices = await server.alice.autocomplete(server.channel, "img2img", "model", "")
    assert any(GERMAN in choice["name"] for choice in choices), json.dumps(choices)
    assert not any(ENGLISH in choice["name"] for choice in choices)


def test_the_marks_are_in_no_text() -> None:
    for language in ("en", "de"):
        assert not any(mark in json.dumps(catalogue(language)) for mark in (ENGLISH, GERMAN))
