"""The bot's activity while the model loads, restarts and is ready."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import discord
import pytest

from bot import presence
from inference import DownloadProgress, ServiceState, ServiceStatus
from tests.support.services import READY, ScriptedService


class Gateway:
    """A fake client that records what would be sent to Discord."""

    def __init__(self, closed: int = 0) -> None:
        self.sent: asyncio.Queue[tuple[discord.Status, str]] = asyncio.Queue()
        self.closed = closed

    async def wait_until_ready(self) -> None:
        pass

    async def change_presence(
        self, *, status: discord.Status, activity: discord.CustomActivity | None
    ) -> None:
        if self.closed:
            self.closed -= 1
            raise aiohttp.ClientConnectionResetError("Cannot write to closing transport")
        await self.sent.put((status, str(activity) if activity else ""))


async def test_the_activity_follows_the_state_of_the_model(monkeypatch: Any) -> None:
    monkeypatch.setattr(presence, "POLL_SECONDS", 0.001)
    gateway: Any = Gateway()
    loading = ServiceStatus(state=ServiceState.LOADING, detail="loading the model")
    service = ScriptedService(status=loading)
    task = asyncio.create_task(presence.show_state(gateway, service))
    try:
        async with asyncio.timeout(60):
            assert await gateway.sent.get() == (discord.Status.idle, "loading the model")
            service.status = READY
            assert await gateway.sent.get() == (discord.Status.online, "")
            service.status = ServiceStatus(
                state=ServiceState.RESTARTING, detail="restarting the model"
            )
            assert await gateway.sent.get() == (discord.Status.idle, "restarting the model")
        assert gateway.sent.empty()
    finally:
        task.cancel()


async def test_a_closed_gateway_socket_delays_the_activity(monkeypatch: Any) -> None:
    monkeypatch.setattr(presence, "POLL_SECONDS", 0.001)
    gateway: Any = Gateway(closed=3)
    task = asyncio.create_task(presence.show_state(gateway, ScriptedService(status=READY)))
    try:
        async with asyncio.timeout(60):
            assert await gateway.sent.get() == (discord.Status.online, "")
        assert not task.done()
    finally:
        task.cancel()


def downloading(percent: int) -> ServiceStatus:
    download = DownloadProgress(files=1, total_files=4, bytes=percent, total_bytes=100)
    return ServiceStatus(
        state=ServiceState.LOADING, detail=f"downloading: {percent} %", download=download
    )


async def test_the_progress_of_a_download_stays_within_the_gateway_s_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Discord takes five changes in twenty seconds; the end of the download is shown at once."""
    monkeypatch.setattr(presence, "POLL_SECONDS", 0.001)
    gateway: Any = Gateway()
    service = ScriptedService(status=downloading(0))
    task = asyncio.create_task(presence.show_state(gateway, service))
    try:
        async with asyncio.timeout(60):
            for percent in range(1, 30):
                service.status = downloading(percent)
                await asyncio.sleep(0.002)
            service.status = READY
            shown = [await gateway.sent.get(), await gateway.sent.get()]
        assert [text for _, text in shown] == [shown[0][1], ""]
        assert shown[0][1].startswith("downloading: ")
        monkeypatch.setattr(presence, "PROGRESS_SECONDS", 0.01)
        service.status = downloading(40)
        async with asyncio.timeout(60):
            assert (await gateway.sent.get())[1] == "downloading: 40 %"
            service.status = downloading(50)
            assert (await gateway.sent.get())[1] == "downloading: 50 %"
    finally:
        task.cancel()
