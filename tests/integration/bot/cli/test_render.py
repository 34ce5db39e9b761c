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
from inference import LocalService
from tests.support.pictures import photo
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
