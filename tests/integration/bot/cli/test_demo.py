"""`make demo` as a process, in a browser. The screenshots go to `artifacts/`."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from tests.support.demo.browser import (
    CHROMIUM,
    FOX,
    NEEDS_CHROMIUM,
    PICTURE_MS,
    become,
    browser_page,
    demo,
    img2img,
    open_command,
    redrawn,
    screenshot,
)
from tests.support.pictures import photo

pytestmark = [pytest.mark.timeout(480), NEEDS_CHROMIUM]


async def test_a_newcomer_redraws_a_picture_in_the_browser(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.png"
    photo(320, 240).save(file)
    fox, panda = "a fox on a blue background", "a panda on a pink background"
    async with demo() as url, browser_page(url) as page:
        await expect(page).to_have_title("Redraw demo")
        await screenshot(page, "start")
        await img2img(page, fox, file)
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
        await img2img(page, panda)
        await expect(redrawn(page, panda)).to_be_in_viewport(timeout=PICTURE_MS)
        await screenshot(page, "second")
    assert capfd.readouterr().err == ""


async def test_two_users_redraw_at_once_and_use_commands_meanwhile() -> None:
    frog, panda = "a frog on a green background", "a panda on a pink background"
    async with demo(signal.SIGHUP) as url, browser_page(url) as page:
        await img2img(page, frog, FOX, steps="50")
        await become(page, "bob")
        await img2img(page, panda, FOX, steps="50")
        for number in range(1, 4):
            panel = await open_command(page, "queue")
            await panel.get_by_role("button", name="Send command").click()
            answers = page.locator(".message").filter(has_text=" running, ")
            await expect(answers).to_have_count(number)
        await expect(redrawn(page, frog)).to_be_visible(timeout=PICTURE_MS)
        await expect(redrawn(page, panda)).to_be_visible(timeout=PICTURE_MS)
        assert await page.evaluate("broken") == []


async def test_the_page_says_when_the_demo_has_ended() -> None:
    async with async_playwright() as playwright:
        assert CHROMIUM is not None, "CI installs it"
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        async with demo(signal.SIGINT) as url:
            await page.goto(url)
            await expect(page.locator(".message").first).to_be_visible()
        await expect(page.get_by_text("The demo has ended")).to_be_visible()
        await browser.close()


async def test_a_port_in_use_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = str(busy.getsockname()[1])
        async with demo(DEMO_PORT=port, LANG="en_US.UTF-8") as url:
            assert f":{port}/" not in url
    assert capfd.readouterr().err == ""
