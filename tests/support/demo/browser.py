"""The demo in a browser: starts `python -m bot demo` and drives its page with Playwright."""

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
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from bot.i18n.translate import translate

ROOT = Path(__file__).parents[3]
ARTIFACTS = ROOT / "artifacts"
# The machine is shared with other tests: how long the page and a picture may take, in milliseconds.
PAGE_MS, PICTURE_MS = 60_000, 180_000
expect.set_options(timeout=PAGE_MS)
FOX = ROOT / "inference/pocket/samples/fox.png"
PREVIEW = translate("en", "img2img.preview")
CHROMIUM = shutil.which("chromium")
NEEDS_CHROMIUM = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="needs Debian's chromium"
)
# Records the address of every picture with this alt text, and every picture that does not load.
WATCH = """alt => {
  window.previews = new Set();
  window.broken = [];
  new MutationObserver(() => {
    for (const image of document.images) if (image.alt === alt) previews.add(image.src);
  }).observe(document.body, {subtree: true, childList: true, attributes: true});
  document.addEventListener("error", event => broken.push(event.target.src), true);
}"""


# Pictures that were replaced meanwhile cannot be decoded.
LOADED = "Promise.allSettled([...document.images].map(image => image.decode()))"


@asynccontextmanager
async def demo(end: signal.Signals = signal.SIGTERM, **settings: str) -> AsyncIterator[str]:
    """Run `python -m bot demo` on a free port; give its link. It must end well at any signal."""
    folder = tempfile.mkdtemp()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bot", "demo"),
        env={**os.environ, "DEMO_PORT": "0", "DTYPE": "float32", "TMPDIR": folder, **settings},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(120):
            link = None
            while link is None:
                line = await process.stdout.readline()
                assert line, "it ended before it printed a link"
                link = re.search(rb"http://127\.0\.0\.1:\S+", line)
        yield link[0].decode()
    finally:
        process.send_signal(end)
        await asyncio.wait_for(process.wait(), 60)
    assert process.returncode == 0
    left = [path.name for path in Path(folder).glob("redraw-*")]  # noqa: ASYNC240
    shutil.rmtree(folder)
    assert left == [], "pictures stay behind"


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Chromium, for one page or for several."""
    async with async_playwright() as playwright:
        assert CHROMIUM is not None, "CI installs it"
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def new_page(
    browser: Browser,
    url: str,
    *,
    locale: str = "en-US",
    width: int = 1180,
    height: int = 900,
    clock: bool = False,
) -> AsyncIterator[Page]:
    """The demo's page in a new context of the browser.

    With `clock` the page's clock can be moved on; until then it goes as the real one.
    """
    page = await browser.new_page(viewport={"width": width, "height": height}, locale=locale)
    try:
        page.set_default_timeout(60_000)
        if clock:
            await page.clock.install()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(url)
        await expect(page.locator(".message").first).to_be_visible()
        await page.evaluate(WATCH, PREVIEW)
        yield page
        assert errors == []
    finally:
        await page.close()


@asynccontextmanager
async def browser_page(
    url: str, *, locale: str = "en-US", width: int = 1180, height: int = 900
) -> AsyncIterator[Page]:
    """The demo's page in a browser of its own."""
    async with (
        open_browser() as browser,
        new_page(browser, url, locale=locale, width=width, height=height) as page,
    ):
        yield page


async def open_command(page: Page, command: str) -> Locator:
    """Type a command's name and choose it from the list; the panel that opens."""
    await page.locator("#text").fill(f"/{command}")
    await page.get_by_role("option").filter(has_text=f"/{command}").first.click()
    return page.locator("#command")


async def img2img(page: Page, prompt: str, picture: Path | None = None, **options: str) -> None:
    """Fill in the command as a user does, and send it."""
    panel = await open_command(page, "img2img")
    await panel.get_by_label("prompt").first.fill(prompt)
    if picture is not None:
        await panel.locator("#option-image").set_input_files(picture)
    for name, value in options.items():
        await panel.get_by_role("button", name=f"+ {name}").click()
        await panel.locator(f"#option-{name}").fill(value)
    await panel.get_by_role("button", name="Send command").click()
    await expect(panel).to_be_hidden()


async def become(page: Page, name: str) -> None:
    """Choose the user as whom to look and write."""
    await page.get_by_role("button", name=name, exact=True).click()
    await expect(page.locator(".message").first).to_be_visible()


def redrawn(page: Page, prompt: str) -> Locator:
    """The newest finished picture with this prompt, by its alt text."""
    return page.get_by_alt_text(f"{prompt} (a picture redrawn by AI)").last


async def screenshot(page: Page, name: str) -> None:
    """Keep a screenshot to look at, in `artifacts/`, when its pictures are loaded."""
    ARTIFACTS.mkdir(exist_ok=True)
    await page.evaluate(LOADED)
    await page.screenshot(path=ARTIFACTS / f"demo-{name}.png", animations="disabled")
