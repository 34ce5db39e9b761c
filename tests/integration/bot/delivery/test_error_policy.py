"""Every error of Discord, at every place where an answer is sent, over real HTTP: one answer or
one sentence, no traceback, no endless retries.

Longer than 300 lines: one table of errors and the places where each is tried.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bot.delivery.error_policy import CODES, STATUSES, ErrorAction
from bot.delivery.message import Upload
from bot.errors import StorageFull
from bot.jobs.job import Job, JobState
from tests.support.bots.delivery_fixture import (
    BOT,
    EDIT_BOT,
    EDIT_TOKEN,
    POST,
    SEARCH,
    Case,
    DeliveryFixture,
    Site,
)
from tests.support.bots.minimal_bot import job_for, open_bot, point_discord_py_at
from tests.support.fake_discord.faults import Fault
from tests.support.fake_discord.objects import Message, Refusal
from tests.support.fake_discord.server import fake_discord
from tests.support.fake_discord.state import TOKEN_SECONDS, DiscordState

# The HTTP status that Discord gives with a code; by the code's thousands where they agree.
STATUS_OF = {40005: 413, 50027: 401, 30046: 429, 50035: 400, 50083: 400, 50045: 400}
STATUS_OF_THOUSANDS = {
    10: 404,
    20: 400,
    40: 400,
    50: 403,
    160: 400,
    200: 400,
    240: 400,
    110: 400,
    130: 400,
}
ERRORS = [
    *((STATUS_OF.get(code) or STATUS_OF_THOUSANDS[code // 1000], code) for code in CODES),
    *((status, 0) for status in STATUSES),
]


def action_of(status: int, code: int, site: Site) -> ErrorAction:
    """The action in the table, except where the bot's own token is refused."""
    if status == 401 and site is not Site.TOKEN_EDIT:
        return ErrorAction.KEEP
    return CODES.get(code) or STATUSES[status]


# One error per action and status.
KINDS = {(action_of(*error, Site.TOKEN_EDIT), error[0]): error for error in ERRORS}.values()


@pytest.mark.parametrize("site", Site)
async def test_an_error_once_ends_in_one_answer_or_one_sentence(
    fixture: DeliveryFixture,
    site: Site,
    subtests: pytest.Subtests,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for status, code in ERRORS:
        with subtests.test(status=status, code=code):
            caplog.clear()
            await an_error_once(fixture.case(), site, status, code, caplog)


async def an_error_once(
    case: Case, site: Site, status: int, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    job = await case.job_at(site)
    case.discord.faults[site.value].append(Refusal(status, code, "injected"))
    await case.deliver(job)
    after = await case.state(job)
    action = action_of(status, code, site)
    if action is ErrorAction.KEEP:
        assert (after.state, after.finished_at, case.answers()) == (JobState.MADE, None, [])
        assert "refuses the bot's token" in caplog.text
        return
    assert after.finished_at is not None
    assert after.destination.token is None
    assert bool(case.slept) is (action is ErrorAction.RETRY)
    # Only a bug has a traceback in the log.
    assert any(r.exc_info for r in caplog.records) is (action is ErrorAction.MALFORMED)
    if site is Site.OPEN_DM and action is ErrorAction.NEXT_ROUTE:
        assert (after.state, case.answers()) == (JobState.FAILED, [])
        assert "could not be delivered" in (after.error or "")
        return
    # A lookup continues on another route; only a send can be refused because of its content.
    told = action in (ErrorAction.BLOCKED, ErrorAction.MALFORMED)
    assert after.state is (JobState.FAILED if told else JobState.DELIVERED)
    [answer] = case.answers()
    assert f"answer {'failed' if told else 'made'} {job.id}" in answer.text
    check_mentions(case, job, answer)


def check_mentions(case: Case, job: Job, answer: Message) -> None:
    """A new message mentions its user and no other one. An edit of the reply mentions none."""
    if answer.id == job.destination.message_id:
        assert "<@" not in answer.text
    else:
        assert answer.text.startswith(f"<@{case.user}>")
        assert answer.allowed_mentions == {"parse": [], "users": [case.user]}


# How many requests are made where an error never ends: one for each pause, and one that succeeds;
# the pictures at seven sizes, or once, and then the sentence.
PERMANENT_TRIES = {
    ErrorAction.RETRY: 20 + 1,
    ErrorAction.NEXT_ROUTE: 1,
    ErrorAction.KEEP: 1,
    ErrorAction.SMALLER: 7 + 1,
    ErrorAction.BLOCKED: 1 + 1,
    ErrorAction.MALFORMED: 1 + 1,
}


@pytest.mark.parametrize("site", Site)
async def test_a_permanent_error_is_not_retried_forever(
    fixture: DeliveryFixture, site: Site, subtests: pytest.Subtests
) -> None:
    for status, code in KINDS:
        with subtests.test(status=status, code=code):
            await a_permanent_error(fixture.case(), site, status, code)


async def a_permanent_error(case: Case, site: Site, status: int, code: int) -> None:
    action = action_of(status, code, site)
    job = await case.job_at(site)
    before = case.discord.requests[site.value]
    always = 20 if action is ErrorAction.RETRY else 1000
    case.discord.faults[site.value] += [Refusal(status, code, "always")] * always
    await case.deliver(job)
    tried = case.discord.requests[site.value] - before
    ends = action not in (ErrorAction.RETRY, ErrorAction.KEEP)
    # A new message and a direct message use the same endpoint. A search that succeeds makes a
    # second request, for the newest messages.
    again = site is Site.CHANNEL_POST and ends
    again |= site is Site.SEARCH and action is ErrorAction.RETRY
    assert tried == PERMANENT_TRIES[action] + again
    if action is ErrorAction.RETRY:
        assert case.slept == [min(2.0**n, 300.0) for n in range(20)]
    if action is ErrorAction.KEEP or (ends and site in (Site.CHANNEL_POST, Site.OPEN_DM)):
        assert case.answers() == []
    else:
        [answer] = case.answers()
        check_mentions(case, job, answer)


@pytest.mark.parametrize("site", Site)
async def test_a_broken_connection_causes_no_second_answer(
    fixture: DeliveryFixture, site: Site, subtests: pytest.Subtests
) -> None:
    for fault in Fault:
        with subtests.test(fault=fault.name):
            case = fixture.case()
            job = await case.job_at(site)
            case.discord.faults[site.value].append(fault)
            await case.deliver(job)
            assert (await case.state(job)).state is JobState.DELIVERED
            [answer] = case.answers()
            assert all("answer made" in text for _, text in answer.shown)


async def test_without_the_history_the_answer_is_sent_to_the_channel_again(case: Case) -> None:
    """A second answer is better than none."""
    job = await case.job_at(Site.SEARCH)
    case.discord.faults[SEARCH] = [Refusal(403, 50001, "Missing access")]
    await case.deliver(job)
    [answer] = case.answers()
    assert answer.channel_id == case.channel


async def test_an_edit_whose_response_was_lost_is_not_followed_by_a_message(case: Case) -> None:
    """The edit arrived, its response was lost, and the message accepts no further edit."""
    job = await case.made_job(expired=True)
    case.discord.faults[EDIT_BOT] = [Fault.RESET, Refusal(429, 30046, "Too many edits")]
    await case.deliver(job)
    assert (await case.state(job)).state is JobState.DELIVERED
    assert len(case.answers()) == 1
    assert case.discord.requests[POST] == 0


async def test_a_new_message_mentions_the_user_and_an_edit_does_not(
    fixture: DeliveryFixture,
) -> None:
    edited, posted = fixture.case(), fixture.case()
    await edited.deliver(await edited.made_job())
    await posted.deliver(await posted.job_at(Site.CHANNEL_POST))
    assert "<@" not in edited.answers()[0].text
    [answer] = posted.answers()
    assert answer.text.startswith(f"<@{posted.user}>")
    assert answer.files
    # No other mention of the text, such as one in the prompt, notifies.
    assert [int(user) for user in answer.allowed_mentions["users"]] == [posted.user]
    assert answer.allowed_mentions["parse"] == []


async def test_a_private_answer_with_an_expired_token_is_a_direct_message(case: Case) -> None:
    job = await case.made_job(private=True, expired=True)
    await case.deliver(job)
    [answer] = case.answers()
    assert case.discord_state.dm_channels[answer.channel_id] == case.user
    assert case.discord.requests[EDIT_BOT] == 0
    assert (await case.state(job)).state is JobState.DELIVERED


@pytest.mark.parametrize("hours", [2, 48])
async def test_a_clock_that_jumps_ahead_does_not_close_the_route_of_a_private_answer(
    case: Case, hours: int
) -> None:
    job = await case.made_job(private=True)
    case.clock_error = hours * 3600.0
    case.discord.faults[EDIT_TOKEN] = [Refusal(503, 0, "down")]
    await case.deliver(job)
    [answer] = case.answers()
    assert answer.id == job.destination.message_id
    assert (await case.state(job)).state is JobState.DELIVERED


@pytest.mark.parametrize("clock_error", [2 * 3600.0 + 600, 0.0], ids=["still wrong", "set back"])
async def test_a_message_that_was_sent_under_a_wrong_clock_is_found(
    case: Case, clock_error: float
) -> None:
    """The bot was killed between the message and its record, two hours ahead of Discord's clock.
    A clock that was set back gives a time before the one that was stored."""
    job = await case.made_job(expired=True)
    case.discord_state.messages[job.destination.message_id].deleted = True
    await case.deliver(job)
    store = case.fixture.bot.store
    wrong = time.time() + 2 * 3600

    def forget() -> None:
        store._db.connection.execute(
            "UPDATE job SET state = 'made', finished_at = NULL, post_since = ? WHERE id = ?",
            (wrong, job.id),
        )

    await store._db.run(forget)
    case.clock_error = clock_error
    case.discord_state.nonce_seconds = 0.0
    await case.deliver(await case.state(job))
    assert (await case.state(job)).state is JobState.DELIVERED
    assert len(case.answers()) == 1


@pytest.mark.parametrize("change", ["posting", "answered"])
async def test_an_answer_is_delivered_once_although_the_disk_is_full_at_first(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    full = 0

    def failpoint(name: str) -> None:
        nonlocal full
        if name == f"within {change}" and full:
            full -= 1
            raise StorageFull

    async with fake_discord(DiscordState()) as discord:
        point_discord_py_at(discord.port)
        async with open_bot(tmp_path, BOT, failpoint=failpoint) as bot:
            case = DeliveryFixture(discord, bot).case()
            job = await case.made_job(expired=True)
            # The answer is a new message.
            discord.discord_state.messages[job.destination.message_id].deleted = True
            full = 3
            await case.deliver(job)
            assert (await case.state(job)).state is JobState.DELIVERED
            assert len(case.answers()) == 1
            assert [pause for pause in case.slept if pause >= 5.0] == [5.0, 10.0, 20.0]
    for pause in (5, 10, 20):
        assert f"the disk is full: the answer waits; next try in {pause} s" in caplog.text


async def test_a_response_that_can_never_be_parsed_is_retried_three_times_per_job(
    case: Case,
) -> None:
    job = await case.made_job()
    case.discord.faults[EDIT_TOKEN] = [Fault.HALF] * 100
    await case.deliver(job)
    assert case.discord.requests[EDIT_TOKEN] == 1 + 3
    assert (await case.state(job)).state is JobState.DELIVERED
    assert len(case.answers()) == 1


async def test_a_bug_in_sending_is_not_retried_for_a_day(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    async def encode(job: Job, pictures: object) -> tuple[Upload, ...]:
        return (Upload(name="a.png", data=7, description=""),)  # type: ignore[arg-type]

    job = await case.made_job()
    await case.deliver(job, encode)
    assert case.slept == [1.0, 2.0, 4.0]
    assert (await case.state(job)).finished_at is not None
    assert "Traceback" in caplog.text


async def test_a_job_without_an_open_route_fails(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    job = await case.job_at(Site.OPEN_DM)
    case.discord_state.closed_users.add(case.user)
    await case.deliver(job)
    after = await case.state(job)
    assert (after.state, case.answers()) == (JobState.FAILED, [])
    assert after.finished_at is not None
    assert "no route is left for the answer" in caplog.text


async def test_a_missing_result_is_a_sentence(case: Case, tmp_path: Path) -> None:
    job = await case.made_job()
    for path in (tmp_path / "pictures").iterdir():
        path.write_bytes(b"not a picture any more")
    await case.deliver(job)
    assert "could not be read again" in case.answers()[0].text


async def test_an_answer_that_cannot_be_built_is_a_sentence(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(job: Job, pictures: object) -> tuple[Upload, ...]:
        raise TypeError("a bug")

    job = await case.made_job()
    await case.deliver(job, broken)
    assert "Discord refused its message" in case.answers()[0].text
    assert "a bug" in caplog.text


async def test_an_upload_that_is_too_large_is_encoded_smaller_until_a_limit(case: Case) -> None:
    limits = []

    async def encode(job: Job, pictures: object) -> tuple[Upload, ...]:
        limits.append(job.destination.upload_limit)
        return ()

    job = await case.made_job()
    case.discord.faults[EDIT_TOKEN] = [Refusal(413, 40005, "Request entity too large")] * 7
    await case.deliver(job, encode)
    assert limits == [job.destination.upload_limit // 2**n for n in range(7)]
    assert "larger than Discord allows" in case.answers()[0].text


async def test_a_failed_progress_edit_does_not_affect_the_answer(
    fixture: DeliveryFixture, subtests: pytest.Subtests, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (
        Refusal(404, 10008, ""),
        Refusal(401, 50027, ""),
        Refusal(400, 50035, ""),
        *Fault,
    ):
        with subtests.test(error=str(error)):
            case = fixture.case()
            made = await case.made_job()
            await case.deliver(made)
            case.discord.faults[EDIT_TOKEN] = [error]
            interaction = case.discord_state.interact(BOT, case.channel, case.user)
            reply = case.discord_state.defer(interaction.token, flags=0)
            place = replace(
                made.destination,
                message_id=reply.id,
                token=interaction.token,
                token_expires_at=interaction.created_at + TOKEN_SECONDS,
            )
            again = job_for(
                place, user_id=case.user, source=made.sources[0], now=case.discord_state.now()
            )
            await fixture.bot.runner.accept(again)
            async with asyncio.timeout(30):
                await fixture.bot.runner.wait_idle()
            assert (await case.state(again)).state is JobState.DELIVERED
            assert "answer made" in reply.text
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []
