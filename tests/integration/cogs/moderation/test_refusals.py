"""What members are refused, in both kinds of channel, with the real classifier."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.moderation.detectors.picture_hash import PictureHash
from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.model import EVERYWHERE
from tests.support.moderation.discord import (
    BAD,
    BAD_WORD,
    CAT,
    ModeratedServer,
    Painter,
    open_moderated_server,
    pictures_in,
    said,
)
from tests.support.simulated_discord import buttons_of, text_of

PROMPT_REFUSED = "This prompt is not allowed here."
SOURCE_REFUSED = "This picture cannot be used here: the image check refused it."
RESULT_REFUSED = "The result is not shown: the image check refused it."


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[ModeratedServer]:
    async with open_moderated_server(tmp_path) as opened:
        yield opened


async def test_a_harmless_request_is_answered_in_both_kinds_of_channel(
    server: ModeratedServer,
) -> None:
    for channel in (server.channel, server.adult):
        assert await server.redraw(channel) == ""
        assert len(pictures_in(channel)) == 1


@pytest.mark.parametrize("adult", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"prompt": "a wоlf in the snow"},
        {"prompt": "a fox", "negative_prompt": "w o l f"},
        {"prompt": "a dog howling", "style": "wild"},
    ],
    ids=["prompt", "negative prompt", "style"],
)
async def test_a_prompt_that_breaks_a_rule_is_refused(
    tmp_path: Path, options: dict[str, str], adult: bool
) -> None:
    styles = tmp_path / "styles.toml"
    styles.write_text('[wild]\nprompt = "{prompt}, with a wolf"\n')
    async with open_moderated_server(tmp_path, styles_file=styles) as server:
        await server.services.moderation.lists.add_rule(EVERYWHERE, RuleKind.WORD, "wolf")
        channel = server.adult if adult else server.channel
        assert await server.redraw(channel, options=options) == PROMPT_REFUSED
        assert channel.history() == []
        assert await server.services.store.jobs_of(server.alice.id) == []


@pytest.mark.parametrize(
    ("threshold", "refused_in"),
    [(None, "both"), (1.0, "ordinary"), (0.95, "ordinary"), (0.0, "both")],
)
async def test_a_suspicious_source_is_refused_where_the_thresholds_say(
    server: ModeratedServer, threshold: float | None, refused_in: str
) -> None:
    await server.open_log(age_restricted_threshold=threshold)
    assert SOURCE_REFUSED in await server.redraw(server.channel, image=BAD)
    assert server.channel.history() == []
    told = await server.redraw(server.adult, image=BAD)
    assert (SOURCE_REFUSED in told) is (refused_in == "both")
    # What was refused leaves nothing behind.
    kept = await server.services.store.jobs_of(server.alice.id)
    assert len(kept) == (0 if refused_in == "both" else 1)


async def test_a_suspicious_result_is_withheld_and_not_stored(server: ModeratedServer) -> None:
    await server.redraw(prompt=BAD_WORD)
    assert RESULT_REFUSED in text_of(server.sim.last)
    assert pictures_in(server.channel) == []
    (job,) = await server.services.store.jobs_of(server.alice.id)
    assert [variant.result for variant in job.variants] == [None]


@pytest.mark.parametrize("prompt", ["a fox", BAD_WORD])
async def test_a_preview_is_shown_only_if_it_passes(tmp_path: Path, prompt: str) -> None:
    engine = Painter()
    engine.gate.clear()
    async with open_moderated_server(tmp_path, engine) as server:
        uploaded: list[str] = []
        cdn = server.sim.env.backend.cdn
        store = cdn.store_attachment

        def stored(id_: int, channel: int, name: str, data: bytes, text: str | None) -> Any:
            uploaded.append(name)
            return store(id_, channel, name, data, text)

        cdn.store_attachment = stored  # type: ignore[assignment,method-assign]

        def reported() -> bool:
            return bool(uploaded) or (prompt == BAD_WORD and "step" in text_of(server.sim.last))

        await server.alice.slash(server.channel, "img2img", prompt=prompt, image=CAT)
        async with asyncio.timeout(60):
            while not reported():  # noqa: ASYNC110 - simcord has no event for an edit
                await asyncio.sleep(0.01)
        engine.gate.set()
        await server.sim.settled()
    assert ("preview.jpg" in uploaded) is (prompt != BAD_WORD)


async def test_a_result_of_an_age_restricted_channel_is_not_shown_in_an_ordinary_one(
    server: ModeratedServer,
) -> None:
    await server.open_log(age_restricted_threshold=1.0)
    await server.redraw(server.adult, prompt=BAD_WORD)
    (job,) = await server.services.store.jobs_of(server.alice.id)
    assert len(pictures_in(server.adult)) == 1
    await server.alice.slash(server.channel, "show", id=job.id)
    await server.alice.slash(server.channel, "history")
    await server.sim.env.settle()
    assert pictures_in(server.channel) == []


async def test_a_picture_that_was_blocked_later_is_not_shown_again(
    server: ModeratedServer,
) -> None:
    await server.redraw()
    (job,) = await server.services.store.jobs_of(server.alice.id)
    assert job.variants[0].result is not None
    result = await server.services.store.pictures.get(job.variants[0].result)
    await server.services.moderation.lists.block(server.guild_id, PictureHash.of(result).bits)
    before = len(pictures_in(server.channel))
    shown = await server.alice.slash(server.channel, "show", id=job.id)
    await server.sim.env.settle()
    assert RESULT_REFUSED in said(shown)
    assert len(pictures_in(server.channel)) == before


async def test_with_moderation_off_the_same_pictures_pass(tmp_path: Path) -> None:
    async with open_moderated_server(tmp_path, moderation=False) as server:
        assert await server.redraw(image=BAD) == ""
        assert await server.redraw(prompt=BAD_WORD) == ""
        assert len(pictures_in(server.channel)) == 2


async def test_a_mention_is_checked_as_a_command_is(server: ModeratedServer) -> None:
    await server.services.moderation.lists.add_rule(EVERYWHERE, RuleKind.WORD, "wolf")
    bot_user = server.sim.bot.user
    assert bot_user is not None
    for text, picture in (("a wolf", CAT), ("a fox", BAD)):
        await server.alice.send(server.channel, f"{bot_user.mention} {text}", attachments=[picture])
        await server.sim.settled()
        assert text_of(server.sim.last) in (PROMPT_REFUSED, SOURCE_REFUSED)
    assert pictures_in(server.channel) == []


async def test_a_refusal_offers_an_appeal_which_moderators_see_once_a_day(
    server: ModeratedServer,
) -> None:
    await server.open_log()
    result = await server.alice.slash(server.channel, "img2img", prompt="a fox", image=BAD)
    await server.sim.settled()
    refusal = result.followups[-1].message
    assert buttons_of(refusal) == {"Appeal": "redraw:appeal:1"}
    assert "asked to look" in await server.click(server.alice, refusal, "Appeal")
    assert f"{server.alice.mention} appeals case 1" in text_of(server.entry)
    posted = len(server.log.history())
    assert "once a day" in await server.click(server.alice, refusal, "Appeal")
    assert len(server.log.history()) == posted


async def test_a_withheld_result_can_be_appealed_by_its_user_only(
    server: ModeratedServer,
) -> None:
    await server.open_log()
    await server.redraw(prompt=BAD_WORD)
    answer = server.sim.last
    assert "once a day" in await server.click(server.bob, answer, "Appeal")
    assert "asked to look" in await server.click(server.alice, answer, "Appeal")


async def test_a_mention_that_is_refused_offers_an_appeal(server: ModeratedServer) -> None:
    await server.open_log()
    assert server.sim.bot.user is not None
    text = f"{server.sim.bot.user.mention} a fox"
    await server.alice.send(server.channel, text, attachments=[BAD])
    await server.sim.settled()
    assert "asked to look" in await server.click(server.alice, server.sim.last, "Appeal")


async def test_without_a_log_no_appeal_is_offered(server: ModeratedServer) -> None:
    result = await server.alice.slash(server.channel, "img2img", prompt="a fox", image=BAD)
    await server.sim.settled()
    assert buttons_of(result.followups[-1].message) == {}


async def test_the_prompts_of_a_sheet_of_styles_are_checked(server: ModeratedServer) -> None:
    assert await server.redraw() == ""
    message = server.sim.last
    await server.services.moderation.lists.add_rule(EVERYWHERE, RuleKind.WORD, "watercolour")
    assert await server.click(server.alice, message, "Try styles") == PROMPT_REFUSED
    assert len(await server.services.store.jobs_of(server.alice.id)) == 1


async def test_requests_of_refused_users_are_listed_once_and_a_ban_can_be_appealed(
    server: ModeratedServer,
) -> None:
    await server.open_log(slow_mode_seconds=600)
    await server.command(server.moderator, "moderation ban", target=server.bob)
    before = len(server.log.history())
    for _ in range(3):
        assert "may not use this bot" in await server.redraw(user=server.bob)
        await server.redraw(user=server.alice)
    texts = [text_of(message) for message in server.log.history()[before:]]
    assert len(texts) == 2
    assert f"request of {server.bob.mention} refused" in texts[0]
    assert "-# banned" in texts[0]
    assert f"request of {server.alice.mention} refused" in texts[1]
    assert "-# slow mode" in texts[1]
    result = await server.bob.slash(server.channel, "img2img", prompt="a fox", image=CAT)
    await server.sim.settled()
    assert result.response is not None
    refusal = result.response.message
    assert "asked to look" in await server.click(server.bob, refusal, "Appeal")
    assert f"{server.bob.mention} appeals case 1" in text_of(server.entry)
