"""The form of "Edit this", opened again after a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import buttons_of, open_simulated_discord

FILES = [(f"{n}.png", file_of(photo(96, 96, seed=n))) for n in range(4)]


def pixels(number: int) -> bytes:
    return photo(96, 96, seed=number).tobytes()


@pytest.mark.parametrize(
    ("entry", "model"), [("Edit this", "noise-edit"), ("Redraw this", "noise")]
)
async def test_the_names_to_choose_from_have_no_prefix_of_spoilers(
    tmp_path: Path, entry: str, model: str
) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService(), model=model) as sim:
        files = [("SPOILER_my_cat.png", FILES[0][1]), FILES[1]]
        message = await sim.bob.send(sim.channel, "look", attachments=files)
        shown: Any = await sim.alice.context_menu(sim.channel, entry, message)
        labels = [
            option["label"]
            for field in shown.modal["components"]
            for option in field["component"].get("options", [])
        ]
        assert [label for label in labels if ".png" in label] == ["1. my_cat.png", "2. 1.png"]


async def test_edit_this_opens_again_with_the_chosen_and_the_uploaded_pictures(
    tmp_path: Path,
) -> None:
    service = ScriptedService()
    async with open_simulated_discord(tmp_path, service, model="noise-edit") as sim:
        message = await sim.bob.send(sim.channel, "look", attachments=FILES[:3])
        shown: Any = await sim.alice.context_menu(sim.channel, "Edit this", message)
        ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
        values = {ids[0]: " ", ids[1]: ["0", "2"], ids[2]: FILES[3]}
        refused: Any = await sim.alice.submit_modal(shown, values)
        [reply] = [*refused.followups] or [refused.response]
        assert "prompt is empty" in reply.content
        again: Any = await sim.alice.click(
            reply.message, custom_id=buttons_of(reply.message)["Correct it"]
        )
        choice = again.modal["components"][1]["component"]
        names = [f"{number + 1}. {FILES[number][0]}" for number in range(4)]
        assert [option["label"] for option in choice["options"]] == names
        chosen = [option["value"] for option in choice["options"] if option.get("default")]
        assert chosen == ["0", "2", "3"]
        ids = [label["component"]["custom_id"] for label in again.modal["components"]]
        await sim.alice.submit_modal(again, {ids[0]: "combine them", ids[1]: chosen})
        await sim.settled()
        request = service.requests[-1]
        assert request.pixels == pixels(0)
        assert [each.pixels for each in request.references] == [pixels(2), pixels(3)]
