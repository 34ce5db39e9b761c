"""The menu below an enlarged picture that redraws it with new detail."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio
from PIL import Image

from bot.images.compose import shown_factor
from bot.images.enlargement import enlarge_to
from bot.jobs.budgets import EVERYONE, PictureTooLargeForRole, RoleLimits
from bot.jobs.job import JobState
from inference import MODELS, ImageRequest
from tests.support.pictures import file_of
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_shared_discord,
    text_of,
)
from tests.support.simulated_users import (
    CAT,
    newest_job,
    picture_of,
    press,
    redraw,
    reply_of,
    slash,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVICE = ScriptedService()
WHITE = ("white.png", file_of(Image.new("L", (64, 64), 255)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sim(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    async with open_shared_discord(tmp_path_factory.mktemp("detail"), SERVICE) as opened:
        yield opened


def menu_of(message: discord.Message) -> Any:
    """The menu for new detail; None without one."""
    view = discord.ui.LayoutView.from_message(message)
    menus = [item for item in view.walk_children() if isinstance(item, discord.ui.Select)]
    return next((menu for menu in menus if ":detail" in menu.custom_id), None)


async def larger(sim: SimulatedDiscord, message: discord.Message) -> Any:
    """The reply to *Larger*."""
    return (await press(sim, sim.alice, message, "Larger")).response


async def choose(sim: SimulatedDiscord, message: discord.Message, strength: str = "0.3") -> Any:
    result = await sim.alice.select(message, [strength], custom_id=menu_of(message).custom_id)
    await sim.settled()
    return result


def tiled_requests() -> list[ImageRequest]:
    return [request for request in SERVICE.requests if request.tile is not None]


async def test_new_detail_is_a_job_of_its_own_with_the_enlarged_result(
    sim: SimulatedDiscord,
) -> None:
    parent = await redraw(sim, negative_prompt="rain", steps=20, seed=3)
    factor = 2 * shown_factor(parent.width, parent.height)
    size = (factor * parent.width, factor * parent.height)
    message = (await larger(sim, sim.last)).message
    menu = menu_of(message)
    assert menu.placeholder == f"With new detail: {size[0]} × {size[1]} pixels"
    assert [option.value for option in menu.options] == ["0.2", "0.3", "0.4"]
    SERVICE.requests.clear()
    await choose(sim, message)
    child = await newest_job(sim, sim.alice)
    assert child.state is JobState.DELIVERED
    assert child.parent_id == parent.id
    assert (child.prompt, child.negative_prompt, child.steps) == ("a fox", "rain", 20)
    assert (child.width, child.height) == size
    assert child.tile == (parent.width, parent.height)
    [request] = tiled_requests()
    assert (request.width, request.height, request.strength) == (*size, 0.3)
    assert request.tile == (parent.width, parent.height)
    assert request.preview
    assert not request.return_depth
    result = await sim.bot.services.store.pictures.get(parent.variants[0].result or "")
    assert request.pixels == enlarge_to(result, size).pixels
    assert (await picture_of(sim.last.attachments[0])).size == size
    assert f"new detail in {child.tiles} tiles" in text_of(sim.last)
    # Its other variations would need the model's own size, or many times the work.
    assert set(buttons_of(sim.last)) == {
        *("Again", "Use this", "Before/after", "⭐", "Share", "Delete"),
    }
    view = discord.ui.LayoutView.from_message(sim.last)
    assert not [item for item in view.walk_children() if isinstance(item, discord.ui.Select)]


async def test_a_larger_picture_says_that_the_upload_limit_made_it_smaller(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redraw(sim)
    limit = property(lambda _: 2**12, lambda *_: None)
    monkeypatch.setattr(discord.Interaction, "filesize_limit", limit)
    reply = await larger(sim, sim.last)
    [posted] = reply.message.attachments
    assert posted.size <= 2**12
    width, height = (await picture_of(posted)).size
    text = text_of(reply.message)
    assert f"{width} × {height}, enlarged" in text
    assert "the largest size that fits into the 0.00391 MiB that may be uploaded here" in text


async def test_again_draws_the_same_enlarged_picture_and_use_one_of_the_models_size(
    sim: SimulatedDiscord,
) -> None:
    parent = await redraw(sim)
    await choose(sim, (await larger(sim, sim.last)).message)
    child, message = await newest_job(sim, sim.alice), sim.last
    await press(sim, sim.alice, message, "Again")
    again = await newest_job(sim, sim.alice)
    assert (again.source, again.tile) == (child.source, child.tile)
    assert (again.width, again.height) == (child.width, child.height)
    assert again.variants[0].seed != child.variants[0].seed
    form: Any = await sim.alice.click(message, custom_id=buttons_of(message)["Use this"])
    prompt = form.modal["components"][0]["component"]["custom_id"]
    await sim.alice.submit_modal(form, {prompt: "a boat"})
    await sim.settled()
    used = await newest_job(sim, sim.alice)
    assert (used.prompt, used.tile) == ("a boat", None)
    assert used.width * used.height <= MODELS["noise"].pixels
    assert parent.width % MODELS["noise"].multiple == 0


async def test_the_menu_acts_on_the_selected_picture(sim: SimulatedDiscord) -> None:
    parent = await redraw(sim, count=2, seed=7)
    message = sim.last
    await press(sim, sim.alice, message, "2")
    message = next(m for m in sim.channel.history() if m.id == message.id)
    shown = (await larger(sim, message)).message
    SERVICE.requests.clear()
    await choose(sim, shown, "0.2")
    [request] = tiled_requests()
    second = await sim.bot.services.store.pictures.get(parent.variants[1].result or "")
    size = (request.width, request.height)
    assert request.pixels == enlarge_to(second, size).pixels
    child = await newest_job(sim, sim.alice)
    assert [variant.strength for variant in child.variants] == [0.2]


async def test_four_times_larger_ends_at_the_operator_s_limit(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = await redraw(sim)
    twice = (await larger(sim, sim.last)).message
    shown = (await press(sim, sim.alice, twice, "4 × larger")).response.message
    factor = 4 * shown_factor(parent.width, parent.height)
    size = f"{factor * parent.width} × {factor * parent.height} pixels"
    assert menu_of(shown).placeholder == f"With new detail: {size}"
    # More than three times as large.
    limit = factor * max(parent.width, parent.height) * 7 // 8 // 8 * 8
    monkeypatch.setattr(sim.bot.services.settings, "larger_max_side", limit)
    await choose(sim, shown)
    child = await newest_job(sim, sim.alice)
    assert max(child.width, child.height) == limit
    monkeypatch.setattr(sim.bot.services.settings, "larger_max_side", 0)
    assert "here: 0." in reply_of(await choose(sim, shown))
    await redraw(sim)
    assert menu_of((await larger(sim, sim.last)).message) is None


async def test_a_private_picture_stays_private(sim: SimulatedDiscord) -> None:
    before = len(sim.channel.history())
    await sim.alice.slash(
        sim.channel, "img2img", prompt="a secret", image=("cat.png", CAT[1]), private=True
    )
    await sim.settled()
    parent = await newest_job(sim, sim.alice)
    shown: Any = (await slash(sim.alice, sim.channel, "show", id=parent.id)).response
    reply = (await press(sim, sim.alice, shown.message, "Larger")).response
    assert reply.ephemeral
    result = await choose(sim, reply.message)
    assert result.response.ephemeral
    child = await newest_job(sim, sim.alice)
    assert (child.parent_id, child.destination.private) == (parent.id, True)
    assert len(sim.channel.history()) == before


async def test_a_spoiler_stays_a_spoiler(sim: SimulatedDiscord) -> None:
    await sim.alice.slash(sim.channel, "img2img", prompt="a fox", image=("SPOILER_cat.png", CAT[1]))
    await sim.settled()
    await choose(sim, (await larger(sim, sim.last)).message)
    child = await newest_job(sim, sim.alice)
    assert child.spoiler
    assert sim.last.attachments[0].filename.startswith("SPOILER_")


async def test_new_detail_takes_the_depth_of_the_result_and_not_of_a_structure(
    sim: SimulatedDiscord,
) -> None:
    parent = await redraw(sim, structure=CAT)
    assert parent.structure is not None
    SERVICE.requests.clear()
    await choose(sim, (await larger(sim, sim.last)).message)
    [request] = tiled_requests()
    assert request.structure is None


@pytest.mark.parametrize("option", [{"part": "background"}, {"mask": WHITE}], ids=["part", "mask"])
async def test_a_picture_of_which_a_part_was_redrawn_has_no_new_detail(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch, option: dict[str, Any]
) -> None:
    await redraw(sim, **option)
    message = sim.last
    assert menu_of((await larger(sim, message)).message) is None
    # A menu that an earlier version has sent.
    with monkeypatch.context() as patch:
        detail = importlib.import_module("cogs.img2img._detail")
        patch.setattr(detail, "_is_redrawn_whole", lambda job: True)
        shown = (await larger(sim, message)).message
    assert "Only a part" in reply_of(await choose(sim, shown))


async def test_a_model_that_cannot_redraw_in_tiles_has_no_menu(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redraw(sim)
    message = sim.last
    shown = (await larger(sim, message)).message
    monkeypatch.setattr("inference.model_entry.TILED_FAMILIES", frozenset())
    assert menu_of((await larger(sim, message)).message) is None
    assert "cannot add new detail" in reply_of(await choose(sim, shown))


@pytest.mark.parametrize("limit", ["megapixels", "budget"])
async def test_a_picture_beyond_the_limits_is_refused_before_it_is_enlarged(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    parent = await redraw(sim)
    shown = (await larger(sim, sim.last)).message
    services = sim.bot.services
    if limit == "megapixels":
        # The picture itself is within the limit, and the enlarged one is not.
        limits = RoleLimits(megapixels=1.5 * parent.width * parent.height / 1e6)
    else:
        accounting = services.runner.accounting
        monkeypatch.setattr(accounting, "price", lambda job: float(job.width * job.height))
        spent = await accounting.spent(sim.alice.id, sim.env.guild.id)
        limits = RoleLimits(seconds_a_day=spent.user + 1.5 * parent.width * parent.height)
    monkeypatch.setattr(services.settings, "role_limits", {EVERYONE: limits})
    made: list[Any] = []
    detail = importlib.import_module("cogs.img2img._detail")
    monkeypatch.setattr(detail, "enlarge_to", lambda *picture: made.append(picture))
    told = reply_of(await choose(sim, shown))
    expected = "pictures of at most" if limit == "megapixels" else "of computing time"
    assert expected in told
    assert not made


async def test_a_refused_request_leaves_no_file(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redraw(sim)
    shown = (await larger(sim, sim.last)).message
    before = _files(sim)

    def refuse(*_: Any, **__: Any) -> None:
        raise PictureTooLargeForRole(limit=0.1)

    monkeypatch.setattr("cogs.requests.request.check_limits", refuse)
    await choose(sim, shown)
    assert _files(sim) == before


def _files(sim: SimulatedDiscord) -> set[Path]:
    return set((sim.bot.services.settings.data_dir / "pictures").rglob("*.*"))
