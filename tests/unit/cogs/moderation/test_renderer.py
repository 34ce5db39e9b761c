"""The moderation log's messages fit into what Discord accepts."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from bot.moderation.model import Action, ActionKind, Case, CaseKind, CaseState
from cogs.moderation.renderer import LogRenderer

# https://discord.com/developers/docs/components/reference#component-limits
TEXT_LIMIT = 4000


def test_an_entry_with_a_long_prompt_and_many_actions_fits_into_a_message() -> None:
    case = Case(
        id=1,
        kind=CaseKind.SOURCE,
        guild_id=10**18,
        channel_id=10**18,
        user_id=10**18,
        job_id="0" * 16,
        reason="blocked picture",
        score=0.9,
        prompt="*" * 4000,
        bits=None,
        state=CaseState.HANDLED,
        reports=0,
        log_channel_id=1,
        log_message_id=2,
        created_at=0.0,
        stripped=False,
    )
    action = Action(
        guild_id=10**18,
        kind=ActionKind.BAN,
        moderator_id=10**18,
        target=f"user {10**18}",
        reason="*" * 400,
        case_id=1,
        at=0.0,
    )
    view = LogRenderer().entry(case, [action] * 20, [], "en-US")
    texts = [i.content for i in view.walk_children() if isinstance(i, discord.ui.TextDisplay)]
    assert sum(map(len, texts)) <= TEXT_LIMIT


def test_links_in_a_rule_are_not_clickable() -> None:
    action = Action(
        guild_id=1,
        kind=ActionKind.ADD_RULE,
        moderator_id=1,
        target="word https://site.example",
        reason="",
        case_id=None,
        at=0.0,
    )
    (text,) = [
        i.content
        for i in LogRenderer().action(action, "en-US").walk_children()
        if isinstance(i, discord.ui.TextDisplay)
    ]
    assert "https://" not in text


def case(**changes: Any) -> Case:
    values: dict[str, Any] = {
        "id": 3,
        "kind": CaseKind.REPORT,
        "guild_id": 1,
        "channel_id": 2,
        "user_id": 4,
        "job_id": "0" * 16,
        "reason": "reported",
        "score": None,
        "prompt": "x",
        "bits": b"x",
        "state": CaseState.OPEN,
        "reports": 1,
        "log_channel_id": None,
        "log_message_id": None,
        "created_at": 0.0,
        "stripped": False,
    }
    return Case(**(values | changes))


def test_an_appeal_links_to_the_entry_if_there_is_one() -> None:
    for entry, link in (
        ({}, ""),
        (
            {"log_channel_id": 5, "log_message_id": 6},
            " https://discord.com/channels/1/5/6",
        ),
    ):
        (text,) = [
            i.content
            for i in LogRenderer().appeal(case(**entry), "en-US").walk_children()
            if isinstance(i, discord.ui.TextDisplay)
        ]
        assert text.rstrip() == f"<@4> appeals case 3.{link}"


@pytest.mark.parametrize(
    ("changes", "buttons"),
    [
        ({}, ["delete", "block", "timeout", "ban", "dismiss"]),
        ({"state": CaseState.HANDLED}, ["delete", "block", "timeout", "ban", "undo"]),
        ({"kind": CaseKind.PICTURE}, ["delete", "block", "timeout", "ban", "dismiss"]),
        ({"kind": CaseKind.SOURCE}, ["block", "timeout", "ban", "dismiss"]),
        ({"kind": CaseKind.PROMPT, "bits": None}, ["timeout", "ban", "dismiss"]),
    ],
)
def test_an_entry_has_the_buttons_that_make_sense(
    changes: dict[str, Any], buttons: list[str]
) -> None:
    view = LogRenderer().entry(case(**changes), [], [], "en-US")
    shown = [i for i in view.walk_children() if isinstance(i, discord.ui.Button)]
    assert [i.custom_id for i in shown] == [f"redraw:case:{each}:3" for each in buttons]
    danger = [i.custom_id for i in shown if i.style is discord.ButtonStyle.danger]
    assert danger == [f"redraw:case:{each}:3" for each in buttons if each in ("delete", "ban")]


def test_an_entry_shows_the_newest_five_actions() -> None:
    actions = [
        Action(
            guild_id=1,
            kind=ActionKind.BAN,
            moderator_id=9,
            target=f"user {number}",
            reason="",
            case_id=3,
            at=0.0,
        )
        for number in range(7)
    ]
    view = LogRenderer().entry(case(), actions, [], "en-US")
    texts = [i.content for i in view.walk_children() if isinstance(i, discord.ui.TextDisplay)]
    assert texts[-1].splitlines() == [f"Banned: <@{number}>, by <@9>" for number in range(2, 7)]
