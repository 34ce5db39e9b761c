"""Parses and checks links without network access. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from yarl import URL

from bot.intake.errors import BadLink, LinkRefused

_MESSAGE = re.compile(
    r"https?://(?:(?:canary|ptb)\.)?discord(?:app)?\.com"
    r"/channels/(?P<guild>@me|\d{15,20})/(?P<channel>\d{15,20})/(?P<message>\d{15,20})/?"
)


@dataclass(frozen=True, slots=True)
class MessageLink:
    """A link to a Discord message; `guild_id` is None for a direct message."""

    guild_id: int | None
    channel_id: int
    message_id: int


def parse_message_link(text: str) -> MessageLink | None:
    """The Discord message that `text` links to, or None for any other link."""
    match = _MESSAGE.fullmatch(_bare(text))
    if match is None:
        return None
    guild = match["guild"]
    return MessageLink(
        guild_id=None if guild == "@me" else int(guild),
        channel_id=int(match["channel"]),
        message_id=int(match["message"]),
    )


def parse_link(text: str, base: URL | None = None) -> URL:
    """`text` as an absolute http or https URL, relative to `base` if given.

    Raises:
        BadLink: any other text, or a URL with user information.
    """
    text = _bare(text)
    try:
        link = URL(text)
        url = base.join(link) if base is not None else link
        named_user = "@" in urlsplit(text).netloc
    except ValueError:
        raise BadLink from None
    if url.scheme not in ("http", "https") or not url.raw_host or named_user:
        raise BadLink
    return url.with_fragment(None)


def host_of(url: URL) -> str:
    """The host in the form used for comparison: ASCII, lower case, without the final dot."""
    return (url.raw_host or "").rstrip(".").lower()


def canonical_host(name: str) -> str:
    """A host name from the settings, in the form that `host_of` returns."""
    return host_of(URL.build(scheme="http", host=name.strip()))


def check_host_and_port(
    url: URL, *, allowed_ports: Collection[int], denied_hosts: Collection[str]
) -> None:
    """Apply the operator's settings; a denied host includes its subdomains.

    Raises:
        LinkRefused: the host is denied or the port is not allowed.
    """
    host = host_of(url)
    if url.port not in allowed_ports or any(
        host == denied or host.endswith(f".{denied}") for denied in denied_hosts
    ):
        raise LinkRefused


def _bare(text: str) -> str:
    """Without the angle brackets that suppress Discord's preview."""
    text = text.strip()
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text
