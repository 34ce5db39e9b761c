"""Every message keeps Discord's limits and shows what the user wrote, whatever that was."""

from __future__ import annotations

import dataclasses

import discord
import pytest

from bot.delivery.message import MessageContent, Upload
from bot.jobs.job import Job, JobProgress, QueuePosition, Variant
from cogs.shared.renderer import ALT_LIMIT, Img2ImgRenderer, alt_text, credit
from tests.support.jobs import job

# https://discord.com/developers/docs/components/reference#component-limits
TEXT_LIMIT, COMPONENT_LIMIT = 4000, 40
LOCALES = ["en-US", "de", "fr", "es-ES", "ja"]


def longest(locale: str, **changes: object) -> Job:
    """A job whose every text is as long as users can make it."""
    variants = tuple(Variant(seed=2**32 - 1 - n, strength=0.555) for n in range(4))
    values = {
        "prompt": "*_" * 500,
        "negative_prompt": "|~" * 500,
        "ignored_prompt": "`" * 1000,
        "style": "_" * 100,
        "source_name": f"[{'x' * 60}](https://discord.com/channels/{'1' * 57}) by <@{'2' * 19}>",
        "variants": variants,
        "locale": locale,
        "model": "pocket",
        "error": "An error. " * 20,
        "depth": "0" * 64,
        "user_id": 2**63,
    }
    return dataclasses.replace(job(), **(values | changes))  # type: ignore[arg-type]


def states(one: Job) -> dict[str, MessageContent]:
    renderer = Img2ImgRenderer(lambda: False)
    uploads = [Upload(name=f"{n}.png", data=b"", description="x") for n in range(4)]
    progress = JobProgress(step=1, total=9, seconds_left=1e5)
    return {
        "queued": renderer.queued(one, QueuePosition(ahead=999, seconds=1e5)),
        "running": renderer.running(one, progress),
        "made": renderer.made(one, uploads),
        "failed": renderer.failed(one),
        "cancelled": renderer.cancelled(one),
    }


@pytest.mark.parametrize("locale", LOCALES)
async def test_the_longest_texts_fit_in_a_message(locale: str) -> None:
    for name, content in states(longest(locale)).items():
        texts = [
            item.content
            for item in content.view.walk_children()
            if isinstance(item, discord.ui.TextDisplay)
        ]
        assert sum(map(len, texts)) <= TEXT_LIMIT, name
        assert content.view.total_children_count <= COMPONENT_LIMIT, name


@pytest.mark.parametrize("locale", LOCALES)
def test_alt_text_fits(locale: str) -> None:
    assert len(alt_text(longest(locale))) <= ALT_LIMIT


async def test_a_style_is_named_and_does_not_replace_the_words_of_the_user() -> None:
    styled = longest(
        "en-US",
        prompt="pixel art of a fox, 8-bit",
        negative_prompt="rain, photo",
        user_prompt="a fox",
        user_negative_prompt="rain",
        style="Pixel art",
    )
    for name, content in states(styled).items():
        text = "\n".join(
            item.content
            for item in content.view.walk_children()
            if isinstance(item, discord.ui.TextDisplay)
        )
        assert "**a fox**" in text, name
        assert "8-bit" not in text, name
        if name == "made":
            assert "style: Pixel art" in text
            assert "without: rain" in text
            assert "photo" not in text
    assert "a fox" in alt_text(styled)
    assert "8-bit" not in alt_text(styled)


async def test_links_and_invitations_in_a_prompt_are_not_clickable() -> None:
    one = longest("en-US", prompt="https://evil.example discord.gg/abc", negative_prompt="")
    for content in states(one).values():
        text = str(content.view.to_components())  # type: ignore[no-untyped-call]
        assert "https://evil" not in text
        assert "discord.gg" not in text


async def test_the_star_is_missing_where_favourites_are_turned_off() -> None:
    for favourites in (True, False):
        renderer = Img2ImgRenderer(lambda: True, favourites=favourites)
        shown = str(renderer.made(job(), []).view.to_components())  # type: ignore[no-untyped-call]
        assert ("redraw:favourite:" in shown) is favourites


async def test_words_that_the_bundled_model_does_not_know_are_named() -> None:
    renderer = Img2ImgRenderer(lambda: True)
    for model, named in (("pocket", True), ("sd2-depth", False)):
        one = dataclasses.replace(job(), prompt="a dragon on a red background", model=model)
        shown = str(renderer.made(one, []).view.to_components())  # type: ignore[no-untyped-call]
        assert ("does not know these words: dragon" in shown) is named


async def test_only_the_beginning_of_what_the_model_left_out_is_repeated() -> None:
    words = " ".join(f"word{number}" for number in range(200))
    one = dataclasses.replace(job(), ignored_prompt=words)
    shown = str(Img2ImgRenderer(lambda: True).made(one, []).view.to_components())  # type: ignore[no-untyped-call]
    assert "from here on: word0 word1" in shown
    assert "word20" not in shown


async def test_a_sheet_of_styles_fits_in_a_message() -> None:
    variants = tuple(
        Variant(seed=1, strength=0.5, style="x" * 100 + str(n), prompt="p") for n in range(6)
    )
    content = states(longest("de", layout="grid", variants=variants))["made"]
    assert content.view.total_children_count <= COMPONENT_LIMIT


def texts_of(content: MessageContent) -> list[str]:
    """The texts of a message, in their order."""
    items = content.view.walk_children()
    return [item.content for item in items if isinstance(item, discord.ui.TextDisplay)]


def plain_job(**changes: object) -> Job:
    """A job with short texts."""
    values = {"prompt": "a *fox*", "source_name": "cat.png", "user_id": 7, "model": "sd2-depth"}
    return dataclasses.replace(job(), **(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ahead", "seconds", "text"),
    [
        (0, None, "you are next"),
        (1, None, "1 ahead of you"),
        (2, 90.0, "2 ahead of you, about 2 min"),
    ],
)
def test_a_queued_job_shows_its_position_and_its_source(
    ahead: int, seconds: float | None, text: str
) -> None:
    position = QueuePosition(ahead=ahead, seconds=seconds)
    renderer = Img2ImgRenderer(lambda: True)
    assert texts_of(renderer.queued(plain_job(), position)) == [
        f"**a \\*fox\\***\n-# Queued: {text} · from cat.png"
    ]
    loading = Img2ImgRenderer(lambda: False)
    (waiting,) = texts_of(loading.queued(plain_job(), position))
    assert (
        waiting.splitlines()[-1]
        == "-# The model is still loading. Your picture is drawn as soon as it is ready."
    )


@pytest.mark.parametrize(
    ("step", "total", "cells"), [(0, 9, 0), (3, 9, 4), (9, 9, 12), (10, 9, 12), (0, 0, 0)]
)
def test_a_running_job_shows_its_step_and_the_time_left(step: int, total: int, cells: int) -> None:
    renderer = Img2ImgRenderer(lambda: True)
    shown = "▰" * cells + "▱" * (12 - cells)
    for seconds, left in ((None, ""), (30.0, " · about 30 s left")):
        progress = JobProgress(step=step, total=total, seconds_left=seconds)
        assert texts_of(renderer.running(plain_job(), progress)) == [
            f"**a \\*fox\\***\n{shown} step {step} of {total}{left}\n-# from cat.png"
        ]


def test_a_finished_job_shows_only_the_settings_that_its_model_has() -> None:
    renderer = Img2ImgRenderer(lambda: True, options_of=lambda _job: frozenset({"guidance"}))
    content = renderer.made(plain_job(), [])
    _, rest = texts_of(content)
    assert "guidance" in rest
    assert "strength" not in rest
    assert "Strengths" not in str(content.view.to_components())  # type: ignore[no-untyped-call]


def test_a_finished_job_shows_its_settings_and_a_cancelled_one_that_it_was() -> None:
    renderer = Img2ImgRenderer(lambda: True)
    made = plain_job(negative_prompt="rain", seconds=12.0)
    prompt, rest = texts_of(renderer.made(made, []))
    assert prompt == "**a \\*fox\\***"
    lines = rest.splitlines()
    assert lines[0] == "-# without: rain"
    assert lines[-1] == "-# from cat.png · for <@7>"
    assert credit(made) == "-# redrawn by AI for <@7>"
    assert credit(plain_job(source=None)) == "-# drawn by AI for <@7>"
    assert f"seed {made.variants[0].seed}" in lines[1]
    assert lines[1].endswith("12 s")
    assert texts_of(renderer.cancelled(plain_job())) == ["**a \\*fox\\***\n-# Cancelled."]
    one = plain_job(error="It did not work.")
    assert texts_of(renderer.failed(one)) == [
        f"**a \\*fox\\***\nIt did not work.\n-# request {one.id}"
    ]
