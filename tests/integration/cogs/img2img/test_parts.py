"""Redrawing a part through Discord: choices, masks, structures, *Show part*, stored files."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image, ImageDraw

from bot.errors import StoredPictureMissing
from bot.images.picture import Picture
from bot.jobs.job import Job
from bot.runner.job_inputs import grey_of
from cogs.requests.pictures.stored_source import StoredSource, refitted
from inference import MODELS, ImageRequest
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_shared_discord,
    text_of,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAT = ("cat.png", file_of(photo(160, 128)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def discord_sim(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[SimulatedDiscord]:
    folder = tmp_path_factory.mktemp("parts")
    async with open_shared_discord(folder, ScriptedService()) as opened:
        yield opened


def requests_of(discord_sim: SimulatedDiscord) -> list[ImageRequest]:
    service = discord_sim.bot.services.inference
    assert isinstance(service, ScriptedService)
    return service.requests


async def redraw(discord_sim: SimulatedDiscord, **options: Any) -> Any:
    options = {"prompt": "snow", "image": CAT, **options}
    options = {name: value for name, value in options.items() if value is not None}
    result = await discord_sim.alice.slash(discord_sim.channel, "img2img", **options)
    await discord_sim.settled()
    return result


async def newest(discord_sim: SimulatedDiscord) -> Job:
    return (await discord_sim.bot.services.store.jobs_of(discord_sim.alice.id))[0]


def stored_files(discord_sim: SimulatedDiscord) -> set[Path]:
    return set((discord_sim.bot.services.settings.data_dir / "pictures").rglob("*.*"))


def refusal_in(result: Any) -> str:
    """The text of the only reply, which must be ephemeral."""
    [reply] = [*result.followups] or [result.response]
    assert reply.ephemeral
    return str(reply.content)


def mask_file(width: int, height: int, colour: str = "white") -> bytes:
    """Black, with a rectangle of this colour in the left half."""
    image = Image.new("RGB", (width, height), "black")
    ImageDraw.Draw(image).rectangle((0, 0, width // 2 - 1, height), fill=colour)
    return file_of(image)


def half_transparent() -> bytes:
    image = photo(160, 128).convert("RGBA")
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (0, 0, 80, 128))
    image.putalpha(alpha)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def left_share(mask: bytes | None, width: int, height: int) -> tuple[float, float]:
    """The mean of the mask's left and right half, 0..1."""
    assert mask is not None
    grey = np.frombuffer(mask, np.uint8).reshape(height, width) / 255
    return float(grey[:, : width // 2].mean()), float(grey[:, width // 2 :].mean())


async def test_a_part_and_its_threshold_reach_the_engine(discord_sim: SimulatedDiscord) -> None:
    await redraw(discord_sim, part="background", threshold=30)
    request = requests_of(discord_sim)[-1]
    assert (request.part, request.part_threshold) == ("background", 0.3)
    assert request.steps > 0
    assert "redrawn: the background" in text_of(discord_sim.last)


@pytest.mark.parametrize("size", [(160, 128), (50, 400), (1000, 300)])
async def test_a_mask_of_any_size_is_fitted_to_the_source(
    discord_sim: SimulatedDiscord, size: tuple[int, int]
) -> None:
    before = len(requests_of(discord_sim))
    await redraw(discord_sim, mask=("mask.png", mask_file(*size)))
    [request] = requests_of(discord_sim)[before:]
    left, right = left_share(request.mask, request.width, request.height)
    assert left > 0.95
    assert right < 0.05
    assert "redrawn: the mask" in text_of(discord_sim.last)


async def test_the_transparent_region_is_the_mask(discord_sim: SimulatedDiscord) -> None:
    await redraw(discord_sim, image=("cut.png", half_transparent()), part="transparent")
    request = requests_of(discord_sim)[-1]
    left, right = left_share(request.mask, request.width, request.height)
    assert left > 0.95
    assert right < 0.05
    assert request.part == "everything"
    await redraw(discord_sim, image=("cut.png", half_transparent()))
    assert requests_of(discord_sim)[-1].mask is None


async def test_a_mask_with_a_transparent_region_redraws_that(discord_sim: SimulatedDiscord) -> None:
    await redraw(discord_sim, mask=("mask.png", half_transparent()))
    request = requests_of(discord_sim)[-1]
    left, right = left_share(request.mask, request.width, request.height)
    assert left > 0.95
    assert right < 0.05


async def test_a_structure_is_cut_to_the_source_s_size(discord_sim: SimulatedDiscord) -> None:
    room = photo(300, 200, seed=5)
    await redraw(discord_sim, structure=("room.png", file_of(room)))
    request = requests_of(discord_sim)[-1]
    assert request.structure is not None
    assert len(request.structure) == request.width * request.height * 3
    assert request.structure != request.pixels
    assert request.strength < 1


async def test_a_structure_alone_is_redrawn_whole(discord_sim: SimulatedDiscord) -> None:
    room = file_of(photo(160, 128, seed=6))
    await redraw(discord_sim, image=None, structure=("room.png", room))
    request = requests_of(discord_sim)[-1]
    assert request.strength == 1.0
    assert request.structure is None
    job = await newest(discord_sim)
    assert (job.source_name, job.structure) == ("room.png", None)
    await redraw(discord_sim, image=None, structure=("room.png", room), strength=0.4)
    assert requests_of(discord_sim)[-1].strength == 0.4


async def test_show_part_runs_no_step_and_posts_a_tinted_picture(
    discord_sim: SimulatedDiscord,
) -> None:
    mask = ("mask.png", mask_file(160, 128))
    await redraw(discord_sim, mask=mask, show_part=True, steps=9, seed=7)
    request = requests_of(discord_sim)[-1]
    assert (request.steps, request.return_mask) == (0, True)
    message = discord_sim.last
    assert "would be redrawn: the mask" in text_of(message)
    assert "0 steps" not in text_of(message)
    assert set(buttons_of(message)) == {"Redraw this part", "Edit", "Delete"}
    data = await message.attachments[0].read()
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    source = Image.frombytes("RGB", (request.width, request.height), request.pixels)
    own = np.asarray(source.resize((shown.shape[1], shown.shape[0]))).astype(int)
    change = np.abs(shown - own).mean(axis=2)
    middle = shown.shape[1] // 2
    assert change[:, : middle - 8].mean() > 5 * change[:, middle + 8 :].mean()

    await discord_sim.alice.click(message, label="Redraw this part")
    await discord_sim.settled()
    again = requests_of(discord_sim)[-1]
    assert again.steps > 0
    assert again.seed == 7
    assert (again.mask, again.return_mask) == (request.mask, False)


async def test_use_this_redraws_the_same_part_of_the_result(discord_sim: SimulatedDiscord) -> None:
    await redraw(discord_sim, mask=("mask.png", mask_file(160, 128)))
    form: Any = await discord_sim.alice.click(discord_sim.last, label="Use this")
    prompt = form.modal["components"][0]["component"]["custom_id"]
    await discord_sim.alice.submit_modal(form, {prompt: "rain"})
    await discord_sim.settled()
    first, second = requests_of(discord_sim)[-2:]
    assert second.prompt == "rain"
    assert second.pixels != first.pixels
    assert second.mask == first.mask


async def test_the_form_of_edit_has_the_part_of_the_picture(discord_sim: SimulatedDiscord) -> None:
    await redraw(discord_sim, part="foreground", guidance=4.0)
    opened: Any = await discord_sim.alice.click(discord_sim.last, label="Edit")
    [field] = [each for each in opened.modal["components"] if each["label"] == "Which part?"]
    options = field["component"]["options"]
    assert [each["value"] for each in options] == ["everything", "foreground", "background"]
    assert [each["value"] for each in options if each.get("default")] == ["foreground"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mask": ("m.png", mask_file(64, 64, "black"))}, "black everywhere"),
        ({"mask": ("m.png", b"no picture")}, "not a picture"),
        ({"part": "transparent"}, "no transparent region"),
        (
            {"part": "transparent", "mask": ("m.png", mask_file(64, 64))},
            "either a mask or the transparent region",
        ),
        ({"structure": ("s.png", b"no picture")}, "not a picture"),
        ({"part": "transparent", "image": None, "url": "https://a.example/b.png"}, "attach"),
    ],
)
async def test_unusable_options_get_a_sentence_and_leave_no_file(
    discord_sim: SimulatedDiscord, options: dict[str, Any], sentence: str
) -> None:
    files, asked = stored_files(discord_sim), len(requests_of(discord_sim))
    assert sentence in refusal_in(await redraw(discord_sim, **options))
    assert stored_files(discord_sim) == files
    assert len(requests_of(discord_sim)) == asked


async def test_erasing_a_job_erases_its_mask_and_structure(discord_sim: SimulatedDiscord) -> None:
    files = stored_files(discord_sim)
    image = ("own.png", file_of(photo(96, 96, seed=71)))
    await redraw(
        discord_sim,
        image=image,
        mask=("m.png", mask_file(50, 60)),
        structure=("s.png", file_of(photo(90, 90, seed=72))),
    )
    job = await newest(discord_sim)
    assert job.mask is not None
    assert job.structure is not None
    assert {job.mask, job.structure} <= job.pictures
    await discord_sim.bot.services.store.erase_job(job.id)
    assert stored_files(discord_sim) == files


@pytest.mark.parametrize("guide", ["structure", "mask"])
async def test_the_spoiler_of_a_guide_is_kept(discord_sim: SimulatedDiscord, guide: str) -> None:
    picture = file_of(photo(160, 128, seed=73))
    await redraw(discord_sim, **{guide: (f"SPOILER_{guide}.png", picture)})
    assert (await newest(discord_sim)).spoiler
    assert all(attachment.is_spoiler() for attachment in discord_sim.last.attachments)


async def stored_request(discord_sim: SimulatedDiscord) -> StoredSource:
    """A request with pictures at the size of a large model; the mask is white on its left."""
    width, height = 1024, 768
    mask = Image.open(io.BytesIO(mask_file(width, height))).convert("RGB")
    pictures = discord_sim.bot.services.store.pictures
    names = [
        await pictures.put(Picture(image.tobytes(), *image.size))
        for image in (photo(width, height, seed=81), mask, photo(width, height, seed=82))
    ]
    stored, mask_name, structure = names
    further = StoredSource(stored=structure, width=width, height=height, name="b.png")
    return StoredSource(
        stored=stored,
        width=width,
        height=height,
        name="a.png",
        mask=mask_name,
        structure=structure,
        references=(further,),
    )


async def test_mask_and_structure_are_fitted_to_another_model(
    discord_sim: SimulatedDiscord,
) -> None:
    services, model = discord_sim.bot.services, MODELS["sd15-depth"]
    fitted = await refitted(services, await stored_request(discord_sim), model)
    assert fitted.width * fitted.height <= model.pixels
    for name in fitted.pictures:
        picture = await services.store.pictures.get(name)
        assert (picture.width, picture.height) == (fitted.width, fitted.height)
    grey = grey_of(await services.store.pictures.get(fitted.mask or ""))
    middle = fitted.height // 2 * fitted.width
    assert (grey[middle], grey[middle + fitted.width - 1]) == (255, 0)


async def test_a_request_that_cannot_be_fitted_leaves_no_file(
    discord_sim: SimulatedDiscord,
) -> None:
    services = discord_sim.bot.services
    broken = replace(await stored_request(discord_sim), structure="f" * 64)
    before = stored_files(discord_sim)
    with pytest.raises(StoredPictureMissing):
        await refitted(services, broken, MODELS["sd15-depth"])
    assert stored_files(discord_sim) == before
