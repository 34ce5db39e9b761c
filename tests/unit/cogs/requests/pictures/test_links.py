"""Links within Discord in every form in which clients copy them."""

from __future__ import annotations

import pytest

from cogs.requests.pictures.links import (
    DiscordLink,
    attachment_channel,
    is_discord_file,
    parse_discord_link,
)

GUILD, CHANNEL, MESSAGE = 111111111111111111, 222222222222222222, 333333333333333333
PATH = f"/channels/{GUILD}/{CHANNEL}"


@pytest.mark.parametrize(
    "link",
    [
        f"https://discord.com{PATH}/{MESSAGE}",
        f"https://www.discord.com{PATH}/{MESSAGE}",
        f"https://ptb.discord.com{PATH}/{MESSAGE}/",
        f"https://canary.discord.com{PATH}/{MESSAGE}",
        f"https://discordapp.com{PATH}/{MESSAGE}",
        f"HTTPS://Discord.com{PATH}/{MESSAGE}",
        f"https://discord.com/channels/{GUILD}/{GUILD}/threads/{CHANNEL}/{MESSAGE}",
        f"https://discord.com{PATH}/{MESSAGE}?utm_source=x",
        f"https://discord.com{PATH}/{MESSAGE}#top",
        f"<https://discord.com{PATH}/{MESSAGE}>",
        f"||https://discord.com{PATH}/{MESSAGE}||",
        f" https://discord.com/channels/@me/{CHANNEL}/{MESSAGE} ",
    ],
)
def test_links_to_messages(link: str) -> None:
    assert parse_discord_link(link) == DiscordLink(CHANNEL, MESSAGE)


@pytest.mark.parametrize("end", ["", "/", "?x=1", "#y"])
def test_links_to_threads_and_channels(end: str) -> None:
    threads = f"/channels/{GUILD}/{GUILD}/threads/{CHANNEL}"
    for path in (PATH, threads):
        assert parse_discord_link(f"https://discord.com{path}{end}") == DiscordLink(CHANNEL, None)


@pytest.mark.parametrize(
    "link",
    [
        "https://discord.com/",
        f"https://discord.com/channels/{GUILD}",
        f"https://discord.com.evil.example{PATH}/{MESSAGE}",
        f"https://evil.example{PATH}/{MESSAGE}",
        f"https://discord.com/invite{PATH}/{MESSAGE}",
        "a fox",
    ],
)
def test_other_texts_are_no_links_within_discord(link: str) -> None:
    assert parse_discord_link(link) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://cdn.discordapp.com/attachments/1/2/cat.png?ex=1", True),
        ("https://media.discordapp.net/attachments/1/2/cat.png", True),
        ("https://images-ext-1.discordapp.net/external/x/https/a.b/c.png", True),
        ("https://cdn.discordapp.com.evil.example/cat.png", False),
        ("https://evil.example/cdn.discordapp.com/cat.png", False),
        ("https://cdn.discordapp.com@evil.example/cat.png", False),
        ("ftp://cdn.discordapp.com/cat.png", False),
        ("https://[::1", False),
    ],
)
def test_discords_file_servers(url: str, expected: bool) -> None:
    assert is_discord_file(url) is expected


def test_the_channel_of_an_attachment() -> None:
    url = f"https://cdn.discordapp.com/attachments/{CHANNEL}/{MESSAGE}/cat.png?ex=1&is=2"
    assert attachment_channel(url) == CHANNEL
    assert attachment_channel(url.replace("attachments", "ephemeral-attachments")) == CHANNEL
    assert attachment_channel("https://cdn.discordapp.com/emojis/1.png") is None
    assert attachment_channel(url.replace("cdn.discordapp.com", "evil.example")) is None
