"""What the demo's page asks of its server: each action works, and none ends the demo.

Longer than 300 lines: the actions and the random walk share one page.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.errors import UserError
from tests.support.demo.page import PageClient, button_named, controls, form_values, open_demo
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService

# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json-json-error-codes
UNKNOWN_INTERACTION = 10062
PICTURE = ("mine.png", file_of(photo(96, 64)))


async def redraw(demo: PageClient, user: str, prompt: str, **options: Any) -> dict[str, Any]:
    return await demo.act(
        user, "slash", {"image": PICTURE}, path="img2img", options={"prompt": prompt, **options}
    )


async def test_the_server_begins_with_samples_and_a_gallery_that_one_user_manages(
    tmp_path: Path,
) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        (samples,) = await demo.messages("bob")
        assert len(samples["attachments"]) == 5
        for attachment in samples["attachments"]:
            async with demo.session.get(attachment["url"]) as response:
                assert response.headers["Content-Type"] == "image/png"
        paths = {}
        for user in ("alice", "bob"):
            async with demo.session.get("/commands", params=demo.place(user)) as response:
                paths[user] = {one["path"] for one in (await response.json())["slash"]}
        assert {path.split()[0] for path in paths["alice"] - paths["bob"]} == {
            "settings",
            "moderation",
        }

        await redraw(demo, "bob", "a shared fox")
        message = await demo.shown("bob", "Share")
        await demo.act(
            "bob", "click", message=message["id"], custom_id=button_named(message, "Share")
        )
        await demo.shown("alice", "a shared fox", channel="gallery")


async def test_the_owners_reaction_deletes_a_picture(tmp_path: Path) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        await redraw(demo, "bob", "a fox to delete")
        message = (await demo.shown("bob", "Share"))["id"]
        await demo.act("alice", "react", message=message, emoji="❌")
        assert message in {shown["id"] for shown in await demo.messages("bob")}
        await demo.act("bob", "react", message=message, emoji="❌")
        await demo.gone("bob", message)


async def test_a_message_command_and_a_reply_with_a_mention_redraw_a_picture(
    tmp_path: Path,
) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        (samples,) = await demo.messages("alice")
        form = await demo.act("bob", "menu", name="Redraw this", message=samples["id"])
        values = form_values(form, Prompt="a fox from a form")
        await demo.act("bob", "submit", modal=form["modal_id"], values=values)
        await demo.shown("alice", "a fox from a form")

        bot = demo.simulation.env.backend.bot_user.id
        await demo.act(
            "alice", "send", content=f"<@{bot}> a fox from a reply", reply_to=samples["id"]
        )
        answer = await demo.shown("alice", "a fox from a reply (a picture redrawn by AI)")
        assert answer["reply"]["author"] == "alice"


async def test_answers_name_the_command_with_its_subcommand(tmp_path: Path) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        await demo.act("bob", "slash", path="privacy export", options={})
        message = await demo.shown("bob", "privacy export")
        assert message["command"] == {"user": "bob", "name": "privacy export"}


async def test_interactions_arrive_in_the_chosen_language(tmp_path: Path) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        await demo.act("bob", "locale", locale="de")
        await redraw(demo, "bob", "ein Fuchs")
        assert "Löschen" in str(await demo.shown("alice", "Löschen"))
        await redraw(demo, "alice", "a fox")
        assert "Delete" in str(await demo.shown("alice", "Delete"))


async def test_the_first_messages_are_in_the_language_of_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    async with open_demo(tmp_path, ScriptedService()) as demo:
        assert "Bilder zum Neuzeichnen" in str(await demo.messages("alice"))
        assert "Bilder können jetzt in" in str(await demo.messages("alice", "gallery"))


async def test_the_settings_panel_has_menus_of_channels_and_roles(tmp_path: Path) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        gallery = demo.place("alice", "gallery")["channel"]
        await demo.act("alice", "slash", path="settings panel", options={})
        panel = (await demo.messages("alice"))[-1]
        menus = {each["custom_id"]: each for each in controls(panel) if each["type"] == 3}
        labels = {
            name: [option["label"] for option in menus[f"redraw:settings:{name}"]["options"]]
            for name in ("channels", "roles")
        }
        assert labels == {"channels": ["#pictures", "#gallery"], "roles": ["@Redraw", "@manager"]}
        for name, value in (("channels", f"channel:{gallery}"), ("roles", "role:manager")):
            fields = {"message": panel["id"], "custom_id": f"redraw:settings:{name}"}
            await demo.act("alice", "select", values=[value], **fields)
        panel = (await demo.messages("alice"))[-1]
        selected = [
            option["label"]
            for each in controls(panel)
            if each["custom_id"] in ("redraw:settings:channels", "redraw:settings:roles")
            for option in each["options"]
            if option["default"]
        ]
        assert set(selected) == {"#gallery", "@manager"}


async def test_an_enlarged_picture_is_redrawn_with_new_detail(tmp_path: Path) -> None:
    service = ScriptedService()
    async with open_demo(tmp_path, service) as demo:
        await redraw(demo, "bob", "a fox")
        message = await demo.shown("bob", "Share")
        larger = button_named(message, "Larger")
        await demo.act("bob", "click", message=message["id"], custom_id=larger)
        shown = await demo.shown("bob", "With new detail")
        [menu] = [each for each in controls(shown) if ":detail:" in each["custom_id"]]
        fields = {"message": shown["id"], "custom_id": menu["custom_id"]}
        await demo.act("bob", "select", values=["0.3"], **fields)
        await demo.shown("alice", "new detail in")
        request = service.requests[-1]
        assert request.tile is not None
        assert request.width > request.tile[0]


async def test_a_part_is_shown_and_then_redrawn(tmp_path: Path) -> None:
    service = ScriptedService()
    async with open_demo(tmp_path, service) as demo:
        await redraw(demo, "bob", "a snowy fox", part="background", show_part=True)
        message = await demo.shown("bob", "Redraw this part")
        button = button_named(message, "Redraw this part")
        await demo.act("bob", "click", message=message["id"], custom_id=button)
        await demo.shown("alice", "Share")
        shown, redrawn = service.requests
        assert (shown.part, shown.steps, shown.return_mask) == ("background", 0, True)
        assert redrawn.part == "background"
        assert redrawn.steps > 0


async def test_a_mask_and_a_structure_are_attached_beside_the_picture(tmp_path: Path) -> None:
    service = ScriptedService()
    files = {"image": PICTURE, "mask": PICTURE, "structure": PICTURE}
    async with open_demo(tmp_path, service) as demo:
        await demo.act("bob", "slash", files, path="img2img", options={"prompt": "a boat"})
        await demo.shown("alice", "Share")
        [request] = service.requests
        assert request.mask is not None
        assert request.structure is not None


async def test_the_clock_follows_real_time(tmp_path: Path) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        for _ in range(2):
            before = datetime.datetime.now(datetime.UTC)
            now = demo.simulation.env.now()
            assert before <= now <= datetime.datetime.now(datetime.UTC)
            await asyncio.sleep(0.02)


# An action, its fields, and what the sentence about it contains.
REFUSED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("slash", {"path": "img2img", "options": {"prompt": "x", "steps": "9999"}}, "must be ≤"),
    ("slash", {"path": "img2img", "options": {"prompt": "x", "steps": "many"}}, "steps"),
    ("slash", {"path": "nothing", "options": {}}, "no command /nothing"),
    ("slash", {"path": "settings gallery", "options": {}}, "no command /settings gallery"),
    ("click", {"message": "1", "custom_id": "x"}, "no longer exists"),
    ("menu", {"name": "Redraw this", "message": "1"}, "no longer exists"),
    ("delete", {"message": "{samples}"}, "Missing Permissions"),
    ("submit", {"modal": "1", "values": {}}, "no longer open"),
    ("send", {"content": ""}, ""),
    ("send", {"content": "x" * 5000}, ""),
    ("click", {}, "malformed"),
    ("dance", {}, "malformed"),
)


async def test_a_refused_action_is_one_sentence_and_the_demo_goes_on(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        samples = (await demo.messages("bob"))[0]["id"]
        for number, (kind, fields, said) in enumerate(REFUSED):
            with subtests.test(kind=kind, said=said):
                filled = {
                    name: value.replace("{samples}", samples) if isinstance(value, str) else value
                    for name, value in fields.items()
                }
                answer = await demo.act("bob", kind, **filled)
                assert said in answer["error"]
                assert "\n" not in answer["error"]
                assert demo.statuses[-1] in (400, 409)
                await redraw(demo, "bob", f"fox number {number} after that")
                shown = await demo.shown("bob", f"fox number {number} after that (a picture")
                assert button_named(shown, "Delete")


async def test_cancelling_several_pictures_under_way_answers_at_once(tmp_path: Path) -> None:
    """Their answers wait for Discord's limit of edits; nothing else waits for them."""
    service = ScriptedService()
    service.gate.clear()
    async with open_demo(tmp_path, service) as demo:
        for number in range(4):
            assert "error" not in await redraw(demo, "alice", f"fox {number}")
        runner = demo.simulation.bot.services.runner
        async with asyncio.timeout(60):
            while len(runner.running) + len(runner.queue) < 4:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.01)
        assert "error" not in await demo.act("alice", "slash", path="cancel", options={})
        await demo.shown("alice", "4 pictures cancelled.")
        async with asyncio.timeout(60):
            await runner.wait_idle()
        texts = [str(message) for message in await demo.messages("alice")]
        assert sum("Cancelled." in text and "fox " in text for text in texts) == 4


async def test_only_the_link_opens_the_page(tmp_path: Path) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        address = demo.server.url.split("/?")[0]
        async with aiohttp.ClientSession(address) as other:
            for path in ("/", "/server", "/?key=wrong"):
                async with other.get(path) as response:
                    assert response.status == 403
            headers = {"Host": f"evil.example:{demo.server.port}"}
            key = demo.server.url.split("=")[1]
            async with other.get("/", params={"key": key}, headers=headers) as response:
                assert response.status == 403


async def test_a_port_in_use_leads_to_the_next_free_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        async with open_demo(tmp_path, ScriptedService(), port=port) as demo:
            assert demo.server.port != port


class Walk:
    """Random actions of two users with what the page offers, some of them wrong on purpose."""

    def __init__(self, demo: PageClient, seed: int) -> None:
        self.demo = demo
        self.random = random.Random(seed)
        self.done: dict[str, int] = {}

    async def step(self) -> None:
        user = self.random.choice(["alice", "bob"])
        channel = self.random.choice(["pictures"] * 5 + ["gallery"])
        messages = await self.demo.messages(user, channel)
        kind = self.random.choice(
            ["redraw"] * 3 + ["command"] * 2 + ["click"] * 6 + ["menu", "send", "delete", "wrong"]
        )
        self.done[kind] = self.done.get(kind, 0) + 1
        await getattr(self, f"_{kind}")(user, channel, messages)

    async def _redraw(self, user: str, channel: str, _messages: list[dict[str, Any]]) -> None:
        options: dict[str, Any] = {"prompt": f"fox {self.random.randrange(1000)}"}
        possible: dict[str, Any] = {
            "steps": self.random.choice(["50", "1", "9999"]),
            "strength": self.random.choice(["0.5", "1", "7", "x"]),
            "count": self.random.choice(["1", "4"]),
            "private": True,
            "style": "watercolour",
            "url": "http://127.0.0.1/x.png",
        }
        options |= {name: possible[name] for name in possible if self.random.random() < 0.2}
        files = {"image": PICTURE} if self.random.random() < 0.7 else None
        await self.demo.act(user, "slash", files, channel=channel, path="img2img", options=options)

    async def _command(self, user: str, channel: str, _messages: list[dict[str, Any]]) -> None:
        gallery = self.demo.place(user, "gallery")["channel"]
        path, options = self.random.choice(
            [
                ("queue", {}),
                ("cancel", {}),
                ("cancel", {"everyone": True}),
                ("history", {}),
                ("show", {"id": "0123456789abcdef"}),
                ("privacy export", {}),
                ("privacy delete", {}),
                ("favourites", {}),
                ("defaults", {}),
                ("settings gallery", {"channel": gallery}),
                ("settings gallery", {}),
                ("settings panel", {}),
                ("quota", {}),
            ]
        )
        answer = await self.demo.act(user, "slash", channel=channel, path=path, options=options)
        await self._submit(user, answer)

    async def _click(self, user: str, channel: str, messages: list[dict[str, Any]]) -> None:
        offered = [(message, control) for message in messages for control in controls(message)]
        if not offered:
            return
        message, control = self.random.choice(offered)
        fields = {"message": message["id"], "custom_id": control["custom_id"]}
        if control["type"] == 3:
            value = self.random.choice(control["options"])["value"]
            answer = await self.demo.act(user, "select", channel=channel, values=[value], **fields)
        else:
            answer = await self.demo.act(user, "click", channel=channel, **fields)
        await self._submit(user, answer)

    async def _menu(self, user: str, channel: str, messages: list[dict[str, Any]]) -> None:
        if messages:
            message = self.random.choice(messages)["id"]
            answer = await self.demo.act(
                user, "menu", channel=channel, name="Redraw this", message=message
            )
            await self._submit(user, answer)

    async def _send(self, user: str, channel: str, messages: list[dict[str, Any]]) -> None:
        bot = self.demo.simulation.env.backend.bot_user.id
        await self.demo.act(
            user,
            "send",
            {"files": PICTURE} if self.random.random() < 0.3 else None,
            channel=channel,
            content=self.random.choice(["hello", f"<@{bot}> a fox", f"<@{bot}>", ""]),
            reply_to=self.random.choice([None, *(message["id"] for message in messages)]),
        )

    async def _delete(self, user: str, channel: str, messages: list[dict[str, Any]]) -> None:
        if messages:
            message = self.random.choice(messages)["id"]
            await self.demo.act(user, "delete", channel=channel, message=message)
            await self.demo.act(user, "react", channel=channel, message=message, emoji="❌")

    async def _wrong(self, user: str, channel: str, messages: list[dict[str, Any]]) -> None:
        message = messages[-1]["id"] if messages else "1"
        kind, fields = self.random.choice(
            [
                ("click", {"message": message, "custom_id": "redraw:again:0123456789abcdef:0"}),
                ("select", {"message": message, "custom_id": "nothing", "values": []}),
                ("submit", {"modal": "5", "values": {}}),
                ("slash", {"path": "img2img", "options": {}}),
                ("slash", {}),
                ("nothing", {}),
            ]
        )
        await self.demo.act(user, kind, channel=channel, **fields)

    async def _submit(self, user: str, answer: dict[str, Any]) -> None:
        if not answer.get("modal") or self.random.random() < 0.2:
            return
        texts = {
            label["label"]: self.random.choice(["a fox", "0.5", "99", ""])
            for label in answer["modal"]["components"]
            if self.random.random() < 0.3
        }
        values = form_values(answer, **texts)
        await self.demo.act(user, "submit", modal=answer["modal_id"], values=values)


@pytest.mark.parametrize(
    ("seed", "actions"),
    [(1, 100), *(pytest.param(seed, 300, marks=pytest.mark.slow) for seed in range(1, 6))],
)
async def test_no_sequence_of_actions_ends_the_demo(
    tmp_path: Path, seed: int, actions: int
) -> None:
    service = ScriptedService(steps=10, step_seconds=0.05)
    async with open_demo(tmp_path, service) as demo:
        walks = Walk(demo, seed), Walk(demo, seed + 1000)
        # Two at a time: pages act while others' actions are under way.
        for _ in range(actions // 2):
            await asyncio.gather(*(walk.step() for walk in walks))
        print(*(walk.done for walk in walks), Counter(demo.statuses))
        assert set(demo.statuses) <= {200, 400, 409}
        await demo.act("alice", "slash", path="cancel", options={"everyone": True})
        async with asyncio.timeout(60):
            await demo.simulation.bot.services.runner.wait_idle()
        # A walk may have set a budget, or limited the channels, in the panel of the settings.
        defaults = {"file": ("settings.json", b'{"version": 1}')}
        await demo.act("alice", "slash", defaults, path="settings import", options={})
        await redraw(demo, "alice", "a last fox")
        await demo.shown("alice", "a last fox (a picture redrawn by AI)")
        bugs = [
            error
            for error in demo.simulation.env.errors
            if not isinstance(cause := getattr(error, "original", error), UserError)
            # On a busy machine, an answer takes longer than Discord's three seconds.
            and getattr(cause, "code", None) != UNKNOWN_INTERACTION
        ]
        assert bugs == []


async def test_the_demo_ends_without_an_error_while_a_thread_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        shutdown = demo.simulation.env.shutdown

        async def too_slow() -> None:
            await shutdown()
            raise TimeoutError("native executor work remains tracked")

        monkeypatch.setattr(demo.simulation.env, "shutdown", too_slow)
    assert "native executor work remains tracked" in caplog.text
