"""A user is told once, as they chose, that a picture that took long is finished."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import discord
import pytest

from bot.delivery import notification
from bot.delivery.notification import message_link
from bot.jobs.job import Job, JobState
from bot.store.user_defaults import Notification
from tests.support.bots.delivery_fixture import (
    BOT,
    EDIT_TOKEN,
    OPEN_DM,
    POST,
    Case,
    Site,
)
from tests.support.fake_discord.faults import Fault
from tests.support.fake_discord.objects import Message, Refusal
from tests.support.jobs import DESTINATION
from tests.support.jobs import job as stored_job


async def answer(
    case: Case, wanted: Notification, *, seconds: float = 61.0, **kind: Any
) -> tuple[Job, list[Message]]:
    """Answer a job so long after its request; the messages beside the answer."""
    job = await case.made_job(**kind)
    await case.fixture.bot.store.user_defaults.change(case.user, notification=wanted)
    case.clock_error = seconds
    await case.deliver(job)
    others = [
        message
        for message in case.discord_state.messages.values()
        if message.author_id == BOT and message.id != job.destination.message_id
    ]
    return job, others


async def test_a_mention_replies_to_the_answer_and_pings_its_user_only(case: Case) -> None:
    job, [message] = await answer(case, Notification.MENTION)
    assert message.text == f"<@{case.user}>, your picture is finished."
    assert message.channel_id == case.channel
    assert message.replied_to == job.destination.message_id
    allowed = message.allowed_mentions
    assert [int(user) for user in allowed["users"]] == [case.user]
    assert allowed["parse"] == []
    assert not allowed.get("replied_user")


async def test_a_direct_message_links_to_the_answer(case: Case) -> None:
    job, [message] = await answer(case, Notification.DIRECT)
    assert message.channel_id == case.user + 1
    assert message.text.endswith(
        f"https://discord.com/channels/7/{case.channel}/{job.destination.message_id}"
    )
    assert message.allowed_mentions == {"parse": []}


def test_the_link_to_a_direct_message_has_no_server() -> None:
    for guild_id, path in ((3, "3/2/4"), (None, "@me/2/4")):
        one = stored_job(destination=replace(DESTINATION, guild_id=guild_id))
        assert message_link(one) == f"https://discord.com/channels/{path}"


@pytest.mark.parametrize("wanted", [Notification.MENTION, Notification.DIRECT])
async def test_a_notification_that_discord_py_repeats_arrives_once(
    case: Case, wanted: Notification
) -> None:
    """The message was sent, but a proxy responded with an error."""
    case.discord.faults[POST] = [Fault.BAD_GATEWAY]
    _, messages = await answer(case, wanted)
    assert len(messages) == 1
    assert case.discord.requests[POST] == 2


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [
        (Notification.NONE, 3600.0),
        (Notification.MENTION, 55.0),
        (Notification.DIRECT, 55.0),
    ],
)
async def test_no_message_is_sent_after_a_short_time_or_without_the_setting(
    case: Case, wanted: Notification, seconds: float
) -> None:
    _, others = await answer(case, wanted, seconds=seconds)
    assert others == []


async def test_a_refused_direct_message_becomes_a_mention(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    case.discord_state.closed_users.add(case.user)
    _, [message] = await answer(case, Notification.DIRECT)
    assert message.channel_id == case.channel
    assert f"<@{case.user}>" in message.text
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("wanted", [Notification.MENTION, Notification.DIRECT])
async def test_a_private_picture_is_never_mentioned_in_the_channel(
    case: Case, wanted: Notification
) -> None:
    _, [message] = await answer(case, wanted, private=True)
    assert message.channel_id == case.user + 1
    assert message.text.endswith(f"<#{case.channel}>")
    other = case.fixture.case()
    other.discord_state.closed_users.add(other.user)
    _, others = await answer(other, wanted, private=True)
    assert [m for m in others if m.channel_id == other.channel] == []


@pytest.mark.parametrize("fault", [Refusal(403, 50013, "No permission"), Fault.RESET])
async def test_a_notification_that_cannot_be_sent_does_not_affect_the_answer(
    case: Case, fault: Any, caplog: pytest.LogCaptureFixture
) -> None:
    case.discord.faults[POST] = [fault] * 9
    case.discord.faults[OPEN_DM] = [Refusal(403, 50007, "No direct messages")]
    caplog.set_level("INFO", notification.__name__)
    job, _ = await answer(case, Notification.DIRECT)
    assert (await case.state(job)).finished_at is not None
    assert len(case.answers()) == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    # The log says which, and why.
    error = "ServerDisconnectedError" if fault is Fault.RESET else "403 50013 No permission"
    assert [
        record.getMessage() for record in caplog.records if record.name == notification.__name__
    ] == [
        f"notification of job {job.id} as a direct message: 403 50007 No direct messages",
        f"notification of job {job.id} as a mention: {error}",
    ]


async def test_an_answer_that_mentions_its_user_is_the_only_message(case: Case) -> None:
    job = await case.job_at(Site.CHANNEL_POST)
    await case.fixture.bot.store.user_defaults.change(case.user, notification=Notification.MENTION)
    case.clock_error = 61.0
    await case.deliver(job)
    mentions = [m for m in case.discord_state.messages.values() if f"<@{case.user}>" in m.text]
    assert len(mentions) == 1
    assert "finished" not in mentions[0].text


# Without the first letter: a mention precedes it, or it begins the sentence.
TEXTS = {
    ("en-US", True): "our picture is finished",
    ("en-US", False): "our picture could not be made",
    ("de", True): "ein Bild ist fertig",
    ("de", False): "ein Bild konnte nicht gezeichnet werden",
}


@pytest.mark.parametrize("wanted", [Notification.MENTION, Notification.DIRECT])
@pytest.mark.parametrize(("locale", "made"), TEXTS)
async def test_a_notification_says_in_the_users_language_whether_there_is_a_picture(
    case: Case, wanted: Notification, locale: str, *, made: bool
) -> None:
    if not made:
        case.discord.faults[EDIT_TOKEN] = [Refusal(400, 20009, "Explicit content")]
    _, [message] = await answer(case, wanted, locale=locale)
    assert TEXTS[locale, made] in message.text


@pytest.mark.parametrize("wanted", [Notification.MENTION, Notification.DIRECT])
async def test_a_notification_that_discord_never_confirms_ends(
    case: Case, wanted: Notification, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(notification, "POST_SECONDS", 0.05)
    monkeypatch.setattr(discord.abc.Messageable, "send", hang)
    job, others = await answer(case, wanted)
    assert others == []
    assert (await case.state(job)).state is JobState.DELIVERED
