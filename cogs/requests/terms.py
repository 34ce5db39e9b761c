"""The server's settings, limits and budgets that apply to a user's requests in one place."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from bot.client import Services
from bot.i18n.lists import Listed
from bot.jobs.budgets import Allowance, RoleLimits, both, limits_for
from bot.store.guild_settings import GuildOptions
from cogs.shared.errors import NotInThisChannel, RoleNeeded


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """`limits` are the stricter ones of the operator's and the server's for the user's roles."""

    options: GuildOptions
    limits: RoleLimits
    allowance: Allowance


async def terms_for(
    services: Services, user: discord.User | discord.Member, guild_id: int | None
) -> Terms:
    """The terms of a user in a server, or in direct messages."""
    role_ids = role_ids_of(user)
    options = await services.store.guild_settings.options(guild_id)
    operator = limits_for(services.settings.role_limits, role_ids)
    server = limits_for(options.limits, role_ids)
    budgets = [services.settings.server_seconds_a_day, options.server_seconds]
    of_server = [seconds for seconds in budgets if seconds is not None and guild_id is not None]
    return Terms(
        options=options,
        limits=both(operator, server),
        allowance=Allowance(
            user=operator.seconds_a_day,
            user_here=server.seconds_a_day,
            server=min(of_server, default=None),
        ),
    )


def role_ids_of(user: discord.User | discord.Member) -> set[int]:
    """The ids of the user's roles; none outside of a server."""
    return {role.id for role in user.roles} if isinstance(user, discord.Member) else set()


def check_server_place(
    options: GuildOptions,
    user: discord.User | discord.Member,
    channel_id: int,
    channel: object,
) -> None:
    """Check that the server lets its members use the bot in this channel, with one of their roles.

    A thread counts as its channel. `channel` is None if the bot does not know the channel.

    Raises:
        NotInThisChannel, RoleNeeded: it does not.
    """
    ids = {channel_id, getattr(channel, "parent_id", None)}
    if options.channels and ids.isdisjoint(options.channels):
        raise NotInThisChannel(channels=Listed(tuple(f"<#{id_}>" for id_ in options.channels)))
    if options.roles and role_ids_of(user).isdisjoint(options.roles):
        raise RoleNeeded(roles=Listed(tuple(f"<@&{id_}>" for id_ in options.roles)))
