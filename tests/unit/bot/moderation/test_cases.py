"""The moderation record: what becomes a case, and what stays of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.moderation.assessment import hash_of
from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.errors import (
    PictureRefused,
    PromptRefused,
)
from bot.moderation.model import (
    CaseKind,
    CaseState,
    GuildPolicy,
)
from tests.support.moderation.scored import (
    GUILD,
    HERE,
    OTHER,
    OTHER_GUILD,
    PICTURE,
    USER,
    ModerationFixture,
    refused,
)


async def test_refused_sources_and_results_are_cases_with_their_pictures(
    opened: ModerationFixture,
) -> None:
    opened.classifier.score_of = lambda each: 0.9 if each is OTHER else 0.0
    with pytest.raises(PictureRefused):
        await opened.moderation.check_source(HERE, USER, "a fox", OTHER)
    with pytest.raises(PictureRefused):
        await opened.moderation.check_result(
            HERE, USER, "a fox", "job", sources=[PICTURE], result=OTHER
        )
    (source, source_pictures), (result, result_pictures) = opened.heard
    assert (source.kind, source.score, source.reason) == (CaseKind.SOURCE, 0.9, "score")
    assert (result.kind, result.job_id) == (CaseKind.RESULT, "job")
    assert source_pictures == (OTHER,)
    assert result_pictures == (PICTURE, OTHER)
    assert source.bits == result.bits == await hash_of(OTHER)


async def test_every_picture_is_listed_only_if_the_server_wants_it(
    opened: ModerationFixture,
) -> None:
    await opened.moderation.check_result(HERE, USER, "x", "job", sources=[OTHER], result=PICTURE)
    assert not opened.heard
    await opened.moderation.lists.set_policy(GuildPolicy(guild_id=GUILD, log_pictures=True))
    await opened.moderation.check_result(HERE, USER, "x", "job", sources=[OTHER], result=PICTURE)
    assert [case.kind for case, _ in opened.heard] == [CaseKind.PICTURE]


async def test_reports_of_one_picture_are_one_case_until_it_is_closed(
    opened: ModerationFixture,
) -> None:
    async def report(reporter: int, job: str = "job") -> tuple[int, int, bool]:
        case, new = await opened.moderation.report(
            HERE, reporter, job_id=job, user_id=USER, prompt="x", sources=[], results=[PICTURE]
        )
        return case.id, case.reports, new

    assert await report(1) == (1, 1, True)
    assert await report(1) == (1, 1, False)
    assert await report(2) == (1, 2, True)
    assert (await report(1, "other"))[0] == 2
    await opened.moderation.cases.close(1, CaseState.DISMISSED)
    assert await report(2) == (3, 1, True)
    assert [case.id for case, _ in opened.heard] == [1, 2, 3]


async def test_a_user_can_appeal_their_own_case_once_a_day(opened: ModerationFixture) -> None:
    opened.classifier.score_of = lambda _picture: 0.9
    for picture in (PICTURE, OTHER):
        assert await refused(opened.moderation, picture, HERE)
    cases = opened.moderation.cases
    assert not await cases.appeal(1, USER + 1, opened.now[0])
    assert await cases.appeal(1, USER, opened.now[0])
    assert not await cases.appeal(2, USER, opened.now[0] + 3600)
    assert await cases.appeal(2, USER, opened.now[0] + 25 * 3600)


@pytest.mark.parametrize("how", ["retention", "erasure"])
async def test_contents_of_cases_are_removed_and_what_happened_stays(
    opened: ModerationFixture, how: str
) -> None:
    opened.classifier.score_of = lambda _picture: 0.9
    assert await refused(opened.moderation, PICTURE, HERE)
    cases = opened.moderation.cases
    await cases.logged(1, 77, 78)
    await cases.expire(opened.now[0] - 1)
    await cases.forget(USER + 1)
    assert not await cases.to_strip()
    if how == "retention":
        await cases.expire(opened.now[0] + 1)
    else:
        await cases.forget(USER)
    (case,) = await cases.to_strip()
    assert (case.prompt, case.bits) == (None, None)
    assert (case.user_id, case.reason, case.score, case.log_message_id) == (USER, "score", 0.9, 78)
    await cases.stripped(1)
    assert not await cases.to_strip()


@pytest.mark.parametrize("how", ["retention", "server's retention", "erasure"])
async def test_a_removed_prompt_leaves_no_byte_in_the_database(
    opened: ModerationFixture, tmp_path: Path, how: str
) -> None:
    cases, now = opened.moderation.cases, opened.now[0]
    await opened.moderation.lists.add_rule(GUILD, RuleKind.WORD, "fox")
    with pytest.raises(PromptRefused):
        await opened.moderation.check_prompt(HERE, USER, "a very personal fox", ["a fox"])

    def stored() -> bool:
        files = [path for path in tmp_path.iterdir() if path.is_file()]
        return any(b"very personal" in path.read_bytes() for path in files)

    assert stored()
    match how:
        case "retention":
            await cases.expire(now)
            assert stored(), "a case of that moment is kept"
            await cases.expire(now + 1)
        case "server's retention":
            await cases.expire(now + 1, OTHER_GUILD)
            assert stored()
            await cases.expire(now + 1, GUILD)
        case "erasure":
            await cases.forget(USER)
    assert not stored()


async def test_the_newest_refusal_of_a_job_is_found(opened: ModerationFixture) -> None:
    assert await opened.moderation.cases.of_job("job") is None
    await opened.moderation.report(
        HERE, 1, job_id="job", user_id=USER, prompt="x", sources=[], results=[PICTURE]
    )
    assert await opened.moderation.cases.of_job("job") is None, "a report is no refusal"
    opened.classifier.score_of = lambda _picture: 0.9
    for _ in range(2):
        with pytest.raises(PictureRefused):
            await opened.moderation.check_result(
                HERE, USER, "a fox", "job", sources=[], result=OTHER
            )
    newest = await opened.moderation.cases.of_job("job")
    assert newest is not None
    assert (newest.id, newest.kind) == (3, CaseKind.RESULT)
    assert [case.id for case in await opened.moderation.cases.cases(GUILD)] == [1, 2, 3]
    assert [case.id for case in await opened.moderation.cases.of_user(USER)] == [1, 2, 3]
    assert await opened.moderation.cases.case(4) is None


async def test_an_appeal_is_accepted_again_after_exactly_a_day(opened: ModerationFixture) -> None:
    opened.classifier.score_of = lambda _picture: 0.9
    assert await refused(opened.moderation, PICTURE, HERE)
    cases, now = opened.moderation.cases, opened.now[0]
    await cases.close(1, CaseState.DISMISSED)
    assert await cases.appeal(1, USER, now)
    case = await cases.case(1)
    assert case is not None
    assert case.state is CaseState.OPEN
    assert not await cases.appeal(1, USER, now + 24 * 3600 - 1)
    assert await cases.appeal(1, USER, now + 24 * 3600)
