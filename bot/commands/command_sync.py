"""Publishes the commands to Discord when they have changed since the last start."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

from discord import app_commands

log = logging.getLogger(__name__)

FILE_NAME = "commands.sha256"


async def sync_commands(
    tree: app_commands.CommandTree[Any], application_id: int, folder: Path
) -> bool:
    """Publish the commands of `tree`, for all servers; returns whether that was needed.

    `folder` keeps a digest of what was published. Discord shows a changed global command at once
    and limits how many commands may be created in a day.
    https://discord.com/developers/docs/interactions/application-commands#registering-a-command

    Raises:
        discord.HTTPException: Discord does not accept the commands.
    """
    assert tree.translator is not None
    payload = [
        await command.get_translated_payload(tree, tree.translator)
        for command in tree.get_commands()
    ]
    text = json.dumps([application_id, payload], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    file = folder / FILE_NAME
    if await asyncio.to_thread(_read, file) == digest:
        return False
    await tree.sync()
    await asyncio.to_thread(file.write_text, digest, encoding="ascii")
    log.info("published %d commands", len(payload))
    return True


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
