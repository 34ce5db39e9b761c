"""The fake Discord computes permissions by Discord's published rules."""

from __future__ import annotations

import random

import discord
import pytest

from tests.support.fake_discord.guild import (
    DEFAULT,
    Channel,
    ChannelType,
    Guild,
    Overwrite,
    Permission,
    Role,
)
from tests.support.fake_discord.guild_payloads import guild_payload, member_payload

GUILD, OWNER, MEMBER, OTHER, MODERATOR_ROLE = 7, 1, 2, 3, 50
TEXT, THREAD, PRIVATE = 10, 11, 12
VIEW, SEND, ATTACH = Permission.VIEW_CHANNEL, Permission.SEND_MESSAGES, Permission.ATTACH_FILES
MANAGE, THREADS = Permission.MANAGE_MESSAGES, Permission.MANAGE_THREADS
IN_THREADS = Permission.SEND_MESSAGES_IN_THREADS


def guild_with(
    *overwrites: Overwrite, everyone: int = DEFAULT, role: int = 0, joined: bool = False
) -> Guild:
    """A server with one text channel, a thread of each kind, and a member with one role."""
    guild = Guild(GUILD, owner_id=OWNER)
    guild.roles[GUILD].permissions = int(everyone)
    guild.roles[MODERATOR_ROLE] = Role(MODERATOR_ROLE, "moderator", int(role))
    guild.add_member(OWNER)
    guild.add_member(MEMBER, {MODERATOR_ROLE})
    guild.add_channel(Channel(TEXT, GUILD, overwrites=list(overwrites)))
    guild.add_channel(Channel(THREAD, GUILD, ChannelType.PUBLIC_THREAD, parent_id=TEXT))
    private = Channel(PRIVATE, GUILD, ChannelType.PRIVATE_THREAD, parent_id=TEXT)
    private.members = {MEMBER} if joined else set()
    guild.add_channel(private)
    return guild


EVERYONE_CANNOT_SEE = Overwrite(GUILD, deny=VIEW)
ROLE_SEES = Overwrite(MODERATOR_ROLE, allow=VIEW)
ROLE_CANNOT_SEE = Overwrite(MODERATOR_ROLE, deny=VIEW)
MEMBER_SEES = Overwrite(MEMBER, member=True, allow=VIEW)
MEMBER_CANNOT_SEE = Overwrite(MEMBER, member=True, deny=VIEW)


@pytest.mark.parametrize(
    ("guild", "user", "channel", "permission", "expected"),
    [
        # Roles.
        (guild_with(), MEMBER, TEXT, VIEW, True),
        (guild_with(), MEMBER, TEXT, MANAGE, False),
        (guild_with(role=MANAGE), MEMBER, TEXT, MANAGE, True),
        (guild_with(everyone=0, role=VIEW), MEMBER, TEXT, VIEW, True),
        (guild_with(), OTHER, TEXT, VIEW, False),
        (guild_with(everyone=0), OWNER, TEXT, MANAGE, True),
        (guild_with(EVERYONE_CANNOT_SEE), OWNER, TEXT, VIEW, True),
        (guild_with(MEMBER_CANNOT_SEE, role=Permission.ADMINISTRATOR), MEMBER, TEXT, VIEW, True),
        # Overwrites: @everyone, then roles, then the member; allowing wins within one step.
        (guild_with(EVERYONE_CANNOT_SEE), MEMBER, TEXT, VIEW, False),
        (guild_with(EVERYONE_CANNOT_SEE, ROLE_SEES), MEMBER, TEXT, VIEW, True),
        (guild_with(ROLE_CANNOT_SEE), MEMBER, TEXT, VIEW, False),
        (guild_with(ROLE_CANNOT_SEE, MEMBER_SEES), MEMBER, TEXT, VIEW, True),
        (guild_with(ROLE_SEES, MEMBER_CANNOT_SEE), MEMBER, TEXT, VIEW, False),
        (guild_with(Overwrite(MODERATOR_ROLE, allow=MANAGE)), MEMBER, TEXT, MANAGE, True),
        # Implicit permissions.
        (guild_with(EVERYONE_CANNOT_SEE, role=MANAGE), MEMBER, TEXT, MANAGE, False),
        (guild_with(Overwrite(GUILD, deny=SEND)), MEMBER, TEXT, ATTACH, False),
        (guild_with(Overwrite(GUILD, deny=SEND)), MEMBER, TEXT, VIEW, True),
        # Threads inherit from their parent; sending has a permission of its own.
        (guild_with(), MEMBER, THREAD, VIEW, True),
        (guild_with(EVERYONE_CANNOT_SEE), MEMBER, THREAD, VIEW, False),
        (guild_with(Overwrite(GUILD, deny=SEND)), MEMBER, THREAD, ATTACH, True),
        (guild_with(Overwrite(GUILD, deny=IN_THREADS)), MEMBER, THREAD, ATTACH, False),
        # Private threads: members and Manage Threads.
        (guild_with(), MEMBER, PRIVATE, VIEW, False),
        (guild_with(joined=True), MEMBER, PRIVATE, VIEW, True),
        (guild_with(role=THREADS), MEMBER, PRIVATE, VIEW, True),
        (guild_with(role=MANAGE), MEMBER, PRIVATE, VIEW, False),
        (guild_with(EVERYONE_CANNOT_SEE, joined=True), MEMBER, PRIVATE, VIEW, False),
    ],
)
def test_the_published_rules(
    guild: Guild, user: int, channel: int, permission: Permission, expected: bool
) -> None:
    assert guild.can(user, channel, permission) is expected


@pytest.mark.parametrize("seed", range(200))
async def test_text_channels_agree_with_the_library(seed: int) -> None:
    """discord.py implements the same rules; private threads it does not know."""
    rng = random.Random(seed)
    bits = list(Permission)

    def some() -> int:
        return int(sum(rng.sample(bits, rng.randint(0, len(bits)))))

    guild = Guild(GUILD, owner_id=OWNER)
    guild.roles[GUILD].permissions = some() & ~Permission.ADMINISTRATOR
    for role in (50, 51, 52):
        administrator = Permission.ADMINISTRATOR if rng.random() < 0.1 else 0
        guild.roles[role] = Role(role, f"role {role}", some() & ~8 | administrator)
    guild.add_member(MEMBER, set(rng.sample([50, 51, 52], rng.randint(0, 3))))
    overwrites = []
    for target in rng.sample([GUILD, 50, 51, 52, MEMBER], rng.randint(0, 5)):
        allow = some() & ~Permission.ADMINISTRATOR
        deny = some() & ~allow & ~Permission.ADMINISTRATOR
        overwrites.append(Overwrite(target, member=target == MEMBER, allow=allow, deny=deny))
    guild.add_channel(Channel(TEXT, GUILD, overwrites=overwrites))

    async with discord.Client(intents=discord.Intents.none()) as client:
        state = client._connection
        theirs = discord.Guild(data=guild_payload(guild, MEMBER), state=state)  # type: ignore[arg-type]
        data = member_payload(guild, MEMBER)
        member = discord.Member(data=data, guild=theirs, state=state)  # type: ignore[arg-type]
        channel = theirs.get_channel(TEXT)
        assert channel is not None
        expected = channel.permissions_for(member).value
    known = int(sum(bits))
    assert guild.permissions(MEMBER, TEXT) & known == expected & known
