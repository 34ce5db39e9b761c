"""Pictures are found in every form in which Discord carries them. The payloads are Discord's."""

from __future__ import annotations

from typing import Any

import discord
import pytest

from bot.intake.links import all_links
from cogs.requests.pictures.candidates import candidates_in, is_spoilered, is_stripped

CDN = "https://cdn.discordapp.com/attachments/1/2/"
PROXY = "https://images-ext-1.discordapp.net/external/abc/https/site.example/cat.png"
USER = {"id": "7", "username": "alice", "discriminator": "0", "avatar": None}


def payload(**fields: Any) -> Any:
    """A message as Discord sends it."""
    plain: dict[str, Any] = {
        "id": "3",
        "channel_id": "1",
        "type": 0,
        "content": "",
        "author": USER,
        "timestamp": "2026-11-25T12:00:00+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "components": [],
        "pinned": False,
        "flags": 0,
    }
    return plain | fields


def message(**fields: Any) -> discord.Message:
    client = discord.Client(intents=discord.Intents.none())
    state: Any = client._connection
    channel = discord.PartialMessageable(state=state, id=1)
    return discord.Message(state=state, channel=channel, data=payload(**fields))


def attachment(name: str, id_: int = 9, **fields: Any) -> dict[str, Any]:
    return {
        "id": str(id_),
        "filename": name,
        "size": 100,
        "url": CDN + name,
        "proxy_url": CDN + name,
        **fields,
    }


def media(url: str, **fields: Any) -> dict[str, Any]:
    return {"url": url, "proxy_url": PROXY, "loading_state": 2, "flags": 0, **fields}


def embed(**fields: Any) -> dict[str, Any]:
    return {"type": "rich", "flags": 0, **fields}


def found(**fields: Any) -> list[tuple[str, bool]]:
    return [(one.name, one.spoiler) for one in candidates_in(message(**fields))]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (attachment("cat.png", content_type="image/png"), True),
        (attachment("cat.png"), True),
        (attachment("cat.avif", content_type="application/octet-stream"), True),
        (attachment("IMG_1.HEIC", content_type="binary/octet-stream"), True),
        (attachment("unnamed", content_type="application/octet-stream", width=9, height=9), True),
        (attachment("cat.png", content_type="Image/PNG; charset=utf-8"), True),
        (attachment("notes.bin", content_type="application/octet-stream"), False),
        (attachment("clip.mp4", content_type="application/octet-stream", width=9, height=9), False),
        (attachment("CAT.HEIC"), True),
        (attachment("cat.jfif"), True),
        (attachment("unnamed", width=100, height=100), True),
        (attachment("photo.bin", width=100, height=100), True),
        (attachment("clip.mp4", width=100, height=100), False),
        (attachment("clip.mp4", content_type="video/mp4", width=100, height=100), False),
        (attachment("notes.txt", content_type="text/plain"), False),
        (attachment("notes.txt"), False),
        (attachment("song.ogg"), False),
    ],
)
def test_attachments_by_type_name_or_size(file: dict[str, Any], expected: bool) -> None:
    assert bool(found(attachments=[file])) is expected


def test_spoilered_attachments() -> None:
    assert found(attachments=[attachment("SPOILER_cat.png")]) == [("SPOILER_cat.png", True)]
    assert found(attachments=[attachment("cat.png", flags=8)]) == [("cat.png", True)]


@pytest.mark.parametrize(
    ("format_type", "name", "lottie"),
    [(1, "2.png", False), (2, "2.png", False), (3, "2.json", True), (4, "2.gif", False)],
)
def test_stickers(format_type: int, name: str, lottie: bool) -> None:
    sticker = {"id": "2", "name": "wave", "format_type": format_type}
    (one,) = candidates_in(message(sticker_items=[sticker]))
    assert (one.name, one.lottie) == ("wave", lottie)
    assert one.url is not None
    assert one.url.endswith(name)


def test_embeds_are_taken_from_discords_proxy() -> None:
    shown = embed(url="https://site.example/", image=media("https://site.example/cat.png"))
    (one,) = candidates_in(message(embeds=[shown]))
    assert (one.name, one.url, one.proxy_url) == ("cat.png", "https://site.example/cat.png", PROXY)
    thumbnail = embed(type="link", thumbnail=media("https://site.example/small.png"))
    assert found(embeds=[thumbnail]) == [("small.png", False)]
    assert found(embeds=[embed(title="no picture")]) == []


@pytest.mark.parametrize(
    ("content", "spoiler"),
    [
        ("||https://site.example/cat.png||", True),
        ("look: || https://site.example/cat.png || and text", True),
        ("https://site.example/cat.png ||not this||", False),
        ("https://site.example/cat.png", False),
    ],
)
def test_a_link_between_spoiler_bars(content: str, spoiler: bool) -> None:
    url = "https://site.example/cat.png"
    shown = embed(type="image", url=url, thumbnail=media(url))
    assert found(content=content, embeds=[shown]) == [("cat.png", spoiler)]


@pytest.mark.parametrize(
    ("text", "spoiler"),
    [
        (r"||https://site.example/my\_cat.png||", True),
        ("|| <https://site.example/my\u200b_cat.png> ||", True),
        (r"https://site.example/my\_cat.png ||https://site.example/dog.png||", False),
    ],
)
def test_a_typed_link_is_a_spoiler_also_with_escapes_and_invisible_characters(
    text: str, spoiler: bool
) -> None:
    [link, *_] = all_links(text)
    assert link == "https://site.example/my_cat.png"
    assert is_spoilered(text, link) is spoiler


def test_a_picture_of_an_open_page_is_a_spoiler_if_its_own_link_is_hidden() -> None:
    page, picture = "https://site.example/page", "https://site.example/cat.png"
    shown = embed(type="link", url=page, image=media(picture))
    assert found(content=f"{page} ||{picture}||", embeds=[shown]) == [("cat.png", True)]
    assert found(content=f"{page} {picture}", embeds=[shown]) == [("cat.png", False)]


@pytest.mark.parametrize(
    ("address", "content", "spoiler"),
    [
        ("https://site.example/cat", "||https://short.example/1||", True),
        ("https://site.example/cat", "https://short.example/1 ||not this||", False),
        ("https://site.example/cat", "https://short.example/1 ||https://site.example/b||", True),
        ("https://site.example/cat", "https://site.example/cat ||https://site.example/b||", False),
        (None, "https://site.example/cat ||https://site.example/b||", True),
        (None, "https://site.example/cat ||not this||", False),
    ],
)
@pytest.mark.parametrize("kind", ["image", "thumbnail"])
def test_an_embed_whose_address_is_not_in_the_text_may_be_of_a_spoilered_link(
    address: str | None, content: str, spoiler: bool, kind: str
) -> None:
    """Discord gives the address after redirects, or none."""
    shown = embed(url=address, **{kind: media("https://site.example/files/cat.png")})
    assert found(content=content, embeds=[shown]) == [("cat.png", spoiler)]


def gallery(*items: dict[str, Any]) -> dict[str, Any]:
    return {"type": 12, "id": 1, "items": list(items)}


def container(*children: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": 17, "id": 2, "components": list(children), "spoiler": False, **fields}


ITEM = {"media": media("https://site.example/cat.png"), "description": None, "spoiler": False}
THUMBNAIL = {"type": 11, "id": 3, "media": media("https://site.example/cat.png")}
SECTION = {
    "type": 9,
    "id": 4,
    "components": [{"type": 10, "id": 5, "content": "text"}],
    "accessory": THUMBNAIL,
}
FILE = {"type": 13, "id": 6, "file": media(CDN + "cat.png", content_type="image/png")}


@pytest.mark.parametrize(
    "component",
    [gallery(ITEM), SECTION, FILE, container(gallery(ITEM)), container(SECTION), container(FILE)],
)
def test_every_component_that_holds_media(component: dict[str, Any]) -> None:
    assert found(components=[component], flags=1 << 15) == [("cat.png", False)]


@pytest.mark.parametrize(
    "component",
    [
        gallery(ITEM | {"spoiler": True}),
        SECTION | {"accessory": THUMBNAIL | {"spoiler": True}},
        FILE | {"spoiler": True},
        container(gallery(ITEM), spoiler=True),
        container(SECTION, spoiler=True),
        container(FILE, spoiler=True),
    ],
)
def test_a_spoiler_on_a_component_or_its_container(component: dict[str, Any]) -> None:
    assert found(components=[component], flags=1 << 15) == [("cat.png", True)]


def test_an_attachment_in_a_spoilered_container_is_found_once_and_is_a_spoiler() -> None:
    shown = {"media": media(CDN + "cat.png", attachment_id="9"), "spoiler": False}
    assert found(
        attachments=[attachment("cat.png", content_type="image/png")],
        components=[container(gallery(shown), spoiler=True)],
        flags=1 << 15,
    ) == [("cat.png", True)]


def test_a_file_component_that_is_no_picture() -> None:
    text = FILE | {"file": media(CDN + "notes.txt", content_type="text/plain")}
    assert found(components=[text], flags=1 << 15) == []


def snapshot(**fields: Any) -> dict[str, Any]:
    return {
        "message": {
            "type": 0,
            "content": "",
            "embeds": [],
            "attachments": [],
            "components": [],
            "timestamp": "2026-11-25T12:00:00+00:00",
            "edited_timestamp": None,
            "flags": 0,
            "mentions": [],
            **fields,
        }
    }


def test_forwards_of_attachments_stickers_and_spoilered_links() -> None:
    url = "https://site.example/cat.png"
    forwards = [
        snapshot(attachments=[attachment("cat.png", content_type="image/png")]),
        snapshot(sticker_items=[{"id": "2", "name": "wave", "format_type": 1}]),
        snapshot(content=f"||{url}||", embeds=[embed(type="image", url=url, image=media(url))]),
    ]
    names = [found(message_snapshots=[forward]) for forward in forwards]
    assert names == [[("cat.png", False)], [("wave", False)], [("cat.png", True)]]


def test_the_message_that_started_a_thread() -> None:
    picture = attachment("cat.png", content_type="image/png")
    start = payload(id="1", channel_id="5", attachments=[picture])
    reference = {"channel_id": "5", "message_id": "1"}
    assert found(type=21, message_reference=reference, referenced_message=start) == [
        ("cat.png", False)
    ]
    assert found(type=19, message_reference=reference, referenced_message=start) == []


@pytest.mark.parametrize(
    ("fields", "stripped"),
    [
        ({}, True),
        ({"type": 19}, True),
        ({"content": "hello"}, False),
        ({"author": USER | {"bot": True}}, False),
        ({"sticker_items": [{"id": "2", "name": "wave", "format_type": 1}]}, False),
        ({"type": 7}, False),
        ({"type": 21}, False),
    ],
)
def test_messages_whose_contents_the_bot_does_not_get(
    fields: dict[str, Any], stripped: bool
) -> None:
    assert is_stripped(message(**fields)) is stripped
