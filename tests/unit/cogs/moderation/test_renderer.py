"""The moderation log's messages fit into what Discord accepts."""

from __future__ import annotations

import discord

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
