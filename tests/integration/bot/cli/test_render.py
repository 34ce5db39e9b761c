"""`python -m bot render` with a worker that the tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from bot.__main__ import parser, perform
from bot.cli import render as render_command
from bot.config import Settings
from bot.errors import StartError
from inference import ImageRequest, LocalService
from tests.support.pictures import photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import settings_for

pytestmark = pytest.mark.asyncio(loop_scope="module")

Render = Callable[..., Awaitable[str]]


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "in.jpg"
    photo(300, 200).save(path)
    return str(path)


@pytest.fixture
def render(
    noise_service: LocalService,
    tmp_path: Path,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Render:
    """Redraws the source with these options; what the command prints."""

    @asynccontextmanager
    async def shared(settings: Settings) -> AsyncIterator[LocalService]:
        yield noise_service

    monkeypatch.setattr(render_command, "local_service", shared)

    async def run(out: Path, *options: str) -> str:
        arguments = parser().parse_args(["render", source, "a fox", "--out", str(out), *options])
        assert await perform(arguments, settings_for(tmp_path)) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out

    return run


async def test_render_writes_each_format_with_the_settings_it_prints(
    render: Render, tmp_path: Path
) -> None:
    for name in ("out.png", "out.webp", "out.jpg"):
        out = tmp_path / name
        printed = await render(out, "--steps", "4", "--strength", "0.5", "--seed", "3")
        with Image.open(out) as image:
            assert f"{image.width} × {image.height}, 2 steps, seed 3" in printed
        assert b"TrainedAlgorithmicMedia" in out.read_bytes()
        assert "this picture is noise" in printed


async def test_the_same_seed_gives_the_same_file_and_another_seed_another(
    render: Render, tmp_path: Path
) -> None:
    pictures = []
    for seed in ("3", "3", "4"):
        out = tmp_path / "out.png"
        await render(out, "--steps", "2", "--seed", seed)
        pictures.append(Image.open(out).tobytes())
    assert pictures[0] == pictures[1] != pictures[2]


@pytest.mark.parametrize("seed", ["0", "4294967295"])
async def test_the_whole_range_of_seeds_is_used(render: Render, tmp_path: Path, seed: str) -> None:
    printed = await render(tmp_path / "out.png", "--steps", "2", "--seed", seed)
    assert f"seed {seed}," in printed


async def test_minus_one_is_a_new_seed_each_time(render: Render, tmp_path: Path) -> None:
    printed = [await render(tmp_path / "out.png", "--steps", "2", "--seed", "-1") for _ in range(2)]
    seeds = {text.split("seed ")[1].split(",")[0] for text in printed}
    assert len(seeds) == 2
    assert all(0 <= int(seed) < 2**32 for seed in seeds)


class Recording:
    """Runs `render` and `imagine` with an engine that makes no picture, and keeps the request."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.service = ScriptedService()
        self.started = False

        @asynccontextmanager
        async def recording(settings: Settings) -> AsyncIterator[ScriptedService]:
            self.started = True
            yield self.service

        monkeypatch.setattr(render_command, "local_service", recording)

    async def run(self, *arguments: str, model: str, suffix: str = "png") -> ImageRequest:
        out = self.folder / f"out.{suffix}"
        parsed = parser().parse_args([*arguments, "--out", str(out)])
        await perform(parsed, settings_for(self.folder, model=model))
        return self.service.requests[-1]


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recording:
    return Recording(tmp_path, monkeypatch)


async def test_imagine_draws_from_text_at_a_size_of_the_model(
    recording: Recording, tmp_path: Path
) -> None:
    request = await recording.run("imagine", "a fox", "--size", "landscape", model="noise-edit")
    assert (request.pixels, request.references) == (b"", ())
    assert (request.width, request.height) == (128, 64)
    assert (request.prompt, request.steps) == ("a fox", 4)
    # Only a picture that is drawn from text alone is marked so.
    assert b"/trainedAlgorithmicMedia" in (tmp_path / "out.png").read_bytes()


async def test_render_edits_several_pictures_in_their_order(
    recording: Recording, source: str, tmp_path: Path
) -> None:
    hat = tmp_path / "hat.png"
    photo(96, 96, seed=5).save(hat)
    request = await recording.run(
        *("render", source, "put the hat on the cat", "--reference", str(hat)), model="noise-edit"
    )
    assert len(request.references) == 1
    assert len(request.pixels) == request.width * request.height * 3
    assert request.strength == 1.0
    assert b"compositeWithTrainedAlgorithmicMedia" in (tmp_path / "out.png").read_bytes()


async def test_render_edits_one_picture_with_a_model_that_only_edits(
    recording: Recording, source: str
) -> None:
    request = await recording.run("render", source, "make it night", model="noise-edit")
    assert request.references == ()
    assert request.pixels


@pytest.mark.parametrize(
    ("arguments", "model", "sentence"),
    [
        (("imagine", "a fox"), "noise", "noise cannot draw from text"),
        (("imagine", "x", "--guidance", "3"), "noise-edit", "has no setting --guidance"),
        (("imagine", "x", "--negative-prompt", "y"), "klein-4b", "no setting --negative-prompt"),
        (("render", "IN", "x", "--strength", "0.5"), "noise-edit", "no setting --strength"),
        (("render", "IN", "x", "--negative-prompt", "y"), "sdxl-turbo", "--negative-prompt"),
        (("render", "IN", "x", "--reference", "IN"), "noise", "reads one picture"),
        (("render", "IN", "x", *("--reference", "IN") * 4), "noise-edit", "and you gave 5"),
        (("render", "IN", "x", "--reference", "gone.png"), "noise-edit", "gone.png cannot be read"),
    ],
)
async def test_what_a_model_cannot_do_is_said_before_it_is_loaded(
    recording: Recording, source: str, arguments: tuple[str, ...], model: str, sentence: str
) -> None:
    given = [source if each == "IN" else each for each in arguments]
    with pytest.raises(StartError, match=sentence):
        await recording.run(*given, model=model)
    assert not recording.started
