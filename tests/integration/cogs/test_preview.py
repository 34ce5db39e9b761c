"""A preview is posted while its request runs."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from inference import ImageRequest, ImageResult, LocalService, Progress
from tests.support.pictures import file_of, photo
from tests.support.services import FakeLifecycle
from tests.support.simulated_discord import open_simulated_discord, text_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Held(FakeLifecycle):
    """The real service. It records the progress, and holds the result back until `gate` is set."""

    def __init__(self, real: LocalService) -> None:
        self.real = real
        self.status = real.status
        self.progress: list[Progress] = []
        self.gate = asyncio.Event()

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        def note(progress: Progress) -> None:
            self.progress.append(progress)
            if on_progress is not None:
                on_progress(progress)

        result = await self.real.generate(request, note)
        await self.gate.wait()
        return result


async def test_a_preview_of_the_first_steps_is_posted_before_the_result(
    tmp_path: Path, noise_service: LocalService
) -> None:
    held = Held(noise_service)
    async with open_simulated_discord(tmp_path, held) as discord_sim:
        await discord_sim.alice.slash(
            discord_sim.channel,
            "img2img",
            prompt="a panda",
            image=("fox.png", file_of(photo(192, 128))),
            steps=8,
            strength=1.0,
        )
        async with asyncio.timeout(60):
            while not discord_sim.last.attachments:  # noqa: ASYNC110 - simcord has no event for an edit
                await asyncio.sleep(0.02)
        # The engine copies it from the device during the next step.
        assert any(one.preview for one in held.progress if one.step <= 2)
        assert "step" in text_of(discord_sim.last)
        assert discord_sim.last.attachments[0].filename == "preview.jpg"
        preview = Image.open(io.BytesIO(await discord_sim.last.attachments[0].read()))
        assert max(ImageStat.Stat(preview).stddev) > 1, "the preview is not one flat colour"
        held.gate.set()
        await discord_sim.settled()
        assert discord_sim.last.attachments[0].filename.startswith("redraw-")
