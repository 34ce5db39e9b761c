"""Links within Discord: to messages, threads and channels, and to its file servers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

# https://discord.com/channels/<server>/<channel or thread>[/<message>], and the address of a client
# that shows a thread beside its channel: …/<channel>/threads/<thread>[/<message>]
_CHANNELS = re.compile(
    r"https?://(?:(?:www|canary|ptb)\.)?discord(?:app)?\.com"
    r"/channels/(?:@me|\d{15,20})/(?:\d{15,20}/threads/)?(?P<channel>\d{15,20})"
    r"(?:/(?P<message>\d{15,20}))?/?"
    r"(?:[?#].*)?",
    re.IGNORECASE,
)
# The file servers and the proxies of embedded media.
_FILE_HOST = re.compile(r"cdn\.discordapp\.com|(?:[a-z0-9-]+\.)?discordapp\.net", re.IGNORECASE)
# https://cdn.discordapp.com/attachments/<channel>/<attachment>/<file name>
_ATTACHMENT_PATH = re.compile(r"/(?:ephemeral-)?attachments/(?P<channel>\d{15,20})/\d{15,20}/.+")


@dataclass(frozen=True, slots=True)
class DiscordLink:
    """A link to a channel or thread, or to a message in it."""

    channel_id: int
    message_id: int | None


def parse_discord_link(text: str) -> DiscordLink | None:
    """The message or channel that `text` links to; None for all other texts."""
    match = _CHANNELS.fullmatch(text.strip().strip("<>|"))
    if match is None:
        return None
    message = match["message"]
    return DiscordLink(int(match["channel"]), int(message) if message else None)


def is_discord_file(url: str) -> bool:
    """Whether the link leads to one of Discord's file servers."""
    try:
        parts = urlsplit(url.strip().strip("<>|"))
        return parts.scheme in ("http", "https") and bool(
            _FILE_HOST.fullmatch(parts.hostname or "")
        )
    except ValueError:
        return False


def attachment_channel(url: str) -> int | None:
    """The channel of the attachment that the link leads to; None if it leads to no attachment."""
    if not is_discord_file(url):
        return None
    match = _ATTACHMENT_PATH.fullmatch(urlsplit(url.strip().strip("<>|")).path)
    return int(match["channel"]) if match else None
