"""One job id is in every line about a job: the bot's, and those of a real worker process."""

from __future__ import annotations

import io
import json
import logging
import queue
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.logs.formats import handler_for
from inference import InferenceError, LocalService
from inference.worker.messages import (
    Command,
    Engine,
    Event,
    Failed,
    Loading,
    Ready,
    Started,
    Stop,
    Submit,
    WorkerConfig,
)
from tests.support.bots.minimal_bot import open_bot, point_discord_py_at
from tests.support.bots.running_bot import BOT, requested_job
from tests.support.fake_discord.objects import Refusal
from tests.support.fake_discord.server import fake_discord
from tests.support.fake_discord.state import DiscordState

log = logging.getLogger(__name__)


class FailingEngine:
    """Runs in the worker process. Logs an error about each request, which then fails."""

    def __init__(self, report: Callable[[Event | Loading], None]) -> None:
        self._report = report
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()

    def post(self, command: Command) -> None:
        self._commands.put(command)

    def run(self) -> None:
        while not isinstance(command := self._commands.get(), Stop):
            if isinstance(command, Submit):
                id_ = command.request.id
                self._report(Started(id_))
                try:
                    raise ValueError("a bug in the model")
                except ValueError:
                    log.exception("a request failed", extra={"request": id_})
                self._report(Failed(id_, InferenceError("The model cannot make this picture.")))


def build_engine(
    config: WorkerConfig, report: Callable[[Event | Loading], None]
) -> tuple[Engine, Ready]:
    return FailingEngine(report), Ready(slots=1, device="cpu", dtype="float32")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The JSON log of the test, from the level INFO on."""
    handler = handler_for("json", [])
    assert isinstance(handler, logging.StreamHandler)
    out = handler.stream = io.StringIO()
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield out
    root.setLevel(before)
    root.removeHandler(handler)


async def test_every_line_about_a_job_has_its_id(tmp_path: Path, lines: io.StringIO) -> None:
    state = DiscordState()
    async with (
        fake_discord(state) as discord,
        LocalService(model="noise", factory=f"{__name__}:build_engine") as service,
    ):
        point_discord_py_at(discord.port)
        # Progress and answers fail at first, so that the delivery logs lines, too.
        discord.faults["PATCH /api/v10/webhooks/{application}/{token}/messages/{message}"] = [
            Refusal(404, 10008, "Unknown Message") for _ in range(4)
        ]
        async with open_bot(tmp_path, BOT, engine=service) as bot:
            jobs = [await requested_job(bot, state, 7, channel) for channel in (100, 200)]
            for job in jobs:
                await bot.runner.accept(job)
            await bot.runner.wait_idle()
    logged = [json.loads(line) for line in lines.getvalue().splitlines()]
    about = {
        job.id: {line["logger"] for line in logged if line.get("job") == job.id} for job in jobs
    }
    assert all({__name__, "bot.runner.attempt"} <= loggers for loggers in about.values())
    loggers = set.union(*about.values())
    assert {"bot.delivery.progress", "bot.delivery.delivery"} <= loggers
    # No line is about a job without saying so.
    assert {line.get("job", "") for line in logged if line["logger"] in loggers} == set(about)
    bug = next(line for line in logged if line["logger"] == __name__)
    assert "ValueError: a bug in the model" in bug["traceback"]
