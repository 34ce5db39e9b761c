"""A preview is posted soon after the first step."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageStat

from inference import ImageRequest, ImageResult, LocalService, Progress
from tests.support.services import FakeLifecycle
from tests.support.simulated_discord import open_simulated_discord, text_of

FOX = Path(__file__).parents[3] / "inference/pocket/samples/fox.png"


class Watched(FakeLifecycle):
    """The real service; it records the time of the first step."""

    def __init__(self, real: LocalService) -> None:
        self.real = real
        self.status = real.status
        self.first_step: float | None = None

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        def note(progress: Progress) -> None:
            self.first_step = self.first_step or time.monotonic()
            if on_progress is not None:
                on_progress(progress)

        return await self.real.generate(request, note)


async def test_the_first_preview_is_posted_within_two_seconds_of_the_first_step(
    tmp_path: Path,
) -> None:
    async with LocalService(model="pocket", dtype="float32", cache_dir=tmp_path) as real:
        await real.wait_ready()
        watched = Watched(real)
        async with open_simulated_discord(
            tmp_path, watched, model="pocket", max_steps=100
        ) as discord_sim:
            await discord_sim.alice.slash(
                discord_sim.channel,
                "img2img",
                prompt="a panda on a pink background",
                image=("fox.png", FOX.read_bytes()),
                steps=100,
                strength=1.0,
            )
            async with asyncio.timeout(60):
                while not discord_sim.last.attachments:  # noqa: ASYNC110 - simcord has no event for an edit
                    await asyncio.sleep(0.02)
            seen = time.monotonic()
            assert "step" in text_of(discord_sim.last)
            preview = Image.open(io.BytesIO(await discord_sim.last.attachments[0].read()))
            assert discord_sim.last.attachments[0].filename == "preview.jpg"
            assert max(ImageStat.Stat(preview).stddev) > 1, "the preview is not one flat colour"
            assert watched.first_step is not None
            print(f"first preview {seen - watched.first_step:.2f} s after the first step")
            assert seen - watched.first_step < 2
            await discord_sim.settled()
            assert discord_sim.last.attachments[0].filename.startswith("redraw-")
