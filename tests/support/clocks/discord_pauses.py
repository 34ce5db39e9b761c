"""discord.py's pauses between the attempts of a request, shortened."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import discord.http
import discord.webhook.async_
import pytest

SECONDS = 0.01


def shorten_pauses(patch: pytest.MonkeyPatch) -> None:
    """discord.py waits a second and more before it repeats a request. How often it does is the
    same."""

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(min(seconds, SECONDS))

    short = SimpleNamespace(**{**vars(asyncio), "sleep": sleep})
    for module in (discord.http, discord.webhook.async_):
        patch.setattr(module, "asyncio", short)
