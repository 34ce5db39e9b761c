"""Bans, allow lists, timeouts and slow mode, over a real database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.errors import (
    ModerationRefusal,
    PromptRefused,
    ServerBanned,
    SlowMode,
    UserBanned,
    UserNotAllowed,
    UserTimedOut,
)
from bot.moderation.model import (
    EVERYWHERE,
    CaseKind,
    Effect,
    GuildPolicy,
    Place,
    Subject,
)
from tests.support.moderation.scored import (
    ADULT,
    DIRECT,
    ELSEWHERE,
    GUILD,
    HERE,
    OTHER_GUILD,
    ROLE,
    USER,
    ModerationFixture,
    entry,
    open_moderation,
)


@pytest.mark.parametrize("subject", [Subject.USER, Subject.ROLE])
@pytest.mark.parametrize(
    ("guild", "banned_in"), [(GUILD, [HERE, ADULT]), (EVERYWHERE, [HERE, ADULT, ELSEWHERE, DIRECT])]
)
async def test_a_ban_of_a_user_or_role_holds_where_it_was_made(
    opened: ModerationFixture, subject: Subject, guild: int, banned_in: list[Place]
) -> None:
    await opened.moderation.lists.restrict(entry(Effect.BAN, subject, guild))
    for place in (HERE, ADULT, ELSEWHERE, DIRECT):
        await opened.moderation.users.check(place, USER + 1, [])
        if place in banned_in:
            with pytest.raises(UserBanned):
                await opened.moderation.users.check(place, USER, [ROLE])
        else:
            await opened.moderation.users.check(place, USER, [ROLE])


async def test_lifting_a_ban_ends_it(opened: ModerationFixture) -> None:
    lists = opened.moderation.lists
    await lists.restrict(entry(Effect.BAN))
    assert await lists.lift(GUILD, Subject.USER, USER, Effect.BAN, Effect.TIMEOUT)
    await opened.moderation.users.check(HERE, USER, [])
    assert not await lists.lift(GUILD, Subject.USER, USER, Effect.BAN)


async def test_a_timeout_ends_by_itself(opened: ModerationFixture) -> None:
    until = opened.now[0] + 60
    await opened.moderation.lists.restrict(replace(entry(Effect.TIMEOUT), until=until))
    with pytest.raises(UserTimedOut, match=f"<t:{int(until)}:R>"):
        await opened.moderation.users.check(HERE, USER, [])
    opened.now[0] += 61
    await opened.moderation.users.check(HERE, USER, [])


async def test_a_timeout_may_be_appealed_and_a_missing_place_on_an_allow_list_may_not(
    opened: ModerationFixture,
) -> None:
    users, lists = opened.moderation.users, opened.moderation.lists
    await lists.set_policy(GuildPolicy(guild_id=GUILD, log_channel_id=77))
    await lists.restrict(entry(Effect.ALLOW, Subject.ROLE))
    await lists.restrict(replace(entry(Effect.TIMEOUT), until=opened.now[0] + 60))
    with pytest.raises(UserTimedOut) as timeout:
        await users.check(HERE, USER, [ROLE])
    with pytest.raises(UserNotAllowed) as missing:
        await users.check(HERE, USER + 1, [])
    assert (timeout.value.case_id, missing.value.case_id) == (1, None)
    assert [case.reason for case, _ in opened.heard] == ["timed out", "not on the allow list"]


@pytest.mark.parametrize("subject", [Subject.USER, Subject.ROLE])
async def test_an_allow_list_excludes_everybody_else_in_its_server(
    opened: ModerationFixture, subject: Subject
) -> None:
    await opened.moderation.lists.restrict(entry(Effect.ALLOW, subject))
    await opened.moderation.users.check(HERE, USER, [ROLE])
    await opened.moderation.users.check(ELSEWHERE, USER + 1, [])
    with pytest.raises(UserNotAllowed):
        await opened.moderation.users.check(HERE, USER + 1, [ROLE + 1])


async def test_a_banned_user_on_an_allow_list_is_banned(opened: ModerationFixture) -> None:
    await opened.moderation.lists.restrict(entry(Effect.ALLOW, Subject.ROLE))
    await opened.moderation.lists.restrict(entry(Effect.BAN))
    with pytest.raises(UserBanned):
        await opened.moderation.users.check(HERE, USER, [ROLE])


async def test_slow_mode_counts_per_user_and_server(opened: ModerationFixture) -> None:
    await opened.moderation.lists.set_policy(GuildPolicy(guild_id=GUILD, slow_mode_seconds=30))
    # A request that is not accepted starts no wait.
    for _ in range(2):
        await opened.moderation.users.check(HERE, USER, [])
    await opened.accept(HERE, USER)
    await opened.moderation.users.check(HERE, USER + 1, [])
    await opened.moderation.users.check(ELSEWHERE, USER, [])
    opened.now[0] += 10
    with pytest.raises(SlowMode, match="21 s"):
        await opened.moderation.users.check(HERE, USER, [])
    opened.now[0] += 21
    await opened.moderation.users.check(HERE, USER, [])


async def test_the_longer_of_slow_mode_and_cool_down_counts(opened: ModerationFixture) -> None:
    await opened.moderation.lists.set_policy(GuildPolicy(guild_id=GUILD, slow_mode_seconds=30))
    await opened.accept(HERE, USER)
    for cooldown, wait in ((10, "31 s"), (60, "61 s")):
        with pytest.raises(SlowMode, match=wait):
            await opened.moderation.users.check(HERE, USER, [], cooldown_seconds=cooldown)


async def test_the_operator_bans_a_whole_server(opened: ModerationFixture) -> None:
    server = replace(entry(Effect.BAN, Subject.SERVER, EVERYWHERE), subject_id=GUILD)
    await opened.moderation.lists.restrict(server)
    for place in (HERE, ADULT):
        with pytest.raises(ServerBanned):
            await opened.moderation.users.check(place, USER, [])
    for place in (ELSEWHERE, DIRECT):
        await opened.moderation.users.check(place, USER, [])


async def test_refusals_of_users_are_listed_once_an_hour_where_there_is_a_log(
    opened: ModerationFixture,
) -> None:
    users, lists = opened.moderation.users, opened.moderation.lists
    await lists.restrict(entry(Effect.BAN))
    for guild in (GUILD, OTHER_GUILD):
        await lists.set_policy(
            GuildPolicy(
                guild_id=guild,
                log_channel_id=77 if guild == GUILD else None,
                slow_mode_seconds=30,
            )
        )

    async def ask(user: int, place: Place = HERE) -> int | None:
        try:
            await users.check(place, user, [])
        except ModerationRefusal as refusal:
            return refusal.case_id
        return None

    await opened.accept(HERE, USER + 1)
    # A ban may be appealed, at any of the refusals.
    assert [await ask(USER) for _ in range(3)] == [1, 1, 1]
    assert [await ask(USER + 1) for _ in range(3)] == [None, None, None]
    assert [await ask(USER, ELSEWHERE) for _ in range(2)] == [None, None]
    listed = [(case.kind, case.user_id, case.reason) for case, _ in opened.heard]
    assert listed == [
        (CaseKind.USER, USER, "banned"),
        (CaseKind.USER, USER + 1, "slow mode"),
    ]
    opened.now[0] += 3601
    assert await ask(USER) == 3
    assert len(opened.heard) == 3


async def test_lists_and_policies_survive_a_restart(tmp_path: Path) -> None:
    async with open_moderation(tmp_path) as first:
        await first.moderation.lists.restrict(entry(Effect.BAN))
        await first.moderation.lists.add_rule(GUILD, RuleKind.WORD, "fox")
        await first.moderation.lists.set_policy(
            GuildPolicy(guild_id=GUILD, log_channel_id=77, threshold=0.1, log_pictures=True)
        )
    async with open_moderation(tmp_path) as second:
        with pytest.raises(UserBanned):
            await second.moderation.users.check(HERE, USER, [])
        with pytest.raises(PromptRefused):
            await second.moderation.check_prompt(HERE, USER, "a fox", ["a fox"])
        policy = await second.moderation.lists.policy(GUILD)
        assert (policy.log_channel_id, policy.threshold, policy.log_pictures) == (77, 0.1, True)
