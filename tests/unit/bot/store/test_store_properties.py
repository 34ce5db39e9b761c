"""The store under any sequence of changes, reopenings and interrupted changes, against a model."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.errors import JobNotActive
from bot.images.picture import Picture
from bot.jobs.job import Job, JobState
from bot.store.store import Store
from tests.support.jobs import job, picture

S = JobState
RUNNABLE = {S.QUEUED, S.RUNNING}
# Change → the states in which it is possible, and the state afterwards (None: unchanged).
CHANGES: dict[str, tuple[set[JobState], JobState | None]] = {
    "start": (RUNNABLE, S.RUNNING),
    "requeue": ({S.RUNNING}, S.QUEUED),
    "bot_died": ({S.RUNNING}, S.QUEUED),
    "worker_died": ({S.RUNNING}, S.QUEUED),
    "made": ({S.RUNNING}, S.MADE),
    "fail": ({*RUNNABLE, S.MADE}, S.FAILED),
    "cancel": (RUNNABLE, S.CANCELLED),
    "answered": ({S.MADE, S.FAILED, S.CANCELLED, S.DELIVERED}, None),
}
ARGUMENTS: dict[str, tuple[object, ...]] = {
    "start": (5.0,),
    "made": (2.5,),
    "fail": ("It failed.",),
    "answered": (9.0,),
}

# The failpoint is inside the transaction.
kills = st.sampled_from(["", "", "within"])


@dataclass
class Expected:
    """The store's record of a job."""

    user: int
    source: Picture
    state: JobState = S.QUEUED
    attempts: int = 0
    bot_deaths: int = 0
    result: Picture | None = None
    finished: bool = False


class Interrupted(Exception):
    """The process ends here."""


class StoreMachine(RuleBasedStateMachine):
    """One store in a temporary folder."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = AsyncExitStack()
        self.numbers = itertools.count()
        self.jobs: dict[str, Expected] = {}
        self.interrupt_at = ""

    def failpoint(self, name: str) -> None:
        if name == self.interrupt_at:
            raise Interrupted

    async def open(self) -> None:
        self.store = await self.stack.enter_async_context(
            Store.open(Path(self.folder.name), failpoint=self.failpoint)
        )

    @initialize()
    def first_opening(self) -> None:
        self.loop.run(self.open())

    @rule()
    def reopen(self) -> None:
        self.loop.run(self.stack.aclose())
        self.loop.run(self.open())

    @rule(user=st.integers(1, 2))
    def accept(self, user: int) -> None:
        async def accept() -> Job:
            source = await self.store.pictures.put(picture(number))
            accepted = job(source, user_id=user)
            await self.store.accept(accepted)
            return accepted

        number = next(self.numbers)
        self.jobs[self.loop.run(accept()).id] = Expected(user, picture(number))

    @precondition(lambda self: bool(self.jobs))
    @rule(
        data=st.data(), change=st.sampled_from(list(CHANGES)), kill=st.sampled_from(["", "within"])
    )
    def change(self, data: st.DataObject, change: str, kill: str) -> None:
        """A change, or one that the end of the process interrupts: it leaves no trace."""
        id_ = data.draw(st.sampled_from(list(self.jobs)))
        expected = self.jobs[id_]
        allowed, after = CHANGES[change]
        names = {"bot_died": "bot death", "worker_died": "death"}
        self.interrupt_at = kill and f"{kill} {names.get(change, change)}"
        method: Callable[..., Awaitable[Job]] = getattr(self.store, change)

        async def run() -> Job:
            return await method(id_, *ARGUMENTS.get(change, ()))

        try:
            if kill:
                with pytest.raises(Interrupted):
                    self.loop.run(run())
                return
            if expected.state not in allowed:
                with pytest.raises(JobNotActive):
                    self.loop.run(run())
                return
            self.loop.run(run())
        finally:
            self.interrupt_at = ""
        expected.state = after or (S.DELIVERED if expected.state is S.MADE else expected.state)
        expected.attempts += change == "worker_died"
        expected.bot_deaths += change == "bot_died"
        expected.finished |= change == "answered"

    @precondition(lambda self: any(one.state is S.RUNNING for one in self.jobs.values()))
    @rule(data=st.data())
    def variant(self, data: st.DataObject) -> None:
        running = [id_ for id_, one in self.jobs.items() if one.state is S.RUNNING]
        id_ = data.draw(st.sampled_from(running))
        result = picture(next(self.numbers))

        async def made() -> None:
            stored = await self.store.pictures.put(result)
            await self.store.variant_made(id_, 0, stored, ignored_prompt="", depth=None)

        self.loop.run(made())
        self.jobs[id_].result = result

    @rule(user=st.integers(1, 2))
    def erase(self, user: int) -> None:
        gone = [id_ for id_, one in self.jobs.items() if one.user == user]
        assert self.loop.run(self.store.erase_user(user)) == len(gone)
        for id_ in gone:
            del self.jobs[id_]

    @invariant()
    def the_store_agrees_with_the_model(self) -> None:
        if hasattr(self, "store"):
            self.loop.run(self.compare())

    async def compare(self) -> None:
        open_ids = [id_ for id_, one in self.jobs.items() if not one.finished]
        assert [one.id for one in await self.store.unanswered()] == open_ids
        for user in (1, 2):
            own = [id_ for id_, one in self.jobs.items() if one.user == user]
            assert [one.id for one in await self.store.jobs_of(user)] == own[::-1]
        for id_, expected in self.jobs.items():
            found = await self.store.job(id_)
            assert found is not None
            assert (found.state, found.attempts) == (expected.state, expected.attempts)
            assert found.bot_deaths == expected.bot_deaths
            assert (found.destination.token is None) == expected.finished
            assert found.source is not None
            assert await self.store.pictures.get(found.source) == expected.source
            stored = found.variants[0].result
            assert (stored is None) == (expected.result is None)
            if stored is not None:
                assert await self.store.pictures.get(stored) == expected.result

    def teardown(self) -> None:
        self.loop.run(self.stack.aclose())
        self.loop.close()
        kept = {one.source.pixels for one in self.jobs.values()}
        kept |= {one.result.pixels for one in self.jobs.values() if one.result is not None}
        files = [path for path in Path(self.folder.name, "pictures").rglob("*") if path.is_file()]
        # Erased pictures leave no file; a replaced result may stay until its job is erased.
        assert len(files) >= len(kept)
        if not self.jobs:
            assert files == []
        self.folder.cleanup()


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=settings().max_examples // 3)
