"""Measures the HTTP requests of discord.py: acknowledgement latency and response statuses."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace

import aiohttp
import discord

from bot.monitoring.metrics import Metrics

# POST /interactions/{id}/{token}/callback
# https://discord.com/developers/docs/interactions/receiving-and-responding
_CALLBACK = re.compile(r"/interactions/(?P<id>\d+)/[^/]+/callback$")


def trace_requests(metrics: Metrics) -> aiohttp.TraceConfig:
    """The `http_trace` of a `discord.Client`."""

    async def on_request_end(
        _session: aiohttp.ClientSession,
        _context: SimpleNamespace,
        params: aiohttp.TraceRequestEndParams,
    ) -> None:
        metrics.discord_replied(params.response.status)
        if found := _CALLBACK.search(params.url.path):
            created = discord.utils.snowflake_time(int(found["id"]))
            metrics.acknowledged(max(0.0, time.time() - created.timestamp()))

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(on_request_end)
    return trace
