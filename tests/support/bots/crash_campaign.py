"""Kills one bot repeatedly while simulated users use it, and records what the users saw."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

from bot.store.opening import FILE_NAME
from tests.support.bots import bot_process
from tests.support.bots.minimal_bot import TILED_PROMPT
from tests.support.fake_discord.objects import Message
from tests.support.fake_discord.server import FakeDiscord
from tests.support.processes.forks import FORKS

PROMPTS = ("grey", "grey", "grey", TILED_PROMPT, "slow", "too large", "dies once")
SHOWN = re.compile(r"(queued|running|answer made|answer failed|answer cancelled) ([0-9a-f]{16})")
# Longer than any round should take; a bot that hangs fails the test here.
ROUND_TIMEOUT_SECONDS = 60.0
# Longer than a bot needs to pass a failpoint that a request of the round passes.
FIRST_PASS_SECONDS = 30.0
# A round may end before a failpoint has been passed for the second or a later time.
LATER_PASS_SECONDS = 1.5


@dataclass(frozen=True)
class SimulatedRequest:
    """What one user requests, and does when the reply first shows its state."""

    prompt: str
    private: bool = False
    cancels: bool = False
    deletes: bool = False


# Failpoints that few requests pass, and a request that passes each. It is a slow one where its user
# has to act before it is answered.
PASSING_REQUESTS = {
    "fail": SimulatedRequest("too large"),
    "death": SimulatedRequest("dies once"),
    "cancel": SimulatedRequest("very slow", cancels=True),
    "posting": SimulatedRequest("slow", deletes=True),
    "post": SimulatedRequest("slow", deletes=True),
}


@dataclass
class Seen:
    """What users saw of one job: the ids of messages with its answer, and all states in order."""

    kinds: list[str] = field(default_factory=list)
    answers: set[int] = field(default_factory=set)

    @property
    def regressed(self) -> bool:
        """Whether progress was shown after an answer."""
        last = len(self.kinds) - 1
        return any(
            kind.startswith("answer") and not self.kinds[min(n + 1, last)].startswith("answer")
            for n, kind in enumerate(self.kinds)
        )


@dataclass
class Campaign:
    """One bot and its users.

    `private` is the share of requests with a private reply, `deleted` the share of users who delete
    the reply before it is answered.
    """

    discord: FakeDiscord
    folder: Path
    application_id: int
    random: Random
    private: float = 0.1
    deleted: float = 0.15
    seen: dict[str, Seen] = field(default_factory=lambda: defaultdict(Seen))
    killed_at: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    sent: int = 0
    # By channel: the requests of which no message has been shown.
    _not_shown: dict[int, SimulatedRequest] = field(default_factory=dict)
    _cancelling: list[asyncio.Task[object]] = field(default_factory=list)

    def watch(self, message: Message) -> None:
        """Record what a message shows. Some users then cancel, or delete their reply."""
        found = SHOWN.search(message.text)
        if found is None or message.author_id != self.application_id:
            return
        kind, job_id = found.groups()
        self.seen[job_id].kinds.append(kind)
        if kind.startswith("answer"):
            self.seen[job_id].answers.add(message.id)
        elif request := self._not_shown.pop(message.channel_id, None):
            if request.cancels:
                self._cancelling.append(
                    asyncio.create_task(
                        self.discord.command(
                            self.application_id,
                            message.channel_id,
                            message.channel_id + 1,
                            "cancel",
                        )
                    )
                )
            message.deleted = request.deletes

    async def round(
        self, jobs: int, kill_at: tuple[str, int] | None = None, *, stuck: bool = False
    ) -> None:
        """Start the bot, send requests, and kill it: at a failpoint or at any time.

        If few requests pass the failpoint `kill_at`, the first request is one that does. A `stuck`
        bot is stopped by SIGTERM while a job runs.
        """
        point, nth = kill_at or ("", 0)
        with self._running(kill_at, stuck=stuck) as process:
            ready = asyncio.create_task(self.discord.gateway.wait_ready(self.application_id))
            dead = death(process)
            await asyncio.wait(
                {ready, dead}, timeout=ROUND_TIMEOUT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            ready.cancel()
            if not dead.done():
                requests = [self._random_request() for _ in range(jobs)]
                if passing := PASSING_REQUESTS.get(point.partition(" ")[2]):
                    requests[0] = passing
                if stuck:
                    # None that its user cancels before the bot puts it back.
                    requests = [SimulatedRequest("grey")] * jobs
                await self._send_requests(requests)
                if stuck:
                    async with asyncio.timeout(ROUND_TIMEOUT_SECONDS):
                        await self._wait_running()
                    _signal(process, signal.SIGTERM)
                if kill_at is None:
                    timeout = self.random.uniform(0.0, 1.0)
                else:
                    timeout = FIRST_PASS_SECONDS if nth == 1 else LATER_PASS_SECONDS
                await asyncio.wait({dead}, timeout=timeout)
            reached = dead.done()
            _signal(process, signal.SIGKILL)
            await dead
        self.killed_at[point if reached else "any time"] += 1
        assert process.exitcode == -signal.SIGKILL, f"the bot exited with {process.exitcode}"

    async def finish(self) -> None:
        """Let the bot answer every job, then stop it with SIGTERM."""
        with self._running(None, stuck=False) as process:
            async with asyncio.timeout(ROUND_TIMEOUT_SECONDS):
                # SIGTERM before that would end it before it has answered.
                await self.discord.gateway.wait_ready(self.application_id)
                while self.unanswered():
                    self.discord.discord_state.changed.clear()
                    await self.discord.discord_state.changed.wait()
            _signal(process, signal.SIGTERM)
            async with asyncio.timeout(10):
                await death(process)
        assert process.exitcode == 0

    def unanswered(self) -> list[str]:
        """Jobs that were shown as queued and have no answer."""
        return [job_id for job_id, seen in self.seen.items() if not seen.answers]

    @contextmanager
    def _running(self, kill_at: tuple[str, int] | None, *, stuck: bool) -> Iterator[BaseProcess]:
        """Run the bot process; it has ended when this block is left."""
        process = FORKS.Process(
            target=bot_process.run,
            args=(
                self.discord.port,
                str(self.folder),
                self.application_id,
                self.discord.discord_state.offset,
                kill_at,
                stuck,
            ),
        )
        process.start()
        try:
            yield process
        finally:
            _signal(process, signal.SIGKILL)
            process.join()

    async def _wait_running(self) -> None:
        """Wait until a job runs."""
        with closing(sqlite3.connect(self.folder / FILE_NAME)) as db:
            running = "SELECT count(*) FROM job WHERE state = 'running'"
            while db.execute(running).fetchone() == (0,):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)

    async def _send_requests(self, requests: Sequence[SimulatedRequest]) -> None:
        """One channel for each request, so that Discord's rate of edits does not slow the test."""
        for request in requests:
            self.sent += 1
            channel = self.application_id * 1_000_000 + self.sent * 10
            self._not_shown[channel] = request
            await self.discord.command(
                self.application_id,
                channel,
                channel + 1,
                "redraw",
                prompt=request.prompt,
                private=request.private,
            )

    def _random_request(self) -> SimulatedRequest:
        cancels = self.random.random() < 0.15
        private = self.random.random() < self.private
        return SimulatedRequest(
            prompt="slow" if cancels else self.random.choice(PROMPTS),
            private=private,
            cancels=cancels,
            # A private reply cannot be deleted by others, and its user does not.
            deletes=not (cancels or private) and self.random.random() < self.deleted,
        )


def death(process: BaseProcess) -> asyncio.Future[None]:
    """Done when the process has ended."""
    loop = asyncio.get_running_loop()
    died = loop.create_future()

    def end() -> None:
        loop.remove_reader(process.sentinel)
        died.set_result(None)

    loop.add_reader(process.sentinel, end)
    return died


def _signal(process: BaseProcess, number: int) -> None:
    """Send a signal if the process is alive. Its id cannot have been reused before it is joined."""
    if process.is_alive() and process.pid is not None:
        os.kill(process.pid, number)
