"""Reads the page's actions with their files, and serves its own files."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from aiohttp import BodyPartReader, web

from bot.cli.demo.actions import ActionRefused, File

# As Discord's own limit for an upload without boosts.
UPLOAD_BYTES = 10 * 1024 * 1024
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


async def read_action(request: web.Request) -> tuple[dict[str, Any], dict[str, list[File]]]:
    """The action's fields (the part `fields`, JSON) and its files, by the name of their part."""
    fields: dict[str, Any] = {}
    uploads: dict[str, list[File]] = {}
    reader = await request.multipart()
    async for part in reader:
        if not isinstance(part, BodyPartReader) or part.name is None:
            raise ValueError("nested parts")
        if part.name == "fields":
            fields = json.loads(await part.text())
            continue
        data = bytearray()
        while chunk := await part.read_chunk(2**16):
            data += chunk
            if len(data) > UPLOAD_BYTES:
                raise ActionRefused("demo.refused_file", mebibytes=UPLOAD_BYTES // 2**20)
        uploads.setdefault(part.name, []).append((part.filename or "file", bytes(data)))
    return fields, uploads


def page_file(name: str) -> web.Response:
    """A file of the page.

    Raises:
        HTTPNotFound: there is no such file, or it is of another type.
    """
    file = files("bot.cli.demo").joinpath("page", name)
    suffix = name[name.rfind(".") :]
    if suffix not in TYPES or not file.is_file():
        raise web.HTTPNotFound
    return web.Response(text=file.read_text(encoding="utf-8"), content_type=TYPES[suffix])


def picture_type(data: bytes) -> str:
    """The type of a picture by its first bytes; anything else is only offered for download."""
    for prefix, kind in (
        (b"\x89PNG", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
        (b"GIF8", "image/gif"),
    ):
        if data.startswith(prefix):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return "application/octet-stream"
