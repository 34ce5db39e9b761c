"""Discord's published rules for messages, checked as Discord checks them.

https://discord.com/developers/docs/components/reference
https://discord.com/developers/docs/resources/message#create-message
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

IS_COMPONENTS_V2 = 1 << 15
ACTION_ROW, BUTTON, TEXT_DISPLAY, THUMBNAIL = 1, 2, 10, 11
MEDIA_GALLERY, FILE, CONTAINER = 12, 13, 17
LINK_STYLE = 5

Component = dict[str, Any]


def walk(components: list[Component]) -> Iterator[Component]:
    """Every component, including nested ones."""
    for component in components:
        yield component
        yield from walk(component.get("components", []))
        if accessory := component.get("accessory"):
            yield accessory


def text_of(components: list[Component]) -> str:
    """The text that the components show."""
    return "\n".join(c["content"] for c in walk(components) if c["type"] == TEXT_DISPLAY)


def broken_rules(
    payload: dict[str, Any], files: dict[str, bytes], *, was_v2: bool, upload_limit: int
) -> list[str]:
    """The rules that a message breaks; Discord answers these with `50035 Invalid Form Body`."""
    return [*_message(payload, files, was_v2, upload_limit), *_components(payload, files)]


def _message(
    payload: dict[str, Any], files: dict[str, bytes], was_v2: bool, upload_limit: int
) -> Iterator[str]:
    v2 = bool(payload.get("flags", 0) & IS_COMPONENTS_V2) or was_v2
    if v2 and (payload.get("content") or payload.get("embeds")):
        yield "content and embeds cannot be sent with IS_COMPONENTS_V2"
    if not v2 and any(c["type"] != ACTION_ROW for c in payload.get("components", [])):
        yield "these components need IS_COMPONENTS_V2"
    if len(payload.get("content") or "") > 2000:
        yield "content has more than 2000 characters"
    if len(str(payload.get("nonce", ""))) > 25:
        yield "nonce has more than 25 characters"
    if len(files) > 10:
        yield "more than 10 files"
    for name, data in files.items():
        if len(data) > upload_limit:
            yield f"file {name} has {len(data)} bytes"
    for attachment in payload.get("attachments", []):
        if len(attachment.get("description") or "") > 1024:
            yield "attachment description has more than 1024 characters"


def _components(payload: dict[str, Any], files: dict[str, bytes]) -> Iterator[str]:
    everything = list(walk(payload.get("components", [])))
    if len(everything) > 40:
        yield f"{len(everything)} components"
    if len(text_of(payload.get("components", []))) > 4000:
        yield "more than 4000 characters of text"
    ids = [c["id"] for c in everything if c.get("id", 0) != 0]
    are_numbers = all(isinstance(id_, int) and 0 <= id_ < 2**31 for id_ in ids)
    if not are_numbers or len(ids) != len(set(ids)):
        yield "component ids must be distinct 32-bit numbers"
    custom_ids = [c["custom_id"] for c in everything if "custom_id" in c]
    if len(custom_ids) != len(set(custom_ids)):
        yield "custom ids must be distinct"
    for component in everything:
        yield from _component(component, files)


def _component(component: Component, files: dict[str, bytes]) -> Iterator[str]:
    if component["type"] == ACTION_ROW and not 1 <= len(component["components"]) <= 5:
        yield "an action row holds 1 to 5 buttons"
    if component["type"] == BUTTON:
        if len(component.get("label") or "") > 80:
            yield "a button's label has more than 80 characters"
        if component["style"] != LINK_STYLE and not 1 <= len(component.get("custom_id", "")) <= 100:
            yield "a custom id has 1 to 100 characters"
    if component["type"] == TEXT_DISPLAY and not component["content"]:
        yield "an empty text display"
    if component["type"] == MEDIA_GALLERY:
        if not 1 <= len(component["items"]) <= 10:
            yield "a media gallery holds 1 to 10 items"
        for item in component["items"]:
            url = item["media"]["url"]
            if url.startswith("attachment://") and url.removeprefix("attachment://") not in files:
                yield f"{url} names no file of this message"
