"""Direct messages with the bot in the demo: the same actions as in a channel, except the menu of a
message."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.demo.page import PageClient, button_named, form_values, open_demo
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService

PICTURE = ("mine.png", file_of(photo(96, 64)))


async def newest(demo: PageClient, text: str) -> dict[str, object]:
    return await demo.shown("bob", text, "direct")


async def test_every_action_works_in_direct_messages(tmp_path: Path) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        place = {"channel": "direct"}
        await demo.act("bob", "locale", locale="de", **place)
        async with demo.session.get("/commands", params=demo.place("bob", "direct")) as response:
            commands = await response.json()
        assert commands["message"] == []
        assert "img2img" in {one["path"] for one in commands["slash"]}

        options = {"prompt": "ein Fuchs"}
        await demo.act("bob", "slash", {"image": PICTURE}, path="img2img", options=options, **place)
        answer = await newest(demo, "Löschen")
        assert answer["command"] == {"user": "bob", "name": "img2img"}

        form = await demo.act(
            "bob",
            "click",
            message=answer["id"],
            custom_id=button_named(answer, "Bearbeiten"),
            **place,
        )
        values = form_values(form, Prompt="eine Eule")
        await demo.act("bob", "submit", modal=form["modal_id"], values=values, **place)
        await newest(demo, "eine Eule (ein von KI")

        await demo.act("bob", "send", {"files": PICTURE}, content="ein Hase", **place)
        # Discord does not tell the language of a message.
        hare = await newest(demo, "ein Hase (a picture")
        wolf_text = f"<@{demo.simulation.env.backend.bot_user.id}> ein Wolf"
        await demo.act("bob", "send", content=wolf_text, reply_to=hare["id"], **place)
        wolf = await newest(demo, "ein Wolf (a picture")
        await demo.act("bob", "react", message=wolf["id"], emoji="❌", **place)
        await demo.gone("bob", str(wolf["id"]), "direct")

        await demo.act("bob", "slash", path="defaults", options={}, **place)
        panel = await newest(demo, "Vorgaben")
        await demo.act(
            "bob",
            "select",
            message=panel["id"],
            custom_id="redraw:default:strength",
            values=["0.4"],
            **place,
        )
        defaults = demo.simulation.bot.services.store.user_defaults
        assert (await defaults.of(demo.simulation.user("bob").id)).strength == 0.4
        assert set(demo.statuses) == {200}


async def test_other_users_have_no_access_to_them(tmp_path: Path) -> None:
    async with open_demo(tmp_path, ScriptedService()) as demo:
        other = {**demo.place("alice"), "channel": demo.place("bob", "direct")["channel"]}
        async with demo.session.get("/events", params=other) as response:
            assert response.status == 404


async def test_a_notification_arrives_there_and_links_to_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.delivery.notification.LONG_SECONDS", 0.0)
    async with open_demo(tmp_path, ScriptedService()) as demo:
        bob = demo.simulation.user("bob")
        defaults = demo.simulation.bot.services.store.user_defaults
        await defaults.change(bob.id, notification="direct")
        options = {"prompt": "a fox"}
        await demo.act("bob", "slash", {"image": PICTURE}, path="img2img", options=options)
        notification = await newest(demo, "Your picture is finished")
        answer = await demo.shown("bob", "Delete")
        assert f"/{demo.place('bob')['channel']}/{answer['id']}" in str(notification["content"])
