"""The reaction ❌ of a picture's owner deletes the picture, as the *Delete* button does."""

from __future__ import annotations

import contextlib
import re

import discord
from discord.ext import commands

from bot.client import RedrawBot
from bot.commands.allowed_places import check_place
from bot.errors import UserError
from cogs.shared.access import AccessRule, ChannelFacts, Decision, JobFacts, decide
from cogs.shared.job_buttons import Action
from cogs.shared.job_messages import delete_job

EMOJI = "❌"
# Messages with another button than *Delete* show a job that stays.
_DELETE = re.compile(
    rf"redraw:(?P<action>{Action.DELETE}|{Action.DISCARD}):(?P<job>[0-9a-f]{{16}}):\d:(?P<owner>\d+)"
)


class DeleteReaction(commands.Cog):
    """Listens for reactions to the bot's own messages."""

    def __init__(self, bot: RedrawBot) -> None:
        self.bot = bot

    @commands.Cog.listener("on_raw_reaction_add")
    async def delete(self, payload: discord.RawReactionActionEvent) -> None:
        """Perform the message's *Delete* or *Remove* action, if its owner reacted."""
        assert self.bot.user is not None
        me = self.bot.user.id
        # Discord may leave out the author:
        # https://discord.com/developers/docs/events/gateway-events#message-reaction-add
        if payload.message_author_id not in (None, me) or str(payload.emoji) != EMOJI:
            return
        channel = self.bot.get_partial_messageable(payload.channel_id, guild_id=payload.guild_id)
        with contextlib.suppress(UserError, discord.HTTPException):
            check_place(self.bot.services.settings, payload.guild_id)
            message = await channel.fetch_message(payload.message_id)
            button = _delete_button(message)
            if button is None or message.author.id != me:
                return
            facts = JobFacts(
                owner=int(button["owner"]) == payload.user_id,
                here=ChannelFacts(id=payload.channel_id, guild_id=payload.guild_id),
                origin=None,
                stored=False,
            )
            if decide(AccessRule.OWNER_OR_MODERATOR, facts) is not Decision.ALLOWED:
                return
            await message.delete()
            job = await self.bot.services.store.job(button["job"])
            if job is not None and button["action"] == Action.DELETE:
                await delete_job(self.bot, job, deleted_id=message.id)


def _delete_button(message: discord.Message) -> re.Match[str] | None:
    view = discord.ui.LayoutView.from_message(message, timeout=None)
    view.stop()
    for item in view.walk_children():
        if isinstance(item, discord.ui.Button) and item.custom_id:
            match = _DELETE.fullmatch(item.custom_id)
            if match is not None:
                return match
    return None
