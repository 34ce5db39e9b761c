"""Replaces Discord's markup in a prompt by words that a model can read."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable

import discord

# https://discord.com/developers/docs/reference#message-formatting-formats
_MARKUP = re.compile(
    r"<@!?(?P<user>\d+)>"
    r"|<@&(?P<role>\d+)>"
    r"|<#(?P<channel>\d+)>"
    r"|<a?:(?P<emoji>\w+)(?:~\d+)?:\d+>"
    r"|</(?P<command>[^:>]+):\d+>"
    r"|<t:(?P<time>-?\d{1,13})(?::(?P<style>[a-zA-Z]))?>"
    r"|<id:(?P<page>[\w-]+)(?::\d+)?>"
)
# What a mention becomes whose name the bot does not know.
SOMEBODY, ROLE, CHANNEL = "somebody", "role", "channel"


def in_words(
    text: str, guild: discord.Guild | None, users: Iterable[discord.User | discord.Member] = ()
) -> str:
    """`text` with mentions, custom emoji, timestamps and command links written as words.

    `users` are the users whose names are known: those of the message or interaction.
    """
    names = {user.id: user.display_name for user in users}

    def words(match: re.Match[str]) -> str:
        if match["user"]:
            return names.get(int(match["user"]), SOMEBODY)
        if match["role"]:
            role = guild.get_role(int(match["role"])) if guild else None
            return role.name if role else ROLE
        if match["channel"]:
            channel = guild.get_channel_or_thread(int(match["channel"])) if guild else None
            return channel.name.replace("-", " ") if channel else CHANNEL
        if match["time"]:
            return _time(int(match["time"]), match["style"])
        name = match["emoji"] or match["command"] or match["page"]
        return re.sub("[_-]", " ", name)

    return " ".join(_MARKUP.sub(words, text).split())


def _time(seconds: int, style: str | None) -> str:
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return ""
    date = f"{moment.day} {moment:%B %Y}"
    match style:
        case "t" | "T":
            return f"{moment:%H:%M}"
        case "d" | "D":
            return date
    return f"{date} {moment:%H:%M}"
