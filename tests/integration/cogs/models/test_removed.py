"""Requests that wait for a model, pictures of a removed model, and a bot with one model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from inference import DownloadProgress, ModelState
from tests.support.services import ScriptedService
from tests.support.several_models import CAT, MODELS, press, redraw, said, service
from tests.support.simulated_discord import open_simulated_discord


async def test_users_who_wait_see_that_their_model_is_loaded(tmp_path: Path) -> None:
    engine = service(sdxl_turbo=ModelState.LOADING)
    engine.gate.clear()
    engine.steps = 0
    async with open_simulated_discord(tmp_path, engine, model=MODELS[0], models=MODELS) as opened:
        await opened.alice.slash(
            opened.channel, "img2img", prompt="a fox", image=CAT, model="sdxl-turbo"
        )
        await opened.shown("Loading the model sdxl-turbo, about 20 s")
        engine.gate.set()
        await opened.settled()


async def test_users_who_wait_see_the_progress_of_their_model_s_download(tmp_path: Path) -> None:
    engine = service(sdxl_turbo=ModelState.DOWNLOADING)
    engine.gate.clear()
    engine.steps = 0
    async with open_simulated_discord(tmp_path, engine, model=MODELS[0], models=MODELS) as opened:
        await opened.alice.slash(
            opened.channel, "img2img", prompt="a fox", image=CAT, model="sdxl-turbo"
        )
        await opened.shown("Downloading the model sdxl-turbo")
        progress = DownloadProgress(
            files=1, total_files=9, bytes=40, total_bytes=100, seconds_left=90.0
        )
        models = tuple(
            replace(each, download=progress) if each.name == "sdxl-turbo" else each
            for each in engine.status.models
        )
        engine.status = replace(engine.status, models=models)
        await opened.shown("Downloading the model sdxl-turbo: 40 %, about 2 min")
        engine.gate.set()
        await opened.settled()


async def test_buttons_of_a_removed_model_say_so_and_edit_offers_the_others(
    tmp_path: Path,
) -> None:
    async with open_simulated_discord(
        tmp_path, service(), model=MODELS[0], models=MODELS
    ) as opened:
        await redraw(opened, model="sdxl-turbo")
        message = opened.last
        models = opened.bot.services.models
        object.__setattr__(opened.bot.services, "models", type(models)([models.get("sd2-depth")]))
        result = await press(opened, message, "Again")
        assert "sdxl-turbo is not available here" in said(result)
        shown = await press(opened, message, "Edit")
        fields = [each for each in shown.modal["components"] if "component" in each]
        ids = [field["component"]["custom_id"] for field in fields]
        await opened.alice.submit_modal(shown, {ids[0]: "an owl"})
        await opened.settled()
        job = (await opened.bot.services.store.jobs_of(opened.alice.id))[0]
        assert (job.prompt, job.model, job.steps) == ("an owl", "sd2-depth", 25)


async def test_with_one_model_there_is_no_option_for_it(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService()) as opened:
        command = opened.bot.tree.get_command("img2img")
        assert command is not None
        translator = opened.bot.tree.translator
        assert translator is not None
        payload = await command.get_translated_payload(opened.bot.tree, translator)
        assert "model" not in [option["name"] for option in payload["options"]]
