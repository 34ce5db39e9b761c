"""The access policy for any user, channel and job."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from cogs.shared.access import (
    AccessRule,
    ChannelFacts,
    Decision,
    JobFacts,
    decide,
    decide_message,
    decide_share,
)

flag = st.booleans()


def channels(**fixed: st.SearchStrategy[object]) -> st.SearchStrategy[ChannelFacts]:
    """Channels with few ids, so that two of them are often the same."""
    names = ("view_channel", "read_message_history", "manage_messages", "manage_threads")
    more = ("private_thread", "thread_member", "age_restricted")
    fields: dict[str, st.SearchStrategy[object]] = dict.fromkeys((*names, *more), flag) | fixed
    return st.builds(
        ChannelFacts, id=st.integers(1, 3), guild_id=st.sampled_from([None, 7]), **fields
    )


jobs = st.builds(
    JobFacts,
    owner=flag,
    here=channels(),
    origin=st.none() | channels(),
    sources=st.lists(channels(), max_size=2).map(tuple),
    sources_known=flag,
    sources_here=flag,
    stored=flag,
    private=flag,
    age_restricted=flag,
)
rules = st.sampled_from(AccessRule)
# `MESSAGE` is for every user who sees the message.
guarded = st.sampled_from([rule for rule in AccessRule if rule is not AccessRule.MESSAGE])


def readable(channel: ChannelFacts | None) -> bool:
    """As Discord documents the permissions; independent of `ChannelFacts.readable`."""
    if channel is None or not channel.view_channel or not channel.read_message_history:
        return False
    if channel.private_thread:
        return channel.thread_member or channel.manage_threads
    return True


@given(jobs, guarded)
def test_others_neither_use_nor_recognize_a_private_job(job: JobFacts, rule: AccessRule) -> None:
    job = replace(job, owner=False, private=True, stored=True)
    assert decide(rule, job) is Decision.NOT_FOUND


@given(jobs, guarded)
def test_others_neither_use_nor_recognize_a_job_of_a_channel_they_cannot_read(
    job: JobFacts, rule: AccessRule
) -> None:
    assume(not readable(job.origin))
    assert decide(rule, replace(job, owner=False, stored=True)) is Decision.NOT_FOUND


@given(jobs)
def test_only_the_owner_acts_as_the_owner(job: JobFacts) -> None:
    for rule in (AccessRule.OWNER, AccessRule.PUBLISH):
        assert (decide(rule, job) is Decision.ALLOWED) <= (job.owner and job.stored)
    assert (decide(AccessRule.PUBLISH, job) is Decision.ALLOWED) <= job.sources_here


@given(jobs)
def test_the_owner_always_deletes_and_a_moderator_only_in_the_own_channel(job: JobFacts) -> None:
    allowed = decide(AccessRule.OWNER_OR_MODERATOR, job) is Decision.ALLOWED
    place = job.origin if job.stored else job.here
    moderates = place is not None and readable(place) and place.manage_messages
    in_server = place is not None and place.guild_id is not None
    hidden = job.stored and job.private
    assert allowed == (job.owner or (moderates and in_server and not hidden))


@given(jobs, channels(manage_messages=st.just(True)))
def test_a_moderator_of_another_channel_cannot_act_on_a_stored_job(
    job: JobFacts, here: ChannelFacts
) -> None:
    job = replace(job, stored=True)
    rule = AccessRule.OWNER_OR_MODERATOR
    assert decide(rule, replace(job, here=here)) is decide(rule, job)


@given(jobs, st.sampled_from([AccessRule.RESULT, AccessRule.SOURCE]))
def test_an_age_restricted_picture_stays_in_its_channel_or_goes_to_another_such_one(
    job: JobFacts, rule: AccessRule
) -> None:
    restricted = job.age_restricted or (job.origin is not None and job.origin.age_restricted)
    elsewhere = job.origin is None or job.origin.id != job.here.id
    assume(restricted and elsewhere and not job.here.age_restricted)
    assert decide(rule, job) in (Decision.NOT_FOUND, Decision.AGE_RESTRICTED)


@given(jobs)
def test_access_to_the_source_includes_the_result(job: JobFacts) -> None:
    if decide(AccessRule.SOURCE, job) is Decision.ALLOWED:
        assert decide(AccessRule.RESULT, job) is Decision.ALLOWED
        if not job.owner:
            assert job.sources_known
            assert all(readable(source) for source in job.sources)


@given(jobs, rules, st.sampled_from(["view_channel", "read_message_history", "thread_member"]))
def test_a_further_permission_in_the_origin_removes_no_access(
    job: JobFacts, rule: AccessRule, permission: str
) -> None:
    assume(job.origin is not None)
    assert job.origin is not None
    more = replace(job, origin=replace(job.origin, **{permission: True}))
    assert (decide(rule, job) is Decision.ALLOWED) <= (decide(rule, more) is Decision.ALLOWED)


@given(st.none() | channels(), channels())
def test_a_message_link_needs_both_permissions(
    channel: ChannelFacts | None, here: ChannelFacts
) -> None:
    decision = decide_message(channel, here)
    assert (decision is Decision.NOT_FOUND) == (not readable(channel))
    if decision is Decision.ALLOWED:
        assert channel is not None
        assert here.age_restricted or here.id == channel.id or not channel.age_restricted
    elif channel is not None and decision is Decision.AGE_RESTRICTED:
        assert channel.age_restricted
        assert here.id != channel.id


@given(jobs, channels())
def test_only_the_owner_shares_and_nothing_restricted_in_an_ordinary_gallery(
    job: JobFacts, gallery: ChannelFacts
) -> None:
    decision = decide_share(job, gallery)
    restricted = job.age_restricted or (job.origin is not None and job.origin.age_restricted)
    if decision is Decision.ALLOWED:
        assert job.owner
        assert job.stored
        in_place = job.origin is not None and job.origin.id == gallery.id
        assert in_place or gallery.age_restricted or not restricted
    elif job.owner and job.stored:
        assert decision is Decision.AGE_RESTRICTED
        assert restricted
