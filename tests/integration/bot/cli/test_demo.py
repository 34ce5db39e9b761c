"""`make demo` in a browser. The screenshots go to `artifacts/`."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.support.demo.browser import (
    CHROMIUM,
    FOX,
    PREVIEW,
    ROOT,
    become,
    browser_page,
    demo,
    img2img,
    open_command,
    redrawn,
)
from tests.support.pictures import photo

ARTIFACTS = ROOT / "artifacts"
# The machine is shared with other tests: how long the page and a picture may take, in milliseconds.
PAGE_MS, PICTURE_MS = 60_000, 180_000
expect.set_options(timeout=PAGE_MS)

pytestmark = [
    pytest.mark.timeout(480),
    pytest.mark.skipif(
        CHROMIUM is None and "CI" not in os.environ, reason="needs Debian's chromium"
    ),
]


async def screenshot(page: Page, name: str) -> None:
    """Keep a screenshot to look at."""
    ARTIFACTS.mkdir(exist_ok=True)
    await page.wait_for_timeout(500)
    await page.screenshot(path=ARTIFACTS / f"demo-{name}.png")


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


async def test_a_sample_picture_is_redrawn_with_two_clicks() -> None:
    async with demo() as url, browser_page(url) as page:
        await page.locator("#samples").get_by_role("button", name="fox.png").click()
        await screenshot(page, "command")
        await page.get_by_role("button", name="Send command").click()
        prompt = "a strawberry on a white background"
        await expect(redrawn(page, prompt)).to_be_in_viewport(timeout=PICTURE_MS)


@pytest.mark.slow
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


async def test_the_whole_conversation_in_the_browser() -> None:
    tiger, panda, owl = (
        f"{what} background"
        for what in ("a tiger on a blue", "a panda on a pink", "an owl on a red")
    )
    async with demo() as url, browser_page(url) as page:
        await img2img(page, tiger, FOX, steps="50")
        await expect(page.get_by_alt_text(PREVIEW)).to_be_visible(timeout=PICTURE_MS)
        await screenshot(page, "conversation-1-preview")
        await expect(redrawn(page, tiger)).to_be_visible(timeout=PICTURE_MS)
        assert await page.evaluate("previews.size") >= 1
        await screenshot(page, "conversation-2-done")

        await page.get_by_role("button", name="Edit", exact=True).last.click()
        await page.get_by_label("Prompt", exact=False).first.fill(panda)
        await screenshot(page, "conversation-3-edit")
        await page.get_by_role("button", name="Submit").click()
        await expect(redrawn(page, panda)).to_be_in_viewport(timeout=PICTURE_MS)

        await page.get_by_role("button", name="Strengths").last.click()
        sheets = page.get_by_alt_text(f"{panda} (a picture redrawn by AI)")
        await expect(sheets).to_have_count(2, timeout=PICTURE_MS)
        await expect(sheets.last).to_be_in_viewport()
        await screenshot(page, "conversation-5-strengths")

        await page.get_by_role("button", name="Before/after").last.click()
        await expect(page.get_by_text("Only you can see this").last).to_be_visible()
        await screenshot(page, "conversation-6-before-after")

        await page.locator(".message").filter(has_text=tiger).last.hover()
        await page.get_by_role("button", name="Redraw this").last.click()
        await page.get_by_label("Prompt", exact=False).first.fill(owl)
        await page.get_by_role("button", name="Submit").click()
        await expect(redrawn(page, owl)).to_be_visible(timeout=PICTURE_MS)
        await screenshot(page, "conversation-7-redraw-this")

        await page.get_by_role("button", name="Share").last.click()
        await page.get_by_role("button", name="#gallery").last.click()
        await expect(redrawn(page, owl)).to_be_visible()
        await expect(page.get_by_text("redrawn by AI for").last).to_be_visible()
        await screenshot(page, "conversation-8-gallery")
        await page.get_by_role("button", name="# pictures").click()

        await expect(redrawn(page, owl)).to_be_visible()
        await page.get_by_role("button", name="Delete").last.click()
        await expect(redrawn(page, owl)).to_have_count(0)
        assert await page.evaluate("broken") == []


async def test_a_reply_that_mentions_the_bot_redraws_the_picture() -> None:
    async with demo() as url, browser_page(url) as page:
        await page.locator(".message").last.hover()
        await page.get_by_role("button", name="Reply").last.click()
        message = page.get_by_label("Message #")
        await message.press_sequentially("@re")
        await page.get_by_role("option", name="@Redraw").click()
        await message.press_sequentially("a robot on an orange background")
        await message.press("Enter")
        await expect(redrawn(page, "a robot on an orange background")).to_be_in_viewport(
            timeout=PICTURE_MS
        )
        mention = page.locator(".message .mention", has_text="@Redraw").first
        await expect(mention).to_be_visible()
        await screenshot(page, "mention")


async def test_a_mistake_keeps_what_was_typed_and_history_tells_the_time() -> None:
    async with demo() as url, browser_page(url) as page:
        panel = await open_command(page, "img2img")
        await panel.get_by_label("prompt").first.fill("a cat on a blue background")
        await panel.get_by_role("button", name="+ steps").click()
        await panel.locator("#option-steps").fill("5000")
        await panel.get_by_role("button", name="Send command").click()
        await expect(panel.get_by_role("alert")).to_contain_text("steps: a number from 1 to ")
        await screenshot(page, "mistake")
        await expect(panel.get_by_label("prompt").first).to_have_value("a cat on a blue background")
        await panel.locator("#option-steps").fill("5")
        await panel.get_by_role("button", name="Send command").click()
        await expect(redrawn(page, "a cat on a blue background")).to_be_visible(timeout=PICTURE_MS)
        panel = await open_command(page, "history")
        await panel.get_by_role("button", name="Send command").click()
        when = page.locator("time[data-style=R]").last
        await expect(when).to_have_text(re.compile(r"^(now|\d+ (second|minute)s? ago)$"))
        await screenshot(page, "history")
        before = await when.inner_text()
        await expect(when).not_to_have_text(before)


async def test_the_page_and_the_bot_speak_the_chosen_language() -> None:
    async with demo() as url, browser_page(url, locale="de-DE") as page:
        await expect(page.get_by_text("Willkommen in der Redraw-Demo")).to_be_attached()
        await page.locator("#samples").get_by_role("button", name="rocket.png").click()
        await page.get_by_role("button", name="Befehl senden").click()
        await expect(page.get_by_role("button", name="Löschen").last).to_be_visible(
            timeout=PICTURE_MS
        )
        await screenshot(page, "german")
        await page.get_by_label("Sprache").select_option("ja")
        await page.get_by_label("#pictures へメッセージを送信").fill("/")
        await screenshot(page, "japanese")


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
