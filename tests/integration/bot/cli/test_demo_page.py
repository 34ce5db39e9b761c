"""The demo's page, with a browser and a worker that the tests share. The screenshots go to
`artifacts/`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from inference import LocalService
from tests.support.demo.browser import (
    FOX,
    NEEDS_CHROMIUM,
    PICTURE_MS,
    PREVIEW,
    become,
    img2img,
    new_page,
    open_browser,
    open_command,
    redrawn,
    screenshot,
)
from tests.support.demo.page import open_demo

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(480),
    NEEDS_CHROMIUM,
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pocket_service() -> AsyncIterator[LocalService]:
    async with LocalService(model="pocket", dtype="float32", cache_dir=Path("unused")) as service:
        await service.wait_ready()
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with open_browser() as browser:
        yield browser


@asynccontextmanager
async def demo_page(
    folder: Path,
    service: LocalService,
    browser: Browser,
    *,
    locale: str = "en-US",
    clock: bool = False,
) -> AsyncIterator[Page]:
    """The page of a demo in this process. Not a fixture: simcord is left in the context in which
    it was entered."""
    async with (
        open_demo(folder, service, model="pocket") as demo,
        new_page(browser, demo.server.url, locale=locale, clock=clock) as page,
    ):
        yield page


async def test_a_sample_picture_is_redrawn_with_two_clicks(
    tmp_path: Path, pocket_service: LocalService, browser: Browser
) -> None:
    async with demo_page(tmp_path, pocket_service, browser) as page:
        await page.locator("#samples").get_by_role("button", name="fox.png").click()
        await screenshot(page, "command")
        await page.get_by_role("button", name="Send command").click()
        prompt = "a panda on a pink background"
        await expect(redrawn(page, prompt)).to_be_in_viewport(timeout=PICTURE_MS)


async def test_two_users_redraw_at_once_and_use_commands_meanwhile(
    tmp_path: Path, pocket_service: LocalService, browser: Browser
) -> None:
    frog, panda = "a frog on a green background", "a panda on a pink background"
    async with demo_page(tmp_path, pocket_service, browser) as page:
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


@pytest.mark.slow
async def test_the_whole_conversation_in_the_browser(
    tmp_path: Path, pocket_service: LocalService, browser: Browser
) -> None:
    tiger, panda, owl = (
        f"{what} background"
        for what in ("a tiger on a blue", "a panda on a pink", "an owl on a red")
    )
    async with demo_page(tmp_path, pocket_service, browser) as page:
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


async def test_a_reply_that_mentions_the_bot_redraws_the_picture(
    tmp_path: Path, pocket_service: LocalService, browser: Browser
) -> None:
    async with demo_page(tmp_path, pocket_service, browser) as page:
        await page.locator(".message").last.hover()
        await page.get_by_role("button", name="Reply").last.click()
        message = page.locator("#text")
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


async def test_a_mistake_keeps_what_was_typed_and_history_tells_the_time(
    tmp_path: Path, pocket_service: LocalService, browser: Browser
) -> None:
    async with demo_page(tmp_path, pocket_service, browser, clock=True) as page:
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
        await page.clock.fast_forward("05:00")
        await expect(when).to_have_text(re.compile(r"^[5-9] minutes ago$"))


async def test_the_page_and_the_bot_speak_the_chosen_language(
    tmp_path: Path, pocket_service: LocalService, browser: Browser
) -> None:
    async with demo_page(tmp_path, pocket_service, browser, locale="de-DE") as page:
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
