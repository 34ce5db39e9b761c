"""Which commands and settings are offered depends on the configured models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bot.models import TaskNotOffered
from cogs.requests.draft import Draft
from cogs.requests.tasks import check_options
from cogs.shared.errors import OptionNotOffered
from inference import LocalService
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_simulated_discord,
    text_of,
)
from tests.support.simulated_users import newest_job, picture_of

CAT = ("cat.png", file_of(photo(96, 96)))


async def imagine(sim: SimulatedDiscord, **options: Any) -> None:
    await sim.alice.slash(sim.channel, "imagine", prompt="a fox in the snow", **options)
    await sim.settled()


async def published(sim: SimulatedDiscord) -> dict[str, set[str]]:
    """Command → names of its options, as they are published."""
    tree = sim.bot.tree
    assert tree.translator is not None
    commands = [
        await command.get_translated_payload(tree, tree.translator)
        for command in tree.get_commands()
    ]
    return {
        command["name"]: {option["name"] for option in command.get("options", [])}
        for command in commands
    }


async def test_the_commands_of_a_model_that_edits_and_draws(tmp_path: Path) -> None:
    async with open_simulated_discord(
        tmp_path, ScriptedService(), bugs_expected=1, model="noise-edit"
    ) as sim:
        commands = await published(sim)
        assert not {"img2img", "Redraw this"} & commands.keys()
        assert commands["imagine"] == {
            *("prompt", "size", "steps", "seed", "count", "style", "private")
        }
        assert commands["edit"] == {
            *("instruction", "image", "image_2", "image_3", "image_4", "links", "mask"),
            *("steps", "seed", "count", "private"),
        }
        assert "Edit this" in commands
        for option, value in (("guidance", 3.0), ("negative_prompt", "rain"), ("strength", 0.5)):
            draft = Draft(prompt="a fox", task="text2img", **{option: value})  # type: ignore[arg-type]
            with pytest.raises(OptionNotOffered, match=f"noise-edit has no setting `{option}`"):
                check_options(sim.bot.services, draft)
        with pytest.raises(TaskNotOffered):
            check_options(sim.bot.services, Draft(prompt="a fox"))
        # Discord's clients may show a command for a while after it is gone.
        sim.bot.tree.remove_command("imagine")
        result: Any = await sim.alice.slash(sim.channel, "imagine", prompt="x")
        assert "no longer available here" in result.response.content


async def test_the_commands_of_a_model_that_redraws(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService()) as sim:
        commands = await published(sim)
        assert not {"edit", "imagine", "Edit this"} & commands.keys()
        assert {"strength", "guidance", "negative_prompt"} <= commands["img2img"]


async def test_with_both_models_a_drawn_picture_is_redrawn_by_use_this(tmp_path: Path) -> None:
    async with open_simulated_discord(
        tmp_path, ScriptedService(), models="noise,noise-edit"
    ) as sim:
        assert {"img2img", "edit", "imagine"} <= (await published(sim)).keys()
        await imagine(sim, size="landscape")
        parent = await newest_job(sim, sim.alice)
        assert (parent.model, parent.steps) == ("noise-edit", 4)
        assert {"Use this", "Vary subtle"} <= buttons_of(sim.last).keys()
        shown: Any = await sim.alice.click(sim.last, custom_id=buttons_of(sim.last)["Use this"])
        assert shown.modal["title"] == "Redraw"
        ids = [label["component"]["custom_id"] for label in shown.modal["components"]]
        await sim.alice.submit_modal(shown, {ids[0]: "as a statue"})
        await sim.settled()
        child = await newest_job(sim, sim.alice)
        assert (child.task, child.model, child.steps) == ("img2img", "noise", 20)
        assert child.parent_id == parent.id


async def test_a_picture_of_another_model_is_fitted_to_the_one_that_redraws(
    tmp_path: Path,
) -> None:
    async with open_simulated_discord(
        tmp_path, ScriptedService(), models="noise,noise-edit"
    ) as sim:
        await imagine(sim)
        drawn = await newest_job(sim, sim.alice)
        assert (drawn.width, drawn.height) == (96, 96)
        await sim.alice.click(sim.last, custom_id=buttons_of(sim.last)["Vary subtle"])
        await sim.settled()
        child = await newest_job(sim, sim.alice)
        # Its sizes are multiples of 64.
        assert (child.task, child.width % 64, child.height % 64) == ("img2img", 0, 0)


async def test_a_real_model_draws_and_edits(tmp_path: Path) -> None:
    async with (
        LocalService(model="noise-edit", dtype="float32", cache_dir=Path("unused")) as service,
        open_simulated_discord(tmp_path, service, model="noise-edit") as sim,
    ):
        await service.wait_ready()
        pictures = []
        for _ in range(2):
            await imagine(sim, steps=1, seed=1)
            pictures.append((await picture_of(sim.last.attachments[0])).tobytes())
        await sim.alice.slash(
            sim.channel, "edit", instruction="make it night", image=CAT, image_2=CAT, steps=1
        )
        await sim.settled()
        edited = (await picture_of(sim.last.attachments[0])).tobytes()
        assert pictures[0] == pictures[1] != edited
        assert len(edited) == len(pictures[0])


async def test_sentences_about_a_missing_picture_name_what_is_offered(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService(), model="noise-edit") as sim:
        result: Any = await sim.bob.slash(sim.channel, "edit", instruction="x")
        sentence = result.followups[-1].content
        assert "with the `image` option, or give a link to one with `links`" in sentence
        hidden = await sim.alice.send(sim.channel, "look", attachments=[CAT])
        result = await sim.bob.slash(sim.channel, "edit", instruction="x")
        assert "choose Apps, Edit this" in result.followups[-1].content
        result = await sim.bob.slash(sim.channel, "edit", instruction="x", links=hidden.jump_url)
        assert "choose Apps, Edit this" in result.followups[-1].content
        assert sim.bot.user is not None
        text = f"{sim.bot.user.mention} make it night"
        for reply_to, expected in ((hidden, "Apps, Edit this"), (None, "Attach one to your")):
            await sim.bob.send(sim.channel, text, reply_to=reply_to)
            await sim.settled()
            assert expected in text_of(sim.last)
