"""Discord's markup reaches the model as words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cogs.requests.prompt import in_words

USERS: Any = [SimpleNamespace(id=123456789012345678, display_name="Alice Ångström")]
GUILD: Any = SimpleNamespace(
    get_role=lambda id_: SimpleNamespace(name="night owls") if id_ == 5 else None,
    get_channel_or_thread=lambda id_: SimpleNamespace(name="cat-pictures") if id_ == 6 else None,
)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("a <:happy_fox:123456789012345678> fox", "a happy fox fox"),
        ("<a:party:123456789012345678>", "party"),
        ("a portrait of <@123456789012345678>", "a portrait of Alice Ångström"),
        ("a portrait of <@!123456789012345678>", "a portrait of Alice Ångström"),
        ("a portrait of <@1>", "a portrait of somebody"),
        ("for <@&5> and <@&7>", "for night owls and role"),
        ("like in <#6> and <#7>", "like in cat pictures and channel"),
        ("at <t:1700000000>", "at 14 November 2023 22:13"),
        ("at <t:1700000000:t>", "at 22:13"),
        ("on <t:1700000000:D>", "on 14 November 2023"),
        ("long ago <t:99999999999999:R>", "long ago <t:99999999999999:R>"),
        ("never <t:9999999999999:F>", "never"),
        ("use </img2img:123456789012345678> and <id:customize>", "use img2img and customize"),
        ("see <id:linked-roles> or <id:linked-roles:5>", "see linked roles or linked roles"),
        ("<:cat~1:123456789012345678> <a:_:123456789012345678> x", "cat x"),
        ("</style add:123456789012345678> it", "style add it"),
        ("  two   spaces\nand a line ", "two spaces and a line"),
        ("a < b and c > d", "a < b and c > d"),
        ("😀 stays", "😀 stays"),
    ],
)
def test_markup_becomes_words(prompt: str, words: str) -> None:
    assert in_words(prompt, GUILD, USERS) == words


def test_without_a_server_nothing_is_looked_up() -> None:
    assert in_words("<@&5> in <#6>", None) == "role in channel"
