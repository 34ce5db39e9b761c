"""What the moderation log's messages look like."""

from __future__ import annotations

from collections.abc import Sequence

import discord

from bot.i18n.translate import translate
from bot.moderation.model import Action, ActionKind, Case, CaseKind, CaseState
from cogs.moderation._case_buttons import CaseAction, case_button
from cogs.shared.text import plain

# All texts of a message together have at most 4,000 characters.
# https://discord.com/developers/docs/components/reference#component-limits
PROMPT_CHARACTERS = 1500
TARGET_CHARACTERS = 300
REASON_CHARACTERS = 200
# The newest actions of a case are shown; the export holds all of them.
SHOWN_ACTIONS = 5
COLOURS = {
    CaseState.OPEN: discord.Colour.orange(),
    CaseState.DISMISSED: discord.Colour.dark_grey(),
    CaseState.HANDLED: discord.Colour.dark_red(),
}


class LogRenderer:
    """Builds the log's messages in the server's language."""

    def entry(
        self, case: Case, actions: Sequence[Action], filenames: Sequence[str], locale: str
    ) -> discord.ui.LayoutView:
        """A case with its thumbnails as spoilers, what was done about it, and its buttons."""
        lines = [
            translate(
                locale,
                f"moderation.case.{case.kind}",
                number=case.id,
                user=f"<@{case.user_id}>",
                channel=f"<#{case.channel_id}>",
                when=f"<t:{int(case.created_at)}:R>",
            )
        ]
        if case.kind is CaseKind.REPORT:
            lines.append(translate(locale, "moderation.case.reports", count=case.reports))
        elif case.reason:
            score = "" if case.score is None else f" · {case.score:.2f}"
            lines.append(f"-# {case.reason}{score}")
        if case.job_id:
            lines.append(f"-# {case.job_id}")
        container = discord.ui.Container[discord.ui.LayoutView](accent_colour=COLOURS[case.state])
        container.add_item(discord.ui.TextDisplay("\n".join(lines)))
        if case.prompt:
            prompt = plain(case.prompt, PROMPT_CHARACTERS)
            container.add_item(discord.ui.TextDisplay(f">>> {prompt}"))
        if filenames:
            gallery = discord.ui.MediaGallery[discord.ui.LayoutView]()
            for name in filenames:
                gallery.add_item(media=f"attachment://{name}", spoiler=True)
            container.add_item(gallery)
        if actions:
            done = "\n".join(_line(action, locale) for action in actions[-SHOWN_ACTIONS:])
            container.add_item(discord.ui.TextDisplay(done))
        row = discord.ui.ActionRow[discord.ui.LayoutView]()
        for kind in _offered(case):
            row.add_item(case_button(kind, case, locale))
        container.add_item(row)
        return _view(container)

    def action(self, action: Action, locale: str) -> discord.ui.LayoutView:
        """What a moderator did with a command."""
        container = discord.ui.Container[discord.ui.LayoutView]()
        container.add_item(discord.ui.TextDisplay(_line(action, locale)))
        return _view(container)

    def appeal(self, case: Case, locale: str) -> discord.ui.LayoutView:
        """An appeal, with a link to the case's entry."""
        link = ""
        if case.log_message_id is not None:
            link = (
                f"https://discord.com/channels/{case.guild_id}/{case.log_channel_id}"
                f"/{case.log_message_id}"
            )
        text = translate(
            locale,
            "moderation.case.appeal",
            number=case.id,
            user=f"<@{case.user_id}>",
            link=link,
        )
        container = discord.ui.Container[discord.ui.LayoutView](
            accent_colour=COLOURS[CaseState.OPEN]
        )
        container.add_item(discord.ui.TextDisplay(text))
        return _view(container)


def _offered(case: Case) -> list[CaseAction]:
    """The buttons that make sense for a case: at most six in two rows of five."""
    kinds = [CaseAction.TIMEOUT, CaseAction.BAN]
    if case.bits is not None:
        kinds.insert(0, CaseAction.BLOCK)
    if case.kind in (CaseKind.REPORT, CaseKind.PICTURE):
        kinds.insert(0, CaseAction.DELETE)
    kinds.append(CaseAction.DISMISS if case.state is CaseState.OPEN else CaseAction.UNDO)
    return kinds


def _line(action: Action, locale: str) -> str:
    target = plain(action.target, TARGET_CHARACTERS)
    match action.target.split():
        case ["user", user_id]:
            target = f"<@{user_id}>"
        case ["role", role_id]:
            target = f"<@&{role_id}>"
    if action.kind is ActionKind.BLOCK_PICTURE:
        target = target[:12]
    text = translate(
        locale,
        "moderation.log.action",
        action=translate(locale, f"moderation.log.{action.kind}"),
        target=target,
        moderator=f"<@{action.moderator_id}>",
    )
    return f"{text}\n-# {plain(action.reason, REASON_CHARACTERS)}" if action.reason else text


def _view(container: discord.ui.Container[discord.ui.LayoutView]) -> discord.ui.LayoutView:
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(container)
    return view
