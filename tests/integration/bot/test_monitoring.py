"""The metrics, the health endpoints and the messages to systemd, of a real bot process."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shutil
import socket
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from bot.errors import StartError
from bot.monitoring.endpoints import open_monitoring
from bot.monitoring.metrics import Metrics
from bot.monitoring.service_manager import notify
from inference import ReplicaSnapshot, ServiceState, ServiceStatus
from tests.support.bots.full_bot_process import APPLICATION, forked_bot
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import DiscordState
from tests.support.services import ScriptedService
from tests.support.simulated_discord import open_simulated_discord


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def value(text: str, name: str, **labels: str) -> float:
    """The value of one time series; labels in the order in which they are written."""
    inside = ",".join(f'{key}="{label}"' for key, label in labels.items())
    series = re.escape(f"{name}{{{inside}}}" if labels else name)
    found = re.search(rf"^{series} (\S+)$", text, re.MULTILINE)
    assert found is not None, f"no {series} in:\n{text}"
    return float(found[1])


@contextmanager
def systemd_socket(folder: Path) -> Iterator[socket.socket]:
    """The socket on which systemd listens to a service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        listening.setblocking(False)
        yield listening


async def get(port: int, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/{path}") as reply,
    ):
        return reply.status, await reply.text()


async def answered(discord: FakeDiscord, number: int) -> None:
    def answers() -> int:
        messages = discord.discord_state.messages.values()
        return sum(any(name.startswith("redraw-") for name in m.files) for m in messages)

    while answers() < number:
        discord.discord_state.changed.clear()
        await discord.discord_state.changed.wait()


def test_a_service_manager_that_does_not_read_blocks_nothing(tmp_path: Path) -> None:
    with systemd_socket(tmp_path):
        for _ in range(500):
            notify("WATCHDOG=1", {"NOTIFY_SOCKET": str(tmp_path / "notify")})


async def test_a_running_bot_reports_its_work_to_prometheus_and_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    picture = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(picture, "PNG")
    with systemd_socket(tmp_path) as systemd:
        async with (
            asyncio.timeout(120),
            fake_discord(DiscordState(content_intent={APPLICATION})) as discord,
            # Not earlier: the fake Discord could take the same port.
            forked_bot(discord.port, tmp_path, METRICS_PORT=str(metrics_port := free_port())),
        ):
            await discord.gateway.wait_ready(APPLICATION)
            options = {"prompt": "a harbour", "image": picture.getvalue()}
            await discord.command(APPLICATION, 1, 2, "img2img", **options)
            await answered(discord, 1)
            loop = asyncio.get_running_loop()
            notices = {await loop.sock_recv(systemd, 100) for _ in range(3)}
            # The answer is recorded a moment after Discord has it.
            while 'outcome="delivered"' not in (text := (await get(metrics_port, "metrics"))[1]):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            ready = await get(metrics_port, "readyz")
    assert value(text, "redraw_pictures_total") == 1
    assert value(text, "redraw_answer_seconds_count", outcome="delivered") == 1
    assert value(text, "redraw_acknowledgement_seconds_count") >= 1
    assert value(text, "redraw_discord_http_responses_total", status="200") > 0
    assert value(text, "redraw_denoising_steps_total") > 0
    assert value(text, "redraw_inference_seconds_total", phase="steps") > 0
    assert value(text, "redraw_jobs_waiting") == value(text, "redraw_jobs_running") == 0
    assert value(text, "redraw_gateway_connected") == 1
    assert value(text, "redraw_model_state", redraw_model_state="ready") == 1
    assert value(text, "redraw_event_loop_lag_seconds_count") > 0
    assert value(text, "process_resident_memory_bytes") > 2**20
    assert ready == (200, "ok\n")
    assert notices == {b"READY=1", b"WATCHDOG=1"}


async def test_refusals_and_failures_are_counted_by_their_reason(tmp_path: Path) -> None:
    service = ScriptedService()
    async with open_simulated_discord(tmp_path, service) as discord_sim:
        image = ("cat.png", b"not a picture")
        await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="x", image=image)
        await discord_sim.settled()
        text = discord_sim.bot.metrics.text().decode()
    assert value(text, "redraw_requests_refused_total", reason="NotAPicture") == 1


async def test_not_ready_says_what_is_missing() -> None:
    service = ScriptedService(
        status=ServiceStatus(state=ServiceState.LOADING, detail="loading the model")
    )
    async with open_monitoring(Metrics(), service, lambda: False, host="127.0.0.1", port=0) as port:
        assert await get(port, "healthz") == (200, "ok\n")
        assert await get(port, "readyz") == (
            503,
            "not connected to Discord\nmodel: loading the model\n",
        )


async def test_a_port_in_use_is_one_sentence() -> None:
    service = ScriptedService()
    async with open_monitoring(Metrics(), service, lambda: True, host="127.0.0.1", port=0) as port:
        with pytest.raises(StartError, match=f"METRICS_PORT {port} cannot be used"):
            async with open_monitoring(
                Metrics(), service, lambda: True, host="127.0.0.1", port=port
            ):
                pass


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
async def test_prometheus_own_checker_finds_nothing_to_improve(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService()) as discord_sim:
        text = discord_sim.bot.metrics.text()
    promtool = await asyncio.create_subprocess_exec(
        *("promtool", "check", "metrics"), stdin=PIPE, stdout=PIPE, stderr=STDOUT
    )
    said, _ = await promtool.communicate(text)
    assert (promtool.returncode, said) == (0, b"")


async def test_what_the_service_counts_is_exported(tmp_path: Path) -> None:
    counted = ServiceStatus(
        state=ServiceState.READY,
        detail="ready",
        worker_pid=os.getpid(),
        restarts=2,
        denoiser_calls=30,
        denoiser_rows=400,
    )
    service = ScriptedService(status=counted)
    async with open_simulated_discord(tmp_path, service) as discord_sim:
        text = discord_sim.bot.metrics.text().decode()
        assert value(text, "redraw_worker_restarts_total") == 2
        assert value(text, "redraw_denoiser_calls_total") == 30
        assert value(text, "redraw_denoiser_rows_total") == 400
        assert value(text, "redraw_worker_resident_memory_bytes") > 10_000_000
        assert "redraw_replica_ready{" not in text
        replicas = (
            ReplicaSnapshot(name="a:1", state=ServiceState.READY, device="cuda", slots=8),
            ReplicaSnapshot(
                name="b:2",
                state=ServiceState.RESTARTING,
                device="cuda",
                models=("noise", "pocket"),
                step_seconds=0.25,
                restarts=3,
                denoiser_calls=5,
                denoiser_rows=60,
                resident_bytes=7,
            ),
        )
        service.status = replace(counted, worker_pid=None, replicas=replicas)
        text = discord_sim.bot.metrics.text().decode()
        assert value(text, "redraw_worker_resident_memory_bytes") == 0
        for name, first, second in (
            ("redraw_replica_ready", 1, 0),
            ("redraw_replica_batch_slots", 8, 1),
            ("redraw_replica_step_seconds", 0, 0.25),
            ("redraw_replica_resident_memory_bytes", 0, 7),
            ("redraw_replica_worker_restarts_total", 0, 3),
            ("redraw_replica_denoiser_calls_total", 0, 5),
            ("redraw_replica_denoiser_rows_total", 0, 60),
        ):
            assert value(text, name, device="cuda", replica="a:1") == first
            assert value(text, name, device="cuda", replica="b:2") == second
        loaded = "redraw_replica_model_loaded"
        assert value(text, loaded, device="cuda", model="pocket", replica="b:2") == 1
        assert 'redraw_replica_model_loaded{device="cuda",model="noise",replica="a:1"}' not in text
