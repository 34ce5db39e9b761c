"""A running bot, an engine that does as it is told, and people who ask for pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot.jobs.job import Destination, Job, Variant
from inference import (
    Img2ImgRequest,
    Img2ImgResult,
    InferenceError,
    Progress,
    ServiceState,
    ServiceStatus,
    Timings,
)
from tests.fakediscord.house import Bot, job_for, open_bot, point_discord_py_at, square
from tests.fakediscord.server import FakeDiscord, fake_discord
from tests.fakediscord.world import TOKEN_SECONDS, Message, World

BOT = 1001
READY = ServiceStatus(state=ServiceState.READY, detail="ready", slots=4)


@dataclass
class Engine:
    """Requests end when `gate` is open and `held` lets them; `errors` maps the start of a
    request's id to what it raises."""

    status: ServiceStatus = READY
    errors: dict[str, InferenceError] = field(default_factory=dict)
    seconds: float = 1.0
    begun: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    inside: set[str] = field(default_factory=set)
    most_inside: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    may_end: Callable[[str], bool] = lambda _: True
    # Seconds, on the clock, between the steps that it reports.
    steps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self.gate.set()

    async def generate(
        self, request: Img2ImgRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> Img2ImgResult:
        self.begun.append(request.id)
        self.inside.add(request.id)
        self.most_inside = max(self.most_inside, len(self.inside))
        try:
            await self.tell()
            if on_progress:
                on_progress(Progress(id=request.id, step=0, total=2))
            for step, pause in enumerate(self.steps, start=1):
                await asyncio.sleep(pause)
                if on_progress:
                    on_progress(Progress(id=request.id, step=step, total=len(self.steps)))
            await self.gate.wait()
            async with self.changed:
                await self.changed.wait_for(lambda: self.may_end(request.id))
            for start, error in self.errors.items():
                if request.id.startswith(start):
                    raise error
        except asyncio.CancelledError:
            self.cancelled.append(request.id)
            raise
        finally:
            self.inside.discard(request.id)
        return Img2ImgResult(
            id=request.id,
            pixels=request.pixels,
            width=request.width,
            height=request.height,
            steps_run=2,
            timings=Timings(prepare=0.0, steps=self.seconds, decode=0.0),
        )

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(condition)


@dataclass
class Office:
    """A running bot, and people who ask it for something."""

    discord: FakeDiscord
    bot: Bot
    engine: Engine

    async def job(
        self, person: int, *, private: bool = False, pictures: int = 1, channel: int = 0
    ) -> Job:
        """A request with its deferred reply, not accepted yet; everybody in their own channel
        where none is given."""
        world = self.discord.world
        channel = channel or 1000 + len(world.interactions)
        interaction = world.interact(BOT, channel, person)
        reply = world.acknowledge(interaction.token, flags=64 if private else 0)
        job = job_for(
            Destination(
                application_id=BOT,
                channel_id=channel,
                guild_id=7,
                message_id=reply.id,
                token=interaction.token,
                token_expires_at=interaction.created_at + TOKEN_SECONDS,
                private=private,
            ),
            user_id=person,
            source=await self.bot.store.pictures.put(square(interaction.id)),
            now=world.now(),
        )
        return replace(job, variants=tuple(Variant(seed=n, strength=1.0) for n in range(pictures)))

    async def ask(self, person: int, *, pictures: int = 1, channel: int = 0) -> Job:
        """An accepted request."""
        job = await self.job(person, pictures=pictures, channel=channel)
        await self.bot.runner.accept(job)
        return job

    async def idle(self) -> None:
        async with asyncio.timeout(30):
            await self.bot.runner.wait_idle()

    def answers(self, job: Job) -> list[Message]:
        """Messages that were an answer to that job at any time."""
        return [
            message
            for message in self.discord.world.messages.values()
            if any("answer" in text and job.id in text for _, text in message.shown)
        ]

    async def state(self, job: Job) -> Job:
        found = await self.bot.store.job(job.id)
        assert found is not None
        return found


@asynccontextmanager
async def open_office(
    folder: Path, engine: Engine | None = None, world: World | None = None, limit: int = 10_000
) -> AsyncIterator[Office]:
    engine, world = engine or Engine(), world or World()
    async with fake_discord(world) as discord:
        point_discord_py_at(discord.port)
        async with open_bot(folder, BOT, clock=world.now, engine=engine, limit=limit) as bot:
            yield Office(discord, bot, engine)
