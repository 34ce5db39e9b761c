"""Makes the pictures of the README and of `pocket`, with default settings and fixed seeds.

python -m tests.readme_pictures          # all of them
python -m tests.readme_pictures part     # one of them
"""

from __future__ import annotations

import argparse
import asyncio
import io
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from PIL import Image
from playwright.async_api import Locator, Page, expect

from inference import POCKET
from inference.pocket.recipe import grid
from inference.pocket.recipe.settings import Recipe
from tests.support.demo.browser import (
    FOX,
    ROOT,
    become,
    browser_page,
    demo,
    img2img,
    open_command,
    redrawn,
)

DOCS = ROOT / "docs"
PANDA = "a panda on a pink background"
FOX_ON_PINK = "a fox on a pink background"
FROG = "a frog on a green background"
ROBOT = "a robot on an orange background"
TEDDY = FOX.with_name("teddy.png")
# Of the animation: its width in pixels, and how long a picture is shown.
WIDTH, PAUSE_MS, TYPED_MS, HOLD_MS = 800, 450, 120, 2500
# How long a picture may take on a loaded machine.
PICTURE_MS = 240_000


@dataclass
class Film:
    """Screenshots of a page with the time that each is shown, in milliseconds."""

    page: Page
    frames: list[tuple[bytes, int]] = field(default_factory=list)

    async def frame(self, shown_ms: int = PAUSE_MS) -> None:
        """Take one screenshot. One that equals the last is left out, however long that lasted."""
        shot = await self.page.screenshot()
        if not self.frames or shot != self.frames[-1][0]:
            self.frames.append((shot, shown_ms))

    async def until(self, done: asyncio.Task[None]) -> None:
        """Take screenshots until something has happened."""
        while not done.done():
            await self.frame()
            await asyncio.sleep(0.1)
        done.result()
        await self.page.wait_for_timeout(400)
        self.frames.append((await self.page.screenshot(), HOLD_MS))

    def save(self, name: str) -> None:
        """Write an animated WebP file."""
        images: list[Image.Image] = []
        for shot, _ in self.frames:
            with Image.open(io.BytesIO(shot)) as image:
                height = round(image.height * WIDTH / image.width)
                images.append(image.convert("RGB").resize((WIDTH, height)))
        images[0].save(
            DOCS / name,
            save_all=True,
            append_images=images[1:],
            duration=[shown_ms for _, shown_ms in self.frames],
            loop=0,
            quality=70,
            method=6,
        )


async def animation() -> None:
    """From a sample picture to the finished one and its strengths."""
    async with demo() as url, browser_page(url, width=1000, height=1040) as page:
        film = Film(page)
        await page.wait_for_timeout(700)
        await film.frame(1200)
        await page.locator("#samples").get_by_role("button", name="fox.png").click()
        prompt = page.locator("#option-prompt")
        await prompt.fill("")
        await film.frame(700)
        for end in range(2, len(PANDA) + 2, 3):
            await prompt.fill(PANDA[:end])
            await film.frame(TYPED_MS)
        await page.get_by_role("button", name="+ seed").click()
        await page.locator("#option-seed").fill("7")
        await film.frame(900)
        await page.get_by_role("button", name="Send command").click()
        await film.until(asyncio.create_task(_visible(page, PANDA, 1)))
        await page.get_by_role("button", name="Strengths").last.click()
        await film.until(asyncio.create_task(_visible(page, PANDA, 2)))
        film.save("demo.webp")


async def _visible(page: Page, prompt: str, number: int) -> None:
    pictures = page.get_by_alt_text(f"{prompt} (a picture redrawn by AI)")
    await expect(pictures).to_have_count(number, timeout=PICTURE_MS)
    await page.mouse.move(0, 0)


async def strengths() -> None:
    """One picture at four strengths."""
    async with demo() as url, browser_page(url, height=980) as page:
        await img2img(page, PANDA, FOX, seed="7")
        await expect(redrawn(page, PANDA)).to_be_visible(timeout=PICTURE_MS)
        await page.get_by_role("button", name="Strengths").last.click()
        await _visible(page, PANDA, 2)
        await _shot(page, "strengths.png")


async def together() -> None:
    """Two users' requests for two pictures each, under way."""
    async with demo() as url, browser_page(url, height=1000) as page:
        # Two pictures each: long enough, and all four run at once.
        await img2img(page, FROG, FOX, seed="7", steps="50", count="2")
        await become(page, "bob")
        await img2img(page, PANDA, FOX, seed="7", steps="50", count="2")
        running = page.get_by_text(re.compile(r"step \d+ of \d+"))
        await expect(running).to_have_count(2, timeout=PICTURE_MS)
        await _shot(page, "together.png", wait_ms=300)


async def part() -> None:
    """The background that would be redrawn, and the picture whose background was redrawn."""
    async with demo() as url, browser_page(url, height=1480) as page:
        panel = await open_command(page, "img2img")
        await panel.get_by_label("prompt").first.fill(FOX_ON_PINK)
        await panel.locator("#option-image").set_input_files(FOX)
        for name, value in (("part", "background"), ("show_part", "true")):
            await _choose(panel, name, value)
        await _set_seed(panel, "3")
        await panel.get_by_role("button", name="Send command").click()
        await page.get_by_role("button", name="Redraw this part").click(timeout=PICTURE_MS)
        await _visible(page, FOX_ON_PINK, 2)
        await _shot(page, "part.png")


async def structure() -> None:
    """The colours of one picture in the shapes of another, and that result enlarged."""
    async with demo() as url, browser_page(url, height=1560) as page:
        panel = await open_command(page, "img2img")
        await panel.get_by_label("prompt").first.fill(ROBOT)
        await panel.locator("#option-image").set_input_files(FOX)
        await _set_seed(panel)
        await panel.get_by_role("button", name="+ structure", exact=True).click()
        await panel.locator("#option-structure").set_input_files(TEDDY)
        await panel.get_by_role("button", name="Send command").click()
        await expect(redrawn(page, ROBOT)).to_be_visible(timeout=PICTURE_MS)
        await page.get_by_role("button", name="Larger").last.click()
        await _visible(page, ROBOT, 2)
        await _shot(page, "structure.png")


async def pocket() -> None:
    """The sheets of the model's README: samples, and photographs."""
    await asyncio.to_thread(grid.draw, Recipe(cache=ROOT, out=POCKET))


async def _set_seed(panel: Locator, seed: str = "7") -> None:
    await panel.get_by_role("button", name="+ seed", exact=True).click()
    await panel.locator("#option-seed").fill(seed)


async def _choose(panel: Locator, name: str, value: str) -> None:
    await panel.get_by_role("button", name=f"+ {name}", exact=True).click()
    await panel.locator(f"#option-{name}").select_option(value)


async def _shot(page: Page, name: str, *, wait_ms: int = 700) -> None:
    await page.mouse.move(0, 0)
    await page.wait_for_timeout(wait_ms)
    await page.screenshot(path=DOCS / name)


PICTURES: dict[str, Callable[[], Awaitable[None]]] = {
    each.__name__: each for each in (animation, strengths, together, part, structure, pocket)
}


async def main() -> None:
    """Make the named pictures, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(PICTURES))
    names = parser.parse_args().names or list(PICTURES)
    if unknown := set(names) - set(PICTURES):
        parser.error(f"there is no picture {', '.join(sorted(unknown))}")
    for name in names:
        await PICTURES[name]()


if __name__ == "__main__":
    asyncio.run(main())
