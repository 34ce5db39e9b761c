"""Help, forms, defaults, favourites and comparisons on the demo's page, in a browser.

One test: each screen begins with what the one before has left on the page.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.support.demo.browser import (
    FOX,
    NEEDS_CHROMIUM,
    browser_page,
    open_command,
    redrawn,
    screenshot,
)
from tests.support.demo.page import open_demo
from tests.support.services import ScriptedService

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(480),
    NEEDS_CHROMIUM,
]
PROMPT = "a panda on a pink background"
SERVICE = ScriptedService()

# The events of scrolling and of new sizes are sent once in each frame.
FRAMES = """new Promise(done => {
  let left = 5;
  const next = () => left-- ? requestAnimationFrame(next) : done();
  next();
})"""

# The widths of the settings below a result at which its last word is in a line of its own.
SPLIT_WIDTHS = """line => {
  const range = document.createRange(), text = line.lastChild, widths = [];
  range.setStart(text, text.length - 3);
  range.setEnd(text, text.length);
  for (let width = 150; width < 640; width += 1) {
    line.style.width = `${width}px`;
    if (range.getClientRects().length > 1) widths.push(width);
  }
  line.style.width = "";
  return widths;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    opened: asyncio.Future[Page] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def run() -> None:
        async with (
            open_demo(tmp_path_factory.mktemp("demo"), SERVICE) as demo,
            browser_page(demo.server.url) as shown,
        ):
            opened.set_result(shown)
            await done.wait()

    # A task of its own: pytest leaves a fixture in another context than it enters it.
    running = asyncio.create_task(run())
    # If the demo does not open, the tests end with its error.
    running.add_done_callback(lambda _task: opened.cancel())
    yield await opened
    done.set()
    await running


async def send(page: Page, command: str) -> Locator:
    """Send a command without options; its answer."""
    panel = await open_command(page, command)
    await panel.get_by_role("button", name="Send command").click()
    answer = page.locator(".message").filter(has_text=f"used /{command}").last
    await expect(answer).to_be_visible()
    return answer


async def help_tries_the_bot_and_a_mistake_keeps_the_form(page: Page) -> None:
    answer = await send(page, "help")
    await expect(answer.get_by_text("Operator of this bot")).to_be_visible()
    await expect(answer.locator("li").first).to_have_css("list-style-type", "disc")
    await screenshot(page, "help")
    await answer.get_by_role("button", name="Try it with a sample").click()
    await page.get_by_label("Negative prompt").fill("rain")
    await page.get_by_label("Strength (0.05 to 1)").fill("much")
    await page.get_by_role("button", name="Submit").click()
    await expect(page.get_by_text("Strength must be a number from 0.05 to 1.")).to_be_visible()
    await page.get_by_role("button", name="Correct it").click()
    await expect(page.get_by_label("Negative prompt")).to_have_value("rain")
    await page.get_by_label("Strength (0.05 to 1)").fill("0.5")
    await page.get_by_role("button", name="Submit").click()
    await expect(redrawn(page, PROMPT)).to_be_in_viewport()
    await screenshot(page, "result")


async def a_result_is_drawn_at_another_strength_from_its_menu(page: Page) -> None:
    result = page.locator(".message").filter(has_text="strength 0.5").last
    await result.get_by_role("combobox").select_option("0.3")
    await expect(page.locator(".message").filter(has_text="strength 0.3").last).to_be_visible()


async def the_unit_of_a_number_is_not_in_a_line_of_its_own(page: Page) -> None:
    settings = page.locator(".message small").filter(has_text=re.compile(r"drawn in \d s$")).last
    assert await settings.evaluate(SPLIT_WIDTHS) == []


async def the_tools_of_a_tall_message_stay_in_view(page: Page) -> None:
    size = page.viewport_size
    assert size is not None
    await page.set_viewport_size({"width": size["width"], "height": 600})
    message = page.locator(".message").filter(has_text="strength 0.5").last
    reply = message.get_by_role("button", name="Reply")
    for tries_left in reversed(range(5)):
        # A message that changes is drawn again, without its tools until the pointer moves.
        await page.mouse.move(0, 0)
        await message.get_by_role("button", name="Share").hover()
        try:
            await expect(reply).to_be_in_viewport(ratio=1, timeout=10_000)
            break
        except AssertionError:
            if not tries_left:
                raise
    await page.set_viewport_size(size)


async def styles_come_as_one_sheet(page: Page) -> None:
    await page.get_by_role("button", name="Try styles").last.click()
    await expect(page.get_by_role("button", name="Pencil sketch").last).to_be_visible()
    await screenshot(page, "styles")


async def a_starred_picture_is_listed_and_shown_with_its_lineage(page: Page) -> None:
    result = page.locator(".message").filter(has_text="strength 0.5").first
    await result.get_by_role("button", name="★").click()
    await expect(page.get_by_text("It is kept until you press ★ again.")).to_be_visible()
    answer = await send(page, "favourites")
    await expect(answer.get_by_text("Your favourites")).to_be_visible()
    await answer.get_by_role("button", name="Show").click()
    menu = page.get_by_role("combobox").filter(has_text="Related pictures")
    await expect(menu.last).to_be_visible()
    await screenshot(page, "favourites")


async def defaults_are_kept(page: Page) -> None:
    answer = await send(page, "defaults")
    await answer.get_by_role("combobox").first.select_option("0.4")
    await expect(answer.get_by_role("combobox").first).to_have_value("0.4")
    again = await send(page, "defaults")
    await expect(again.get_by_role("combobox").first).to_have_value("0.4")
    await screenshot(page, "defaults")


async def before_and_after_become_an_animation_that_is_posted(page: Page) -> None:
    await page.get_by_role("button", name="Before/after").first.click()
    await page.get_by_role("button", name="As an animation").last.click()
    await expect(page.get_by_role("button", name="As an animation")).to_have_count(0)
    await page.get_by_role("button", name="Post for all").last.click()
    posted = page.locator(".message").filter(has=page.get_by_role("button", name="Remove")).last
    await expect(posted.locator("img.picture")).to_be_visible()
    assert ".webp" in (await posted.locator("img.picture").get_attribute("src") or "")
    await posted.get_by_role("button", name="Remove").click()
    await expect(page.get_by_role("button", name="Remove")).to_have_count(0)
    assert await page.evaluate("broken") == []


async def erasing_everything_asks_first(page: Page) -> None:
    answer = await send(page, "privacy delete")
    await expect(answer.get_by_text("Favourites: 1")).to_be_visible()
    await screenshot(page, "erase")
    await answer.get_by_role("button", name="Keep it").click()
    await expect(answer.get_by_text("Nothing was deleted.")).to_be_visible()


async def a_command_with_all_options_open_fits_the_page(page: Page) -> None:
    await page.locator("#text").fill("/")
    await expect(page.locator("#suggestions li").first).to_contain_text("/img2img")
    panel = await open_command(page, "img2img")
    # One picture field at first; the others open as other options do.
    await expect(panel.get_by_text("Choose a file")).to_have_count(1)
    while await (chip := panel.locator(".more .chip").first).count():
        await chip.click()
    await expect(panel.get_by_text("Choose a file")).to_have_count(3)
    await expect(panel.get_by_role("button", name="Send command")).to_be_in_viewport()
    assert await page.evaluate("document.scrollingElement.scrollTop") == 0
    await screenshot(page, "options")
    await page.keyboard.press("Escape")


async def the_page_follows_a_message_that_grows(page: Page) -> None:
    """A picture that loads between the scrolling and its event: it makes the list higher."""
    scroller = "document.getElementById('scroller')"
    below = f"{scroller}.scrollHeight - {scroller}.scrollTop - {scroller}.clientHeight"
    grow = (
        "document.getElementById('messages').append(document.createElement('li'));"
        "document.getElementById('messages').lastChild.style.height = '900px';"
    )
    await page.evaluate(
        f"{scroller}.scrollTop = {scroller}.scrollHeight - {scroller}.clientHeight - 50"
    )
    await page.evaluate(FRAMES)
    await page.evaluate(f"{scroller}.scrollTop = {scroller}.scrollHeight; {grow}")
    await page.evaluate(FRAMES)
    assert await page.evaluate(below) < 2
    # Not after scrolling up.
    await page.evaluate(f"{scroller}.scrollTop = 0")
    await page.evaluate(FRAMES)
    await page.evaluate(grow)
    await page.evaluate(FRAMES)
    assert await page.evaluate(f"{scroller}.scrollTop") == 0


async def a_part_is_shown_and_then_redrawn(page: Page) -> None:
    panel = await open_command(page, "img2img")
    await panel.get_by_label("prompt").first.fill("a beach")
    await panel.locator("#option-image").set_input_files(FOX)
    for name, value in (("part", "background"), ("show_part", "true")):
        await panel.get_by_role("button", name=f"+ {name}", exact=True).click()
        await panel.locator(f"#option-{name}").select_option(value)
    await panel.get_by_role("button", name="Send command").click()
    shown = page.locator(".message").filter(has_text="The tinted region would be redrawn").last
    await expect(shown.locator("img.picture")).to_be_visible()
    await screenshot(page, "part")
    await shown.get_by_role("button", name="Redraw this part").click()
    redone = page.locator(".message").filter(has=page.get_by_role("button", name="Share")).last
    await expect(redone.get_by_text("redrawn: the background")).to_be_visible()
    await expect(redone.locator("img.picture")).to_be_in_viewport()
    first, second = SERVICE.requests[-2:]
    assert (first.part, first.steps, second.part) == ("background", 0, "background")


async def a_mask_and_a_structure_are_attached(page: Page) -> None:
    panel = await open_command(page, "img2img")
    await panel.get_by_label("prompt").first.fill("a boat")
    await panel.locator("#option-image").set_input_files(FOX)
    for name in ("mask", "structure"):
        await panel.get_by_role("button", name=f"+ {name}", exact=True).click()
        await panel.locator(f"#option-{name}").set_input_files(FOX)
    await screenshot(page, "mask")
    await panel.get_by_role("button", name="Send command").click()
    result = page.locator(".message").filter(has_text="redrawn: the mask").last
    await expect(result.locator("img.picture")).to_be_in_viewport()
    request = SERVICE.requests[-1]
    assert request.mask is not None
    assert request.structure is not None


async def a_link_opens_its_channel(page: Page) -> None:
    await page.get_by_role("button", name="Share").last.click()
    await page.locator(".message").get_by_role("button", name="#gallery").last.click()
    await expect(page.locator("header strong").first).to_have_text("gallery")
    await expect(redrawn(page, "a boat")).to_be_in_viewport()
    await page.get_by_role("button", name="# pictures").click()


async def direct_messages_have_their_own_place(page: Page) -> None:
    await page.get_by_role("button", name="@ Redraw").click()
    await expect(page.get_by_placeholder("Message @Redraw")).to_be_visible()
    answer = await send(page, "help")
    await expect(answer.get_by_text("I redraw pictures")).to_be_visible()
    await screenshot(page, "direct")
    await page.reload()
    await expect(page.locator("header strong")).to_have_text("Redraw")
    await page.get_by_role("button", name="bob").click()
    await expect(page.get_by_text("used /help")).to_have_count(0)
    await page.get_by_role("button", name="alice").click()
    await page.get_by_role("button", name="# pictures").click()


async def test_every_screen_of_the_chat_works_on_the_page(page: Page) -> None:
    for screen in (
        help_tries_the_bot_and_a_mistake_keeps_the_form,
        a_result_is_drawn_at_another_strength_from_its_menu,
        the_unit_of_a_number_is_not_in_a_line_of_its_own,
        the_tools_of_a_tall_message_stay_in_view,
        styles_come_as_one_sheet,
        a_starred_picture_is_listed_and_shown_with_its_lineage,
        defaults_are_kept,
        before_and_after_become_an_animation_that_is_posted,
        erasing_everything_asks_first,
        a_command_with_all_options_open_fits_the_page,
        the_page_follows_a_message_that_grows,
        a_part_is_shown_and_then_redrawn,
        a_mask_and_a_structure_are_attached,
        a_link_opens_its_channel,
        direct_messages_have_their_own_place,
    ):
        await screen(page)
