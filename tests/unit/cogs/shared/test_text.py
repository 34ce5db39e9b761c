"""Texts of users are shown as plain text: nothing in them is a link, a mention or markup."""

from __future__ import annotations

import re

import pytest

from cogs.shared.text import FILE_NAME_CHARACTERS, file_name, plain

# What Discord's client makes links, invitations, mentions and markup of.
ACTIVE = [
    re.compile(r"https?://\S"),
    re.compile(r"discord(?:app)?\.(?:gg|com|me|io)", re.IGNORECASE),
    re.compile(r"<(?:@[!&]?|#|a?:\w+:|t:|/|id:|https?:)"),
    re.compile(r"@(?:everyone|here)"),
    re.compile(r"(?<!\\)[*_`~|]"),
    re.compile(r"(?<!\\)\[[^\]]*\]\([^)]*\)"),
]


@pytest.mark.parametrize(
    "prompt",
    [
        "see https://evil.example/free-nitro",
        "HTTP://EVIL.EXAMPLE/x",
        "join discord.gg/abc123",
        "join Discord.GG/abc123 now",
        "discord.com/invite/abc and discordapp.com/invite/abc",
        "<https://evil.example>",
        "_https://evil.example_ and 1https://evil.example",
        "éhttps://evil.example, 猫https://evil.example",
        "_discord.gg/abc_ 1discord.gg/abc 猫discord.com/invite/abc",
        "[a cat](https://evil.example)",
        "[a cat](<https://evil.example>)",
        "@everyone @here <@123456789012345678> <@&123456789012345678>",
        # Neither an emoji nor a link: its markup acts.
        "<a:/_no_link_>",
        "<#123456789012345678> <:smile:123456789012345678> <t:1700000000:R> </img2img:1>",
        "**bold** __under__ ~~gone~~ `code` ||hidden||",
        "> quote\n# title\n-# small\n- list",
    ],
)
def test_nothing_in_a_prompt_is_active(prompt: str) -> None:
    shown = plain(prompt)
    for pattern in ACTIVE:
        assert not pattern.search(shown), pattern.pattern
    for line in shown.splitlines():
        assert not re.match(r"\s*(?:#{1,3} |>|-# |- )", line)


@pytest.mark.parametrize("text", ["a fox in the snow", "50 % (grey), 3:2", "ein Fuchs, schön"])
def test_ordinary_words_are_shown_as_they_are(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize("text", ["*" * 1000, "a" * 1000, "https://a.b/ " * 80, "<@1>" * 250])
@pytest.mark.parametrize("limit", [10, 100, 1200])
def test_the_limit_holds_for_the_escaped_text(text: str, limit: int) -> None:
    shown = plain(text, limit)
    assert len(shown) <= limit
    if len(plain(text)) > limit:
        assert shown.endswith("…")
        assert len(shown) > limit - 20
    assert not shown.rstrip("…").endswith("\\") or shown.rstrip("…").endswith("\\\\")


def test_a_file_name_is_plain_and_without_the_spoiler_prefix() -> None:
    assert file_name("SPOILER_my_cat.png") == r"my\_cat.png"
    assert len(file_name("x" * 300 + ".png")) <= FILE_NAME_CHARACTERS
