"""How often and for how long an answer is tried, and in which language a failure is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.delivery import delivery
from bot.i18n.error_text import translate_error
from bot.jobs.failures import BlockedByDiscord
from bot.jobs.job import Job, JobState
from tests.support.bots.delivery_fixture import (
    EDIT_BOT,
    EDIT_TOKEN,
    POST,
    Case,
)
from tests.support.bots.minimal_bot import square
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


@pytest.mark.parametrize("locale", ["en-US", "de", "fr", "es-ES", "ja"])
async def test_a_failed_delivery_is_reported_in_the_language_of_the_job(
    case: Case, locale: str
) -> None:
    made = await case.made_job()
    # The locale is stored with the job when it is accepted.
    job = await localized(case, made, locale)
    case.discord.faults[EDIT_TOKEN] = [Refusal(400, BLOCKED, "blocked")]
    await case.deliver(job)
    [answer] = case.answers()
    assert translate_error(locale, BlockedByDiscord()) in answer.text


async def localized(case: Case, made: Job, locale: str) -> Job:
    """The same request, in that language and made."""
    store = case.fixture.bot.store
    job = replace(made, id=made.id[::-1], locale=locale, state=JobState.QUEUED)
    await store.erase_job(made.id)
    source = await store.pictures.put(square(case.channel))
    job = replace(job, source=source, variants=tuple(replace(v, result=None) for v in job.variants))
    await store.accept(job)
    await store.start(job.id, 0.0)
    await store.variant_made(job.id, 0, source, ignored_prompt="", depth=None)
    return await store.made(job.id, 1.0)
