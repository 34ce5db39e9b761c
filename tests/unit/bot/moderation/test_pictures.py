"""Pictures in requests, answers and previews; only the scores are scripted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import discord
import pytest
from PIL import ImageOps

from bot.moderation.assessment import PictureAssessor, hash_of
from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.errors import (
    ChecksUnavailable,
    PictureRefused,
    PromptRefused,
    UserBanned,
)
from bot.moderation.job_checks import ModerationChecks
from bot.moderation.model import (
    EVERYWHERE,
    Effect,
    GuildPolicy,
    Place,
)
from bot.store.database import no_failpoint
from bot.store.picture_files import PictureFiles
from inference import Preview
from tests.support.jobs import job
from tests.support.moderation.pictures import as_picture
from tests.support.moderation.scored import (
    ADULT,
    DIRECT,
    ELSEWHERE,
    GUILD,
    HERE,
    OTHER,
    PICTURE,
    USER,
    ModerationFixture,
    entry,
    open_moderation,
    refused,
)
from tests.support.pictures import photo


@pytest.mark.parametrize(
    ("policy", "place", "limit"),
    [
        (None, HERE, 0.2),
        (None, DIRECT, 0.2),
        (None, ADULT, 0.8),
        (GuildPolicy(guild_id=GUILD, threshold=0.1), HERE, 0.1),
        (GuildPolicy(guild_id=GUILD, threshold=0.9), HERE, 0.2),
        (GuildPolicy(guild_id=GUILD, threshold=0.1), ADULT, 0.8),
        (GuildPolicy(guild_id=GUILD, threshold=0.1), ELSEWHERE, 0.2),
        (GuildPolicy(guild_id=GUILD, age_restricted_threshold=1.0), ADULT, 1.0),
        (GuildPolicy(guild_id=GUILD, age_restricted_threshold=0.0), ADULT, 0.0),
        (GuildPolicy(guild_id=GUILD, age_restricted_threshold=1.0), HERE, 0.2),
    ],
)
async def test_the_threshold_depends_on_the_channel_and_the_server(
    opened: ModerationFixture, policy: GuildPolicy | None, place: Place, limit: float
) -> None:
    if policy:
        await opened.moderation.lists.set_policy(policy)
    opened.classifier.score_of = lambda each: limit if each is PICTURE else limit + 0.01
    assert not await refused(opened.moderation, PICTURE, place)
    assert await refused(opened.moderation, OTHER, place)


async def test_a_blocked_picture_is_refused_whatever_was_done_to_it(
    opened: ModerationFixture,
) -> None:
    original = photo(256, 192)
    bits = await hash_of(as_picture(original))
    assert bits is not None
    await opened.moderation.lists.block(GUILD, bits)
    smaller = original.resize((128, 96))
    for copy in (original, smaller, ImageOps.mirror(original), ImageOps.mirror(smaller)):
        assert await refused(opened.moderation, as_picture(copy), HERE)
        assert await refused(opened.moderation, as_picture(copy), ADULT)
        assert not await refused(opened.moderation, as_picture(copy), ELSEWHERE)
    assert not await refused(opened.moderation, OTHER, HERE)


async def test_the_operators_blocklist_holds_everywhere(opened: ModerationFixture) -> None:
    bits = await hash_of(PICTURE)
    assert bits is not None
    await opened.moderation.lists.block(EVERYWHERE, bits)
    for place in (HERE, ELSEWHERE, DIRECT):
        assert await refused(opened.moderation, PICTURE, place)


async def test_a_check_that_cannot_run_refuses_everything(opened: ModerationFixture) -> None:
    opened.classifier.score_of = lambda _picture: None
    await opened.moderation.lists.set_policy(
        GuildPolicy(guild_id=GUILD, age_restricted_threshold=1.0)
    )
    for place in (HERE, ADULT, DIRECT):
        with pytest.raises(ChecksUnavailable):
            await opened.moderation.check_source(place, USER, "a fox", PICTURE)
        with pytest.raises(ChecksUnavailable):
            await opened.moderation.check_result(
                place, USER, "a fox", "job", sources=[OTHER], result=PICTURE
            )
        with pytest.raises(ChecksUnavailable):
            await opened.moderation.check_upload(place, PICTURE)
        assert not await opened.moderation.may_preview(place, [PICTURE], OTHER)


async def test_a_failed_check_is_not_remembered_as_a_pass(opened: ModerationFixture) -> None:
    opened.classifier.score_of = lambda _picture: None
    with pytest.raises(ChecksUnavailable):
        await opened.moderation.check_upload(HERE, PICTURE)
    opened.classifier.score_of = lambda _picture: 0.9
    with pytest.raises(PictureRefused):
        await opened.moderation.check_upload(HERE, PICTURE)


async def test_a_picture_is_scored_once_and_judged_for_each_place(
    opened: ModerationFixture,
) -> None:
    opened.classifier.score_of = lambda _picture: 0.5
    await opened.moderation.check_upload(ADULT, PICTURE)
    with pytest.raises(PictureRefused):
        await opened.moderation.check_upload(HERE, PICTURE)
    assert len(opened.classifier.seen) == 1


async def test_previews_are_withheld_where_source_or_preview_come_near_the_threshold(
    opened: ModerationFixture,
) -> None:
    scores = {PICTURE: 0.0, OTHER: 0.0}
    opened.classifier.score_of = lambda each: scores[each]
    assert await opened.moderation.may_preview(HERE, [PICTURE], OTHER)
    for suspicious in (PICTURE, OTHER):
        opened.moderation._assessor = PictureAssessor(opened.classifier)
        scores.update({PICTURE: 0.0, OTHER: 0.0} | {suspicious: 0.11})
        assert not await opened.moderation.may_preview(HERE, [PICTURE], OTHER)
        assert await opened.moderation.may_preview(ADULT, [PICTURE], OTHER)


async def test_a_preview_is_withheld_because_of_its_structure(
    opened: ModerationFixture, tmp_path: Path
) -> None:
    pictures = PictureFiles(tmp_path / "pictures", no_failpoint)
    checks = ModerationChecks(
        discord.Client(intents=discord.Intents.none()), opened.moderation, pictures
    )
    source, structure = await pictures.put(PICTURE), await pictures.put(OTHER)
    preview = Preview(pixels=bytes(48), width=4, height=4)
    opened.classifier.score_of = lambda each: 0.15 if each == OTHER else 0.0
    plain = job(source)
    assert await checks.may_preview(plain, preview)
    assert await checks.may_preview(replace(plain, mask=structure), preview)
    assert not await checks.may_preview(replace(plain, structure=structure), preview)


async def test_without_a_classifier_pictures_pass_and_rules_and_bans_hold(tmp_path: Path) -> None:
    async with open_moderation(tmp_path, enabled=False) as opened:
        moderation = opened.moderation
        await moderation.check_source(HERE, USER, "a fox", PICTURE)
        await moderation.check_upload(HERE, PICTURE)
        assert await moderation.may_preview(HERE, [PICTURE], OTHER)
        await moderation.lists.add_rule(GUILD, RuleKind.WORD, "fox")
        await moderation.lists.restrict(entry(Effect.BAN))
        with pytest.raises(PromptRefused):
            await moderation.check_prompt(HERE, USER, "a fox", ["a fox"])
        with pytest.raises(UserBanned):
            await moderation.users.check(HERE, USER, [])
