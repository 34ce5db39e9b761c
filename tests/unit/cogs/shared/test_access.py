"""The access policy as a table: one row per situation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cogs.shared.access import (
    AccessRule,
    ChannelFacts,
    Decision,
    JobFacts,
    decide,
    decide_message,
    decide_share,
)

RESULT, SOURCE = AccessRule.RESULT, AccessRule.SOURCE
MODERATE, OWNER = AccessRule.OWNER_OR_MODERATOR, AccessRule.OWNER
YES, GONE = Decision.ALLOWED, Decision.NOT_FOUND
OTHERS, ADULT = Decision.NOT_OWNER, Decision.AGE_RESTRICTED

HALL = ChannelFacts(id=1, guild_id=9, view_channel=True, read_message_history=True)
POSTS = replace(HALL, id=2)
HALL_AS_MODERATOR = replace(HALL, manage_messages=True)
POSTS_AS_MODERATOR = replace(POSTS, manage_messages=True)
HIDDEN = ChannelFacts(id=3, guild_id=9)
HIDDEN_AS_MODERATOR = replace(HIDDEN, manage_messages=True)
NO_HISTORY = ChannelFacts(id=4, guild_id=9, view_channel=True)
PRIVATE_THREAD = replace(HALL, id=5, private_thread=True)
PRIVATE_THREAD_AS_MEMBER = replace(PRIVATE_THREAD, thread_member=True)
PRIVATE_THREAD_AS_MODERATOR = replace(PRIVATE_THREAD, manage_threads=True, manage_messages=True)
PRIVATE_THREAD_WITH_MANAGE_MESSAGES = replace(PRIVATE_THREAD, manage_messages=True)
HIDDEN_THREAD_AS_MEMBER = replace(HIDDEN, id=6, private_thread=True, thread_member=True)
ADULTS = replace(HALL, id=7, age_restricted=True)
OTHER_ADULTS = replace(ADULTS, id=8)
HIDDEN_ADULTS = replace(ADULTS, view_channel=False)
DIRECT = ChannelFacts(id=10, guild_id=None, view_channel=True, read_message_history=True)
DIRECT_WITH_ALL_PERMISSIONS = replace(DIRECT, manage_messages=True, manage_threads=True)

# A public job of another user, made in the hall and looked at in the hall.
PUBLIC = JobFacts(owner=False, here=HALL, origin=HALL)
PRIVATE = replace(PUBLIC, private=True)
MINE = replace(PUBLIC, owner=True)
MINE_PRIVATE = replace(MINE, private=True)
ELSEWHERE = replace(PUBLIC, here=POSTS)
FROM_THREAD = replace(ELSEWHERE, origin=PRIVATE_THREAD)
FROM_ADULTS = JobFacts(owner=False, here=HALL, origin=ADULTS, age_restricted=True)
EXPIRED = replace(PUBLIC, stored=False, origin=None)

TABLE = [
    # Posting the source for all: the owner, where the readers of the channel may see it.
    (AccessRule.PUBLISH, MINE, YES),
    (AccessRule.PUBLISH, MINE_PRIVATE, YES),
    (AccessRule.PUBLISH, PUBLIC, OTHERS),
    (AccessRule.PUBLISH, PRIVATE, GONE),
    (AccessRule.PUBLISH, replace(MINE, stored=False, origin=None), GONE),
    (AccessRule.PUBLISH, replace(MINE, sources_here=False), Decision.ELSEWHERE),
    (AccessRule.PUBLISH, replace(PUBLIC, sources_here=False), OTHERS),
    (AccessRule.PUBLISH, replace(PRIVATE, sources_here=False), GONE),
    # The result of a public job: the readers of its channel.
    (RESULT, PUBLIC, YES),
    (RESULT, MINE, YES),
    (RESULT, ELSEWHERE, YES),
    (RESULT, replace(ELSEWHERE, origin=None), GONE),
    (RESULT, replace(ELSEWHERE, origin=HIDDEN), GONE),
    (RESULT, replace(ELSEWHERE, origin=HIDDEN_AS_MODERATOR), GONE),
    (RESULT, replace(ELSEWHERE, origin=NO_HISTORY), GONE),
    (RESULT, replace(ELSEWHERE, origin=HIDDEN, owner=True), YES),
    (RESULT, replace(ELSEWHERE, origin=None, owner=True), YES),
    (RESULT, EXPIRED, GONE),
    (RESULT, replace(EXPIRED, owner=True), GONE),
    # Private threads: members and Manage Threads, whatever the parent channel allows.
    (RESULT, FROM_THREAD, GONE),
    (RESULT, replace(FROM_THREAD, origin=PRIVATE_THREAD_AS_MEMBER), YES),
    (RESULT, replace(FROM_THREAD, origin=PRIVATE_THREAD_AS_MODERATOR), YES),
    (RESULT, replace(FROM_THREAD, origin=PRIVATE_THREAD_WITH_MANAGE_MESSAGES), GONE),
    (RESULT, replace(FROM_THREAD, origin=HIDDEN_THREAD_AS_MEMBER), GONE),
    (RESULT, replace(FROM_THREAD, owner=True), YES),
    # Private jobs: the owner only, also for moderators.
    (RESULT, PRIVATE, GONE),
    (RESULT, replace(PRIVATE, here=HALL_AS_MODERATOR, origin=HALL_AS_MODERATOR), GONE),
    (RESULT, MINE_PRIVATE, YES),
    (SOURCE, PRIVATE, GONE),
    (SOURCE, MINE_PRIVATE, YES),
    (MODERATE, replace(PRIVATE, here=HALL_AS_MODERATOR, origin=HALL_AS_MODERATOR), GONE),
    (MODERATE, MINE_PRIVATE, YES),
    (OWNER, PRIVATE, GONE),
    (OWNER, MINE_PRIVATE, YES),
    # The source: also the readers of the channel that it was taken from.
    (SOURCE, PUBLIC, YES),
    (SOURCE, replace(PUBLIC, sources=(POSTS,)), YES),
    (SOURCE, replace(PUBLIC, sources=(HIDDEN,)), GONE),
    (RESULT, replace(PUBLIC, sources=(HIDDEN,)), YES),
    (SOURCE, replace(PUBLIC, sources=(PRIVATE_THREAD,)), GONE),
    (SOURCE, replace(PUBLIC, sources=(PRIVATE_THREAD_AS_MEMBER,)), YES),
    (SOURCE, replace(PUBLIC, sources_known=False), GONE),
    (RESULT, replace(PUBLIC, sources_known=False), YES),
    (SOURCE, replace(MINE, sources=(HIDDEN,)), YES),
    (SOURCE, replace(MINE, sources_known=False), YES),
    (SOURCE, replace(PUBLIC, sources=(ADULTS,)), ADULT),
    (SOURCE, replace(PUBLIC, here=OTHER_ADULTS, sources=(ADULTS,)), YES),
    # Several sources: all of their channels count.
    (SOURCE, replace(PUBLIC, sources=(POSTS, PRIVATE_THREAD_AS_MEMBER)), YES),
    (SOURCE, replace(PUBLIC, sources=(POSTS, HIDDEN)), GONE),
    (SOURCE, replace(PUBLIC, sources=(ADULTS, HIDDEN)), GONE),
    (SOURCE, replace(PUBLIC, sources=(POSTS, ADULTS)), ADULT),
    (SOURCE, replace(ELSEWHERE, origin=HIDDEN), GONE),
    (SOURCE, EXPIRED, GONE),
    # Age-restricted channels: pictures stay in such channels, also for the owner.
    (RESULT, FROM_ADULTS, ADULT),
    (RESULT, replace(FROM_ADULTS, owner=True), ADULT),
    (RESULT, replace(FROM_ADULTS, here=ADULTS), YES),
    (RESULT, replace(FROM_ADULTS, here=OTHER_ADULTS), YES),
    (RESULT, replace(FROM_ADULTS, here=DIRECT), ADULT),
    (RESULT, replace(FROM_ADULTS, origin=HIDDEN_ADULTS), GONE),
    (RESULT, replace(FROM_ADULTS, age_restricted=False), ADULT),
    (RESULT, replace(FROM_ADULTS, origin=None, owner=True), ADULT),
    (RESULT, replace(FROM_ADULTS, origin=HALL, here=HALL), YES),
    (SOURCE, FROM_ADULTS, ADULT),
    (MODERATE, replace(FROM_ADULTS, owner=True), YES),
    (RESULT, replace(PUBLIC, here=ADULTS, origin=POSTS), YES),
    # Cancel and delete: the owner, and moderators of the job's own channel.
    (MODERATE, PUBLIC, OTHERS),
    (MODERATE, MINE, YES),
    (MODERATE, replace(PUBLIC, here=HALL_AS_MODERATOR, origin=HALL_AS_MODERATOR), YES),
    (MODERATE, replace(PUBLIC, here=POSTS_AS_MODERATOR), OTHERS),
    (MODERATE, replace(PUBLIC, here=POSTS, origin=HALL_AS_MODERATOR), YES),
    (MODERATE, replace(ELSEWHERE, origin=HIDDEN_AS_MODERATOR), GONE),
    (MODERATE, replace(ELSEWHERE, origin=None, here=POSTS_AS_MODERATOR), GONE),
    (MODERATE, replace(FROM_THREAD, origin=PRIVATE_THREAD_WITH_MANAGE_MESSAGES), GONE),
    (MODERATE, replace(FROM_THREAD, origin=PRIVATE_THREAD_AS_MODERATOR), YES),
    (MODERATE, replace(ELSEWHERE, origin=None, owner=True), YES),
    # After the retention time only the message is left.
    (MODERATE, EXPIRED, GONE),
    (MODERATE, replace(EXPIRED, owner=True), YES),
    (MODERATE, replace(EXPIRED, here=HALL_AS_MODERATOR), YES),
    (MODERATE, replace(EXPIRED, here=DIRECT_WITH_ALL_PERMISSIONS), GONE),
    # Share: the owner only.
    (OWNER, PUBLIC, OTHERS),
    (OWNER, MINE, YES),
    (OWNER, replace(PUBLIC, here=HALL_AS_MODERATOR, origin=HALL_AS_MODERATOR), OTHERS),
    (OWNER, replace(ELSEWHERE, origin=HIDDEN), GONE),
    (OWNER, replace(EXPIRED, owner=True), GONE),
    # The buttons of a message that say nothing about the job: every reader of the message.
    (AccessRule.MESSAGE, PUBLIC, YES),
    (AccessRule.MESSAGE, PRIVATE, YES),
    (AccessRule.MESSAGE, EXPIRED, YES),
    (AccessRule.MESSAGE, replace(FROM_ADULTS, origin=None), YES),
    # Direct messages: the user who acts there is one of its two members.
    (RESULT, replace(PUBLIC, here=DIRECT, origin=DIRECT), YES),
    (RESULT, replace(PUBLIC, here=HALL, origin=None), GONE),
    (MODERATE, replace(PUBLIC, here=DIRECT, origin=DIRECT), OTHERS),
    (
        MODERATE,
        replace(PUBLIC, here=DIRECT_WITH_ALL_PERMISSIONS, origin=DIRECT_WITH_ALL_PERMISSIONS),
        OTHERS,
    ),
]

MESSAGES = [
    # channel of the message, channel of the reply
    (HALL, HALL, YES),
    (HALL, POSTS, YES),
    (HIDDEN, HALL, GONE),
    (HIDDEN_AS_MODERATOR, HALL, GONE),
    (NO_HISTORY, HALL, GONE),
    (None, HALL, GONE),
    (PRIVATE_THREAD, HALL, GONE),
    (PRIVATE_THREAD_AS_MEMBER, HALL, YES),
    (PRIVATE_THREAD_AS_MODERATOR, HALL, YES),
    (HIDDEN_THREAD_AS_MEMBER, HALL, GONE),
    (ADULTS, HALL, ADULT),
    (ADULTS, ADULTS, YES),
    (ADULTS, OTHER_ADULTS, YES),
    (ADULTS, DIRECT, ADULT),
    (HIDDEN_ADULTS, HALL, GONE),
    (HALL, ADULTS, YES),
    (HALL, DIRECT, YES),
    # Discord's two descriptions of one channel may differ.
    (replace(HALL, age_restricted=True), HALL, YES),
]

SHARES = [
    (MINE, POSTS, YES),
    (MINE, HIDDEN, YES),
    (MINE_PRIVATE, POSTS, YES),
    (PUBLIC, POSTS, OTHERS),
    (PRIVATE, POSTS, GONE),
    (replace(PUBLIC, here=HALL_AS_MODERATOR, origin=HALL_AS_MODERATOR), POSTS, OTHERS),
    (replace(MINE, stored=False), POSTS, GONE),
    (replace(FROM_ADULTS, owner=True), POSTS, ADULT),
    (replace(FROM_ADULTS, owner=True), OTHER_ADULTS, YES),
    (replace(FROM_ADULTS, owner=True, origin=None), POSTS, ADULT),
    (replace(FROM_ADULTS, owner=True, age_restricted=False), POSTS, ADULT),
    (replace(FROM_ADULTS, owner=True, here=ADULTS), POSTS, ADULT),
]


def test_the_table_has_at_least_sixty_distinct_rows() -> None:
    assert len(set(TABLE)) == len(TABLE) >= 60


@pytest.mark.parametrize(("rule", "job", "expected"), TABLE)
def test_access_to_a_job(rule: AccessRule, job: JobFacts, expected: Decision) -> None:
    assert decide(rule, job) is expected


@pytest.mark.parametrize(("channel", "here", "expected"), MESSAGES)
def test_access_to_a_message(
    channel: ChannelFacts | None, here: ChannelFacts, expected: Decision
) -> None:
    assert decide_message(channel, here) is expected


@pytest.mark.parametrize(("job", "gallery", "expected"), SHARES)
def test_sharing_in_a_gallery(job: JobFacts, gallery: ChannelFacts, expected: Decision) -> None:
    assert decide_share(job, gallery) is expected
