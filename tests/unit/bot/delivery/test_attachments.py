"""The attachments of an answer: one for each picture, or one sheet."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from bot.delivery.attachments import encode_job
from bot.delivery.message import Upload
from bot.images.compose import GAP, LABEL_HEIGHT
from bot.images.picture import Picture
from bot.jobs.job import Job, Variant
from bot.jobs.options import options_of
from tests.support.jobs import job

# Large enough to be posted in its own size.
WIDTH, HEIGHT = 384, 192


def pictures_of(number: int) -> list[Picture]:
    """Pictures of one grey each."""
    return [Picture(bytes([20 * n]) * (WIDTH * HEIGHT * 3), WIDTH, HEIGHT) for n in range(number)]


def job_of(number: int, **changes: Any) -> Job:
    variants = tuple(Variant(seed=100 + n, strength=0.5 + n / 10) for n in range(number))
    return job(id="0123456789abcdef", variants=variants, width=WIDTH, height=HEIGHT, **changes)


async def encoded(one: Job, *, write_settings: bool = False) -> tuple[Upload, ...]:
    pictures = pictures_of(len(one.variants))
    return await encode_job(
        one, pictures, alt="a fox", options=options_of(one) if write_settings else None
    )


def opened(upload: Upload) -> Image.Image:
    return Image.open(io.BytesIO(upload.data))


async def test_every_picture_is_a_file_with_a_number_and_a_description() -> None:
    uploads = await encoded(job_of(2))
    assert [upload.name for upload in uploads] == [
        "redraw-0123456789abcdef-1.png",
        "redraw-0123456789abcdef-2.png",
    ]
    assert [upload.description for upload in uploads] == ["a fox", "a fox"]
    assert [opened(upload).getpixel((0, 0)) for upload in uploads] == [(0, 0, 0), (20, 20, 20)]


@pytest.mark.parametrize(("spoiler", "prefix"), [(True, "SPOILER_"), (False, "")])
async def test_discord_gets_the_name_the_bytes_and_the_description(
    spoiler: bool, prefix: str
) -> None:
    [upload] = await encoded(job_of(1, spoiler=spoiler))
    file = upload.file()
    assert file.filename == f"{prefix}redraw-0123456789abcdef-1.png"
    assert (file.description, file.spoiler) == ("a fox", spoiler)
    # An attempt can be repeated: each has a file object of its own.
    assert file.fp.read() == upload.file().fp.read() == upload.data


@pytest.mark.parametrize(("number", "columns", "rows"), [(2, 2, 1), (4, 2, 2), (5, 3, 2)])
async def test_a_sheet_has_two_columns_or_three_beyond_four_pictures(
    number: int, columns: int, rows: int
) -> None:
    [upload] = await encoded(job_of(number, layout="grid"))
    assert upload.name == "redraw-0123456789abcdef-1.png"
    assert opened(upload).size == (
        columns * (WIDTH + GAP) + GAP,
        rows * (HEIGHT + LABEL_HEIGHT + GAP) + GAP,
    )


async def test_a_small_picture_is_posted_enlarged() -> None:
    small = [Picture(bytes(64 * 32 * 3), 64, 32)]
    [upload] = await encode_job(job_of(1), small, alt="", options=None)
    assert opened(upload).size == (384, 192)


async def test_the_settings_are_written_only_if_the_operator_wants_them() -> None:
    one = job_of(2, model="sd2-depth")
    assert "parameters" not in opened((await encoded(one))[0]).info
    second = (await encoded(one, write_settings=True))[1]
    assert opened(second).info["parameters"] == (
        "a red fox in the snow\nNegative prompt: blue\n"
        "Steps: 10, CFG scale: 7.5, Seed: 101, Size: 384x192, Model: sd2-depth, "
        "Denoising strength: 0.6"
    )


async def test_settings_without_an_effect_are_not_written() -> None:
    """A turbo model has no guidance; a picture drawn from text has no strength."""
    one = job_of(1, model="sdxl-turbo", task="text2img", source=None)
    [upload] = await encoded(one, write_settings=True)
    text = opened(upload).info["parameters"]
    assert "CFG scale" not in text
    assert "strength" not in text


@pytest.mark.parametrize("source", [None, "0" * 64])
async def test_the_metadata_says_whether_there_was_a_source_picture(source: str | None) -> None:
    one = replace(job_of(1), source=source)
    [upload] = await encoded(one)
    composite = b"compositeWithTrainedAlgorithmicMedia" in upload.data
    assert composite is (source is not None)
    assert b"rainedAlgorithmicMedia" in upload.data


async def test_the_files_fit_the_limit_of_the_destination() -> None:
    noise = Image.effect_noise((WIDTH, HEIGHT), 90).convert("RGB").tobytes()
    one = job_of(1)
    one = replace(one, destination=replace(one.destination, upload_limit=40_000))
    [upload] = await encode_job(one, [Picture(noise, WIDTH, HEIGHT)], alt="", options=None)
    assert upload.name.endswith(".webp")
    assert len(upload.data) <= 40_000
