"""The demo as a newcomer meets it: a link, a browser, a picture. The screenshots are kept in
`artifacts/`, and the README shows two of them."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, async_playwright, expect

from bot.i18n.translate import translate
from tests.support.pictures import photo

ARTIFACTS = Path(__file__).parents[4] / "artifacts"
FOX = Path(__file__).parents[4] / "inference/pocket/samples/fox.png"
GLIMPSE = translate("en", "img2img.preview")
CHROMIUM = shutil.which("chromium")
# Keeps the address of every picture with this alt text that the page ever shows.
WATCH = """alt => {
  window.glimpses = new Set();
  new MutationObserver(() => {
    for (const image of document.images) if (image.alt === alt) glimpses.add(image.src);
  }).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""
LOADED = """([alt, number]) =>
  [...document.images].filter(image => image.alt === alt && image.naturalWidth).length === number
"""
SHOW = "element => element.scrollIntoView()"
# The machine is shared with other tests.
expect.set_options(timeout=20_000)

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        CHROMIUM is None and "CI" not in os.environ, reason="needs Debian's chromium"
    ),
]


def left_in(folder: str) -> list[str]:
    """What the demo left of its own in its folder for temporary files, which then goes."""
    left = [path.name for path in Path(folder).glob("redraw-*")]
    shutil.rmtree(folder)
    return left


@asynccontextmanager
async def demo(end: signal.Signals = signal.SIGTERM, **settings: str) -> AsyncIterator[str]:
    """`make demo`'s own command, on a free port; gives the link that it prints. However it is told
    to end, it ends well and takes the pictures along."""
    folder = tempfile.mkdtemp()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bot", "demo"),
        env={**os.environ, "DEMO_PORT": "0", "DTYPE": "float32", "TMPDIR": folder, **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            link = None
            while link is None:
                line = await process.stdout.readline()
                assert line, "it ended before it printed a link"
                link = re.search(rb"http://127\.0\.0\.1:\S+", line)
        yield link[0].decode()
    finally:
        process.send_signal(end)
        await asyncio.wait_for(process.wait(), 20)
    assert process.returncode == 0
    assert left_in(folder) == [], "pictures stay behind"


@asynccontextmanager
async def browser_page(url: str) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        assert CHROMIUM is not None, "CI installs it"
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        page = await browser.new_page(viewport={"width": 1180, "height": 900})
        page.set_default_timeout(30_000)
        await page.goto(url)
        yield page
        await browser.close()


async def pick(page: Page, command: str) -> None:
    """Type a command's name and pick it from the list."""
    await page.locator("#channel-composer-input").click()
    await page.keyboard.type(f"/{command}")
    await page.get_by_role("option").filter(has_text=command).first.click()


async def img2img(
    page: Page, prompt: str, picture: Path | None = None, steps: int | None = None
) -> None:
    """Type the command as a person does: pick it, write the prompt, choose a file, send."""
    await pick(page, "img2img")
    await page.get_by_label("prompt, required").fill(prompt)
    if picture is not None:
        await page.get_by_text("more").last.click()
        await page.get_by_role("option").filter(has_text="image").first.click()
        await page.locator("input.command-file-input").set_input_files(picture)
    if steps is not None:
        await page.get_by_text("more").last.click()
        await page.get_by_role("option").filter(has_text="steps").first.click()
        await page.get_by_role("textbox", name="steps").fill(str(steps))
    await page.get_by_role("button", name="Send").click()


async def become(page: Page, name: str) -> None:
    """Choose the person as whom one looks and writes, once the last person's action is through."""
    await expect(page.get_by_text("Action completed")).to_be_visible()
    async with page.expect_response("**/api/action"):
        await page.get_by_label("Viewing as").select_option(label=name)
    await expect(page.get_by_text("Action completed")).to_be_visible()


def redrawn(page: Page, prompt: str) -> Locator:
    """The finished picture, by its alt text."""
    return page.get_by_alt_text(f"{prompt} (a picture redrawn by AI)").last


async def test_a_newcomer_redraws_a_picture_in_the_browser(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    file = tmp_path / "mine.png"
    photo(320, 240).save(file)
    async with demo() as url, browser_page(url) as page:
        await img2img(page, "a fox on a blue background", file)
        await expect(page.get_by_text("from mine.png").last).to_be_visible()
        today = datetime.now(UTC).strftime("%-m/%-d/%y")
        await expect(page.get_by_text(today).last).to_be_visible()
        await expect(redrawn(page, "a fox on a blue background")).to_be_visible(timeout=120_000)
        await page.wait_for_timeout(1000)
        await page.screenshot(path=ARTIFACTS / "demo-first.png")
        # Again, as the other person, without a file: the newest picture of the channel is taken.
        await become(page, "bob")
        await img2img(page, "a panda on a pink background")
        await expect(redrawn(page, "a panda on a pink background")).to_be_visible(timeout=120_000)
        await page.wait_for_timeout(1000)
        await page.screenshot(path=ARTIFACTS / "demo-second.png")
    assert capfd.readouterr().err == ""


async def shot(page: Page, name: str) -> None:
    """A screenshot for a person to look at, once the page has come to rest."""
    await page.wait_for_timeout(700)
    await page.screenshot(path=ARTIFACTS / f"{name}.png")


async def test_two_people_draw_at_once_and_what_they_do_meanwhile_counts() -> None:
    """The page changes by itself then, under the hands of whoever types."""
    frog, panda = "a frog on a green background", "a panda on a pink background"
    async with demo(signal.SIGHUP, MAX_STEPS="150") as url, browser_page(url) as page:
        await img2img(page, frog, FOX, steps=150)
        await become(page, "bob")
        await img2img(page, panda, FOX, steps=150)
        await expect(page.get_by_alt_text(GLIMPSE)).to_have_count(2, timeout=60_000)
        await page.locator(".channel-message").last.evaluate(SHOW)
        await page.wait_for_function(LOADED, arg=[GLIMPSE, 2])
        await page.screenshot(path=ARTIFACTS / "together.png")
        for number in range(1, 6):
            await pick(page, "queue")
            await page.get_by_role("button", name="Send").click()
            answers = page.locator(".channel-message").filter(has_text=" running, ")
            await expect(answers).to_have_count(number)
        await expect(redrawn(page, frog)).to_be_visible(timeout=60_000)
        await expect(redrawn(page, panda)).to_be_visible(timeout=60_000)
        await become(page, "alice")
        await page.locator(".channel-message").filter(has_text=frog).last.evaluate(SHOW)
        await shot(page, "demo")


async def test_the_whole_conversation_in_the_browser(tmp_path: Path) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    file = tmp_path / "mine.png"
    file.write_bytes(FOX.read_bytes())
    # So many steps that the preview is edited a few times before the picture is there.
    async with demo(MAX_STEPS="150") as url, browser_page(url) as page:
        await page.evaluate(WATCH, GLIMPSE)
        await img2img(page, "a tiger on a blue background", file, steps=150)
        await expect(page.get_by_alt_text(GLIMPSE)).to_be_visible(timeout=60_000)
        await page.screenshot(path=ARTIFACTS / "conversation-1-preview.png")
        await expect(redrawn(page, "a tiger on a blue background")).to_be_visible(timeout=60_000)
        assert await page.evaluate("glimpses.size") >= 2
        await shot(page, "conversation-2-done")

        await page.get_by_role("button", name="Edit").last.click()
        await page.get_by_label("Prompt", exact=False).first.fill("a panda on a pink background")
        await shot(page, "conversation-3-edit")
        await page.get_by_role("button", name="Submit").click()
        await expect(redrawn(page, "a panda on a pink background")).to_be_visible(timeout=60_000)
        await shot(page, "conversation-4-edited")

        await page.get_by_role("button", name="Strengths").last.click()
        sheets = page.get_by_alt_text("a panda on a pink background (a picture redrawn by AI)")
        await expect(sheets).to_have_count(2, timeout=120_000)
        await sheets.last.scroll_into_view_if_needed()
        await shot(page, "conversation-5-strengths")

        await page.get_by_role("button", name="Before/after").last.click()
        await expect(page.get_by_text("Only you can see this").last).to_be_visible()
        await shot(page, "conversation-6-before-after")

        # The sheet holds four pictures: it asks which.
        await page.get_by_role("button", name="Use this").last.click()
        await page.get_by_role("button", name="Use this 3").click()
        await page.get_by_label("Prompt", exact=False).first.fill("an owl on a purple background")
        await page.get_by_role("button", name="Submit").click()
        await expect(redrawn(page, "an owl on a purple background")).to_be_visible(timeout=60_000)
        await shot(page, "conversation-7-used")

        await page.get_by_role("button", name="Delete").last.click()
        await expect(redrawn(page, "an owl on a purple background")).to_have_count(0)
        await shot(page, "conversation-8-deleted")
