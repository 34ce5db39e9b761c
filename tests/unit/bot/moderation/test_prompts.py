"""Prompt rules in requests: where they hold, and what the user and the moderators learn."""

from __future__ import annotations

import re

import pytest

from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.errors import (
    ChecksUnavailable,
    PromptRefused,
)
from bot.moderation.model import (
    EVERYWHERE,
    CaseKind,
    GuildPolicy,
)
from tests.support.moderation.scored import (
    DIRECT,
    ELSEWHERE,
    GUILD,
    HERE,
    USER,
    ModerationFixture,
)


async def test_rules_hold_in_their_server_and_the_operators_everywhere(
    opened: ModerationFixture,
) -> None:
    lists = opened.moderation.lists
    await lists.add_rule(GUILD, RuleKind.WORD, "fox")
    await lists.add_rule(EVERYWHERE, RuleKind.REGEX, r"\bwol(f|ves)\b")
    for place, words in ((HERE, ["fox", "wolves"]), (ELSEWHERE, ["wolf"]), (DIRECT, ["wolf"])):
        for word in ("fox", "wolf", "wolves", "cat"):
            texts = ["a cat", f"one {word}"]
            if word in words or word.startswith("wol"):
                with pytest.raises(PromptRefused):
                    await opened.moderation.check_prompt(place, USER, "a cat", texts)
            else:
                await opened.moderation.check_prompt(place, USER, "a cat", texts)


async def test_a_refused_prompt_is_a_case_and_its_sentence_names_no_rule(
    opened: ModerationFixture,
) -> None:
    await opened.moderation.lists.add_rule(GUILD, RuleKind.WORD, "fox")
    with pytest.raises(PromptRefused) as caught:
        await opened.moderation.check_prompt(HERE, USER, "a fox", ["a fox"])
    ((case, pictures),) = opened.heard
    assert (case.kind, case.user_id, case.prompt, case.reason) == (
        CaseKind.PROMPT,
        USER,
        "a fox",
        "rule 1",
    )
    assert not pictures
    assert "fox" not in str(caught.value)
    assert not re.search(r"rule|\d", str(caught.value))


async def test_an_appeal_is_offered_only_where_moderators_would_see_it(
    opened: ModerationFixture,
) -> None:
    await opened.moderation.lists.add_rule(GUILD, RuleKind.WORD, "fox")
    with pytest.raises(PromptRefused) as caught:
        await opened.moderation.check_prompt(HERE, USER, "a fox", ["a fox"])
    assert caught.value.case_id is None
    await opened.moderation.lists.set_policy(GuildPolicy(guild_id=GUILD, log_channel_id=77))
    with pytest.raises(PromptRefused) as caught:
        await opened.moderation.check_prompt(HERE, USER, "a fox", ["a fox"])
    assert caught.value.case_id == opened.heard[-1][0].id


async def test_a_rule_that_does_not_end_refuses_and_is_named_in_the_log(
    opened: ModerationFixture, caplog: pytest.LogCaptureFixture
) -> None:
    await opened.moderation.lists.add_rule(EVERYWHERE, RuleKind.WORD, "fox")
    await opened.moderation.lists.add_rule(GUILD, RuleKind.REGEX, r"(?:(?:a|a)+)+$")
    with pytest.raises(ChecksUnavailable):
        await opened.moderation.check_prompt(HERE, USER, "", ["a" * 200 + "!"])
    assert f"prompt rule 2 of server {GUILD} does not end" in caplog.text
