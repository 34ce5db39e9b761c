"""How often and for how long an answer is tried, and in which language a failure is told."""

from __future__ import annotations

import asyncio
from typing import Any

import discord
import pytest

from bot.delivery import delivery, routes
from bot.i18n.error_text import translate_error
from bot.jobs.failures import BlockedByDiscord
from bot.jobs.job import JobState
from tests.support.bots.delivery_fixture import (
    EDIT_BOT,
    EDIT_TOKEN,
    POST,
    Case,
    Site,
)
from tests.support.fake_discord.objects import Refusal

# discord.py repeats requests that end in 5xx or 429 by itself.
NOT_YET, BLOCKED = 110001, 200000


async def test_discord_decides_how_long_to_wait_if_it_asks_for_more(case: Case) -> None:
    waits = (17.0, 0.5)
    case.discord.faults[EDIT_TOKEN] = [
        Refusal(400, NOT_YET, "not yet", retry_after=seconds) for seconds in waits
    ]
    await case.deliver(await case.made_job())
    # The second pause is the back-off, which is longer than what Discord asks for.
    assert case.slept == [17.0, 2.0]
    assert len(case.answers()) == 1


async def test_an_answer_is_given_up_after_a_day(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert delivery.GIVE_UP_SECONDS == 24 * 3600
    monkeypatch.setattr(delivery, "GIVE_UP_SECONDS", 100.0)
    for route in (EDIT_TOKEN, EDIT_BOT, POST):
        case.discord.faults[route] = [Refusal(400, NOT_YET, "not yet")] * 50
    job = await case.made_job()
    await case.deliver(job)
    # 1 + 2 + ... + 64 is the first sum over 100 seconds.
    assert case.slept == [2.0**n for n in range(7)]
    assert case.answers() == []
    after = await case.state(job)
    assert (after.state, after.destination.token) == (JobState.FAILED, None)


@pytest.mark.parametrize(
    ("site", "kind", "method", "limit"),
    [
        (Site.TOKEN_EDIT, discord.Webhook, "edit_message", "EDIT_SECONDS"),
        (Site.BOT_EDIT, discord.PartialMessage, "edit", "EDIT_SECONDS"),
        (Site.CHANNEL_POST, discord.PartialMessageable, "send", "POST_SECONDS"),
    ],
)
async def test_a_request_that_never_ends_is_repeated(
    case: Case, monkeypatch: pytest.MonkeyPatch, site: Site, kind: type, method: str, limit: str
) -> None:
    job = await case.job_at(site)
    send, sent = getattr(kind, method), []

    async def hang_once(*arguments: Any, **options: Any) -> Any:
        sent.append(method)
        if len(sent) == 1:
            await asyncio.Event().wait()
        return await send(*arguments, **options)

    if site is Site.CHANNEL_POST:
        # The reply cannot be edited any more.
        case.discord_state.messages[job.destination.message_id].deleted = True
    monkeypatch.setattr(kind, method, hang_once)
    with monkeypatch.context() as patch:
        patch.setattr(routes, limit, 0.05)
        delivering = asyncio.create_task(case.deliver(job))
        async with asyncio.timeout(60):
            while not case.slept:  # noqa: ASYNC110 - the pause is recorded, not waited for
                await asyncio.sleep(0.01)
    await delivering
    assert case.slept[0] == 1.0
    assert len(case.answers()) == 1


async def test_the_log_names_the_route_the_error_and_the_action(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    case.discord.faults[EDIT_TOKEN] = [Refusal(400, NOT_YET, "not yet")]
    await case.deliver(await case.made_job())
    [record] = [one for one in caplog.records if one.name == delivery.__name__]
    assert record.getMessage() == f"the answer by TOKEN_EDIT: 400 {NOT_YET} not yet → RETRY"


async def test_what_is_relied_on_after_a_kill_is_stored_before_it(case: Case) -> None:
    """The order of the failpoints, for an edit and for a new message."""
    passed: list[str] = []
    case.fixture.failpoint = case.fixture.bot.store.database.failpoint = passed.append
    recorded = ["before answered", "within answered", "after answered"]
    await case.deliver(await case.made_job())
    assert passed[-5:] == ["before edit", "after edit", *recorded]
    posted = await case.job_at(Site.CHANNEL_POST)
    passed.clear()
    await case.deliver(posted)
    assert passed == [
        # By the expired token, then by the bot's token: both are refused.
        "before edit",
        "before edit",
        "before posting",
        "within posting",
        "after posting",
        "before post",
        "after post",
        *recorded,
    ]


@pytest.mark.parametrize("locale", ["en-US", "de", "fr", "es-ES", "ja"])
async def test_a_failed_delivery_is_reported_in_the_language_of_the_job(
    case: Case, locale: str
) -> None:
    job = await case.made_job(locale=locale)
    case.discord.faults[EDIT_TOKEN] = [Refusal(400, BLOCKED, "blocked")]
    await case.deliver(job)
    [answer] = case.answers()
    assert translate_error(locale, BlockedByDiscord()) in answer.text
