"""`/img2img` as members use it: the real bot in a simulated Discord, a real pipeline in a real
worker process."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from inference import LocalService
from tests.support.house import House, open_house, text_of
from tests.support.pictures import file_of, photo

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAT = ("cat.png", file_of(photo(200, 150)))


async def picture_of(house: House) -> Image.Image:
    attachment = house.last.attachments[0]
    return Image.open(io.BytesIO(await attachment.read()))


async def test_an_attachment_comes_back_redrawn(
    tmp_path: Path, noise_service: LocalService
) -> None:
    async with open_house(tmp_path, noise_service) as house:
        result = await house.alice.slash(
            house.channel,
            "img2img",
            prompt="a red fox",
            image=CAT,
            negative_prompt="blue",
            strength=0.5,
            steps=8,
            guidance=3.0,
            seed=7,
        )
        assert result.acknowledged
        await house.settled()
        text = text_of(house.last)
        for said in (
            "a red fox",
            "without: blue",
            "strength 0.5",
            "8 steps",
            "guidance 3",
            "seed 7",
        ):
            assert said in text
        picture = await picture_of(house)
        assert f"{picture.width} × {picture.height}" in text
        assert picture.size == (128, 128)
        assert "a red fox" in (house.last.attachments[0].description or "")
        assert "random weights" in text


async def test_the_same_seed_gives_the_same_picture(
    tmp_path: Path, noise_service: LocalService
) -> None:
    async with open_house(tmp_path, noise_service) as house:
        pictures = []
        for seed in (3, 3, 4):
            await house.alice.slash(
                house.channel, "img2img", prompt="x", image=CAT, seed=seed, steps=4
            )
            await house.settled()
            pictures.append((await picture_of(house)).tobytes())
        assert pictures[0] == pictures[1]
        assert pictures[0] != pictures[2]
