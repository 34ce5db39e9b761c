"""The buttons of the moderation log's entries, and *Appeal* in the sentence to the user."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

import discord

from bot.client import RedrawBot
from bot.i18n.translate import translate
from bot.moderation.actions import Moderator
from bot.moderation.model import Case, Effect, Subject
from bot.replies import reply_privately
from cogs.moderation._errors import (
    AppealedAlready,
    CaseGone,
    NothingToUndo,
    PictureNotKept,
)
from cogs.moderation._forms import ReasonForm
from cogs.moderation._who import check_moderator
from cogs.shared.guard import PersistentItem
from cogs.shared.job_messages import delete_job_messages

Interaction = discord.Interaction[RedrawBot]
Button = discord.ui.Button[discord.ui.LayoutView]


class CaseAction(StrEnum):
    """What a button does. The values stand in the custom ids of sent messages."""

    DELETE = "delete"
    BLOCK = "block"
    TIMEOUT = "timeout"
    BAN = "ban"
    DISMISS = "dismiss"
    UNDO = "undo"


def case_button(action: CaseAction, case: Case, locale: str) -> Button:
    """The button as the log shows it."""
    danger = action in (CaseAction.DELETE, CaseAction.BAN)
    return discord.ui.Button(
        label=translate(locale, f"moderation.button.{action}"),
        style=discord.ButtonStyle.danger if danger else discord.ButtonStyle.secondary,
        custom_id=f"redraw:case:{action}:{case.id}",
    )


class CaseButton(PersistentItem, template=""):
    """Handles the clicks on one kind of button, for moderators of the case's server."""

    action: ClassVar[CaseAction]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__(template=rf"redraw:case:{cls.action}:(?P<case>\d{{1,15}})")

    async def act(self, interaction: discord.Interaction[Any]) -> None:
        """Load the case, check the permission, and act."""
        check_moderator(interaction)
        services = interaction.client.services
        case = await services.moderation.cases.case(int(self.match["case"]))
        if case is None or case.guild_id != interaction.guild_id:
            raise CaseGone
        await self.run(interaction, case, Moderator(case.guild_id, interaction.user.id))

    async def run(self, interaction: Interaction, case: Case, by: Moderator) -> None:
        """Do what the button says."""
        raise NotImplementedError


class DeleteEverywhere(CaseButton):
    """Delete the picture's message and its copies, and erase its job."""

    action = CaseAction.DELETE

    async def run(self, interaction: Interaction, case: Case, by: Moderator) -> None:
        """Delete; the case stays."""
        await interaction.response.defer()
        services = interaction.client.services
        job = await services.store.job(case.job_id) if case.job_id else None
        if job is not None:
            await delete_job_messages(interaction.client, job)
            await services.store.erase_job(job.id)
        await services.moderator_actions.deleted(by, case)
        await interaction.client.services.moderation_log.refresh(case.id)


class BlockPicture(CaseButton):
    """Refuse this picture from now on."""

    action = CaseAction.BLOCK

    async def run(self, interaction: Interaction, case: Case, by: Moderator) -> None:
        """Add its hash to the server's blocklist."""
        await interaction.response.defer()
        if not await interaction.client.services.moderator_actions.block_picture(by, case):
            raise PictureNotKept
        await interaction.client.services.moderation_log.refresh(case.id)


class _Restrict:
    """Mixin of a button: ask for a reason (and how long), then restrict the case's user."""

    effect: ClassVar[Effect]

    async def run(self, interaction: Interaction, case: Case, by: Moderator) -> None:
        """Open the form."""

        async def submitted(answer: Interaction, reason: str, minutes: int | None) -> None:
            await answer.response.defer()
            await answer.client.services.moderator_actions.restrict(
                by,
                self.effect,
                Subject.USER,
                case.user_id,
                reason=reason,
                seconds=None if minutes is None else minutes * 60,
                case=case,
            )
            await answer.client.services.moderation_log.refresh(case.id)

        timed = self.effect is Effect.TIMEOUT
        form = ReasonForm(str(interaction.locale), submitted, with_minutes=timed)
        await interaction.response.send_modal(form)


class Timeout(_Restrict, CaseButton):
    """Time the case's user out."""

    action = CaseAction.TIMEOUT
    effect = Effect.TIMEOUT


class Ban(_Restrict, CaseButton):
    """Ban the case's user from the bot in this server."""

    action = CaseAction.BAN
    effect = Effect.BAN


class Dismiss(CaseButton):
    """Close the case without doing anything."""

    action = CaseAction.DISMISS

    async def run(self, interaction: Interaction, case: Case, by: Moderator) -> None:
        """Close it."""
        await interaction.response.defer()
        await interaction.client.services.moderator_actions.dismiss(by, case)
        await interaction.client.services.moderation_log.refresh(case.id)


class Undo(CaseButton):
    """Undo the newest ban, timeout, block or dismissal of the case."""

    action = CaseAction.UNDO

    async def run(self, interaction: Interaction, case: Case, by: Moderator) -> None:
        """Undo it, and open the case again."""
        await interaction.response.defer()
        if await interaction.client.services.moderator_actions.undo(by, case) is None:
            raise NothingToUndo
        await interaction.client.services.moderation_log.refresh(case.id)


BUTTONS = (DeleteEverywhere, BlockPicture, Timeout, Ban, Dismiss, Undo)


class Appeal(PersistentItem, template=r"redraw:appeal:(?P<case>\d{1,15})"):
    """The button in a refusal's sentence: asks the moderators to look at it again."""

    async def act(self, interaction: discord.Interaction[Any]) -> None:
        """Record the appeal and post it in the log."""
        services = interaction.client.services
        cases = services.moderation.cases
        case_id = int(self.match["case"])
        await interaction.response.defer(thinking=True, ephemeral=True)
        now = interaction.created_at.timestamp()
        if not await cases.appeal(case_id, interaction.user.id, now):
            raise AppealedAlready
        case = await cases.case(case_id)
        assert case is not None
        await services.moderation_log.post_appeal(case)
        await services.moderation_log.refresh(case.id)
        await reply_privately(interaction, translate(interaction.locale, "moderation.appealed"))
