"""The engine's requests of a job: exactly its settings and its pictures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import StoredPictureMissing
from bot.images.picture import Picture
from bot.jobs.job import Job, Reference, Variant
from bot.runner.job_inputs import load_inputs, request_of
from bot.store.store import Store
from inference import ImageRequest
from inference import Picture as ReferencePicture
from tests.support.jobs import job, picture

# Not square, so that width and height cannot be confused.
WIDTH, HEIGHT = 16, 8
GREY = Picture(bytes(n // 3 for n in range(WIDTH * HEIGHT * 3)), WIDTH, HEIGHT)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(tmp_path) as opened:
        yield opened


async def redraw(store: Store) -> Job:
    """A job with every setting that a redrawn picture can have."""
    return job(
        await store.pictures.put(picture(1)),
        id="abc",
        attempts=1,
        width=WIDTH,
        height=HEIGHT,
        prompt="a fox",
        negative_prompt="blue",
        steps=12,
        guidance_scale=3.5,
        model="sd2-depth",
        part="background",
        part_threshold=0.25,
        mask=await store.pictures.put(GREY),
        structure=await store.pictures.put(picture(3)),
        variants=(
            Variant(seed=0, strength=0.5),
            Variant(seed=7, strength=0.75, prompt="a styled fox", negative_prompt="fog"),
        ),
    )


async def requests(store: Store, one: Job) -> list[ImageRequest]:
    inputs = await load_inputs(store.pictures, one)
    return [request_of(one, number, inputs) for number in range(len(one.variants))]


async def test_a_request_has_every_setting_and_picture_of_its_variant(store: Store) -> None:
    first, second = await requests(store, await redraw(store))
    assert first == ImageRequest(
        id="abc-0-2",
        pixels=picture(1).pixels,
        width=WIDTH,
        height=HEIGHT,
        prompt="a fox",
        negative_prompt="blue",
        strength=0.5,
        steps=12,
        guidance_scale=3.5,
        seed=0,
        part="background",
        part_threshold=0.25,
        mask=GREY.pixels[::3],
        structure=picture(3).pixels,
        preview=True,
        return_depth=True,
        model="sd2-depth",
    )
    assert second == replace(
        first,
        id="abc-1-2",
        prompt="a styled fox",
        negative_prompt="fog",
        strength=0.75,
        seed=7,
        # One preview and one depth map a job.
        preview=False,
        return_depth=False,
    )


async def test_an_edit_sends_its_first_picture_and_the_further_ones_apart(store: Store) -> None:
    names = [await store.pictures.put(picture(n, width=8 * n, height=8)) for n in (2, 3, 4)]
    references = tuple(
        Reference(stored=name, width=8 * n, height=8, name="x")
        for n, name in zip((3, 4), names[1:], strict=True)
    )
    [request] = await requests(store, job(names[0], task="edit", references=references))
    assert request.pixels == picture(2).pixels
    assert request.references == tuple(
        ReferencePicture(pixels=picture(n, width=8 * n, height=8).pixels, width=8 * n, height=8)
        for n in (3, 4)
    )


async def test_a_picture_drawn_from_text_has_no_pixels(store: Store) -> None:
    [request] = await requests(store, job(None, task="text2img"))
    assert (request.pixels, request.references) == (b"", ())
    assert (request.mask, request.structure) == (None, None)


async def test_only_a_shown_part_returns_its_mask(store: Store) -> None:
    one = await redraw(store)
    assert not any(request.return_mask for request in await requests(store, one))
    part = replace(one, layout="part")
    assert all(request.return_mask for request in await requests(store, part))


@pytest.mark.parametrize("lost", ["source", "mask", "structure"])
async def test_a_picture_that_is_not_stored_any_more_is_noticed(store: Store, lost: str) -> None:
    one = replace(await redraw(store), **{lost: "f" * 64})  # type: ignore[arg-type]
    with pytest.raises(StoredPictureMissing):
        await load_inputs(store.pictures, one)
