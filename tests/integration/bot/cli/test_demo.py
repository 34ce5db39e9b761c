"""`make demo` as a process, in a browser. The screenshots go to `artifacts/`."""

from __future__ import annotations

import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.support.demo.browser import (
    NEEDS_CHROMIUM,
    PICTURE_MS,
    become,
    browser_page,
    demo,
    img2img,
    redrawn,
    screenshot,
)
from tests.support.pictures import photo

pytestmark = [pytest.mark.timeout(480), NEEDS_CHROMIUM]


async def test_a_newcomer_redraws_a_picture_in_the_browser_until_the_demo_ends(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.png"
    photo(320, 240).save(file)
    fox, panda = "a fox on a blue background", "a panda on a pink background"
    running = AsyncExitStack()
    url = await running.enter_async_context(demo(signal.SIGINT))
    async with running, browser_page(url) as page:
        await expect(page).to_have_title("Redraw demo")
        await screenshot(page, "start")
        await img2img(page, fox, file, steps="8")
        await expect(page.get_by_text("from mine.png").last).to_be_visible()
        await expect(page.get_by_text("alice used /img2img").last).to_be_visible()
        await expect(redrawn(page, fox)).to_be_visible(timeout=PICTURE_MS)
        # The page follows the newest message, also after a reload.
        await expect(redrawn(page, fox)).to_be_in_viewport()
        await page.reload()
        await expect(redrawn(page, fox)).to_be_in_viewport()
        await screenshot(page, "first")
        # As the other user, without a file: the newest picture of the channel is redrawn.
        await become(page, "bob")
        await img2img(page, panda, steps="8")
        await expect(redrawn(page, panda)).to_be_in_viewport(timeout=PICTURE_MS)
        await screenshot(page, "second")
        await running.aclose()
        await expect(page.get_by_text("The demo has ended")).to_be_visible()
    assert capfd.readouterr().err == ""


async def test_a_port_in_use_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        async with demo(signal.SIGHUP, DEMO_PORT=port) as url:
            assert f":{port}/" not in url
    assert capfd.readouterr().err == ""
