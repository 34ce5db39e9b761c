"""What moderators do, its entry in the record, and what undoing it restores."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio

from bot.moderation.actions import Moderator, ModeratorActions
from bot.moderation.assessment import hash_of
from bot.moderation.detectors.prompt_rules import InvalidPattern, RuleKind
from bot.moderation.errors import UserBanned, UserTimedOut
from bot.moderation.model import (
    EVERYWHERE,
    Action,
    ActionKind,
    Case,
    CaseState,
    Effect,
    GuildPolicy,
    Subject,
)
from tests.support.moderation.scored import (
    ELSEWHERE,
    GUILD,
    HERE,
    OTHER,
    OTHER_GUILD,
    PICTURE,
    ROLE,
    USER,
    ModerationFixture,
    refused,
)

BY = Moderator(GUILD, 99)


@dataclass
class Acting:
    """The actions of moderators. `told` are those that the log posts by themselves."""

    opened: ModerationFixture
    told: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        moderation = self.opened.moderation
        self.actions = ModeratorActions(
            moderation.lists,
            moderation.cases,
            on_action=self.told.append,
            clock=lambda: self.opened.now[0],
        )

    async def case(self, job_id: str = "job") -> Case:
        """A report of `PICTURE`, which was made for `USER`."""
        case, _ = await self.opened.moderation.report(
            HERE, 1, job_id=job_id, user_id=USER, prompt="x", sources=[], results=[PICTURE]
        )
        return case

    async def state(self, case: Case) -> CaseState:
        """The present state of a case."""
        found = await self.opened.moderation.cases.case(case.id)
        assert found is not None
        return found.state

    def entry(
        self, kind: ActionKind, target: str, reason: str = "", case: Case | None = None
    ) -> Action:
        """The entry of the record that an action of `BY` must have."""
        return Action(
            guild_id=GUILD,
            kind=kind,
            moderator_id=99,
            target=target,
            reason=reason,
            case_id=case.id if case else None,
            at=self.opened.now[0],
        )


@pytest_asyncio.fixture
async def acting(opened: ModerationFixture) -> Acting:
    return Acting(opened)


@pytest.mark.parametrize(
    ("effect", "seconds", "error"),
    [(Effect.BAN, None, UserBanned), (Effect.TIMEOUT, 60.0, UserTimedOut)],
)
async def test_a_ban_and_a_timeout_are_recorded_told_and_lifted(
    acting: Acting, effect: Effect, seconds: float | None, error: type[Exception]
) -> None:
    users = acting.opened.moderation.users
    await acting.actions.restrict(BY, effect, Subject.USER, USER, reason="spam", seconds=seconds)
    with pytest.raises(error):
        await users.check(HERE, USER, [])
    await users.check(ELSEWHERE, USER, [])
    assert await acting.actions.lift(BY, ActionKind.UNBAN, Subject.USER, USER, "sorry")
    await users.check(HERE, USER, [])
    expected = [
        replace(
            acting.entry(ActionKind(effect), f"user {USER}", "spam"),
            until=None if seconds is None else acting.opened.now[0] + seconds,
        ),
        acting.entry(ActionKind.UNBAN, f"user {USER}", "sorry"),
    ]
    assert await acting.opened.moderation.cases.actions(GUILD) == acting.told == expected
    assert not await acting.actions.lift(BY, ActionKind.UNBAN, Subject.USER, USER)
    assert len(acting.told) == 2


async def test_a_timeout_lasts_for_its_seconds(acting: Acting) -> None:
    await acting.actions.restrict(BY, Effect.TIMEOUT, Subject.ROLE, ROLE, seconds=60.0)
    acting.opened.now[0] += 59.9
    with pytest.raises(UserTimedOut):
        await acting.opened.moderation.users.check(HERE, USER, [ROLE])
    acting.opened.now[0] += 0.1
    await acting.opened.moderation.users.check(HERE, USER, [ROLE])


async def test_taking_a_user_off_the_allow_list_leaves_their_ban(acting: Acting) -> None:
    for effect in (Effect.ALLOW, Effect.BAN):
        await acting.actions.restrict(BY, effect, Subject.USER, USER)
    assert await acting.actions.lift(BY, ActionKind.DISALLOW, Subject.USER, USER)
    with pytest.raises(UserBanned):
        await acting.opened.moderation.users.check(HERE, USER, [])
    assert not await acting.actions.lift(BY, ActionKind.DISALLOW, Subject.USER, USER)
    assert await acting.actions.lift(BY, ActionKind.UNBAN, Subject.USER, USER)


async def test_an_action_about_a_case_handles_it_and_is_not_told_by_itself(acting: Acting) -> None:
    case = await acting.case()
    await acting.actions.restrict(
        BY, Effect.BAN, Subject.USER, case.user_id, reason="again", case=case
    )
    assert await acting.state(case) is CaseState.HANDLED
    assert await acting.opened.moderation.cases.actions_of(case.id) == [
        acting.entry(ActionKind.BAN, f"user {USER}", "again", case)
    ]
    assert acting.told == []


async def test_a_deletion_is_recorded_under_the_job(acting: Acting) -> None:
    report = await acting.case()
    await acting.actions.deleted(BY, report)
    assert await acting.state(report) is CaseState.HANDLED
    assert await acting.opened.moderation.cases.actions_of(report.id) == [
        acting.entry(ActionKind.DELETE, "job job", "reported", report)
    ]
    # It does not come back.
    assert await acting.actions.undo(BY, report) is None


async def test_a_blocked_picture_is_refused_in_its_server_until_that_is_undone(
    acting: Acting,
) -> None:
    moderation, case = acting.opened.moderation, await acting.case()
    assert await acting.actions.block_picture(BY, case)
    assert await refused(moderation, PICTURE, HERE)
    assert not await refused(moderation, PICTURE, ELSEWHERE)
    assert not await refused(moderation, OTHER, HERE)
    undone = await acting.actions.undo(BY, case)
    assert undone is not None
    assert undone.kind is ActionKind.BLOCK_PICTURE
    assert not await refused(moderation, PICTURE, HERE)
    assert await acting.state(case) is CaseState.OPEN
    bits = await hash_of(PICTURE)
    assert bits is not None
    assert await moderation.cases.actions_of(case.id) == [
        acting.entry(ActionKind.BLOCK_PICTURE, bits.hex(), "reported", case),
        acting.entry(ActionKind.UNDO, f"block_picture: {bits.hex()}", "", case),
    ]


async def test_all_reported_pictures_of_a_job_are_blocked_and_unblocked(acting: Acting) -> None:
    moderation = acting.opened.moderation
    case, _ = await moderation.report(
        HERE, 1, job_id="job", user_id=USER, prompt="x", sources=[], results=[PICTURE, OTHER]
    )
    assert await acting.actions.block_picture(BY, case)
    for picture in (PICTURE, OTHER):
        assert await refused(moderation, picture, HERE)
    assert await acting.actions.undo(BY, case) is not None
    for picture in (PICTURE, OTHER):
        assert not await refused(moderation, picture, HERE)


async def test_a_picture_without_a_hash_cannot_be_blocked(acting: Acting) -> None:
    case = await acting.case()
    await acting.opened.moderation.cases.forget(USER)
    stripped = await acting.opened.moderation.cases.case(case.id)
    assert stripped is not None
    assert not await acting.actions.block_picture(BY, stripped)
    assert await acting.state(case) is CaseState.OPEN
    assert await acting.opened.moderation.cases.actions(GUILD) == []


@pytest.mark.parametrize("effect", [Effect.BAN, Effect.TIMEOUT])
async def test_undo_lifts_the_newest_restriction_of_the_case_only(
    acting: Acting, effect: Effect
) -> None:
    case, users = await acting.case(), acting.opened.moderation.users
    other = Effect.TIMEOUT if effect is Effect.BAN else Effect.BAN
    for each in (other, effect):
        seconds = 60.0 if each is Effect.TIMEOUT else None
        await acting.actions.restrict(BY, each, Subject.USER, USER, seconds=seconds, case=case)
    undone = await acting.actions.undo(BY, case)
    assert undone is not None
    assert undone.kind is ActionKind(effect)
    with pytest.raises(UserBanned if other is Effect.BAN else UserTimedOut):
        await users.check(HERE, USER, [])
    undone = await acting.actions.undo(BY, case)
    assert undone is not None
    assert undone.kind is ActionKind(other)
    await users.check(HERE, USER, [])
    assert await acting.actions.undo(BY, case) is None
    done = await acting.opened.moderation.cases.actions_of(case.id)
    assert [each.target for each in done[2:]] == [f"{effect}: user {USER}", f"{other}: user {USER}"]


async def test_undo_lifts_what_the_case_did_not_what_was_done_elsewhere(acting: Acting) -> None:
    first, second = await acting.case("one"), await acting.case("another")
    await acting.actions.restrict(BY, Effect.BAN, Subject.USER, USER, case=first)
    assert await acting.actions.undo(BY, second) is None
    with pytest.raises(UserBanned):
        await acting.opened.moderation.users.check(HERE, USER, [])


async def test_a_dismissed_case_is_closed_until_that_is_undone(acting: Acting) -> None:
    case = await acting.case()
    await acting.actions.dismiss(BY, case)
    assert await acting.state(case) is CaseState.DISMISSED
    assert await acting.actions.undo(BY, case) is not None
    assert await acting.state(case) is CaseState.OPEN
    kinds = [
        (each.kind, each.target) for each in await acting.opened.moderation.cases.actions(GUILD)
    ]
    assert kinds == [
        (ActionKind.DISMISS, f"case {case.id}"),
        (ActionKind.UNDO, f"dismiss: case {case.id}"),
    ]


async def test_rules_are_added_once_and_removed_in_their_server(acting: Acting) -> None:
    actions, lists = acting.actions, acting.opened.moderation.lists
    assert await actions.add_rule(BY, RuleKind.WORD, "wolf")
    assert not await actions.add_rule(BY, RuleKind.WORD, "wolf")
    assert await actions.add_rule(BY, RuleKind.REGEX, "wolf")
    (word, regex) = await lists.rules(HERE)
    assert not await actions.remove_rule(Moderator(OTHER_GUILD, 98), word.id)
    assert await actions.remove_rule(BY, word.id)
    assert await lists.rules(HERE) == [regex]
    with pytest.raises(InvalidPattern):
        await actions.add_rule(BY, RuleKind.REGEX, "(")
    assert acting.told == [
        acting.entry(ActionKind.ADD_RULE, "word wolf"),
        acting.entry(ActionKind.ADD_RULE, "regex wolf"),
        acting.entry(ActionKind.REMOVE_RULE, f"rule {word.id}"),
    ]


async def test_a_policy_is_recorded_only_if_it_changes(acting: Acting) -> None:
    lists = acting.opened.moderation.lists
    for _ in range(2):
        await acting.actions.change_policy(BY, threshold=0.1)
    await acting.actions.change_policy(BY, slow_mode_seconds=5)
    policy = await lists.policy(GUILD)
    assert policy == GuildPolicy(guild_id=GUILD, threshold=0.1, slow_mode_seconds=5)
    assert await lists.policy(OTHER_GUILD) == GuildPolicy(guild_id=OTHER_GUILD)
    before = GuildPolicy(guild_id=GUILD, threshold=0.1)
    assert acting.told == [
        acting.entry(ActionKind.SET_POLICY, str(before)),
        acting.entry(ActionKind.SET_POLICY, str(policy)),
    ]


async def test_the_operators_actions_hold_everywhere_and_are_recorded_there(
    acting: Acting,
) -> None:
    operator = Moderator(EVERYWHERE, 1)
    await acting.actions.restrict(operator, Effect.BAN, Subject.USER, USER)
    for place in (HERE, ELSEWHERE):
        with pytest.raises(UserBanned):
            await acting.opened.moderation.users.check(place, USER, [])
    assert not await acting.actions.lift(BY, ActionKind.UNBAN, Subject.USER, USER)
    assert await acting.opened.moderation.cases.actions(GUILD) == []
    (action,) = await acting.opened.moderation.cases.actions(EVERYWHERE)
    assert (action.guild_id, action.moderator_id) == (EVERYWHERE, 1)
