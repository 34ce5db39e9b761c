"""A running bot with an engine that the test controls, and requests of users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot.jobs.job import Destination, Job, Variant
from bot.store.database import no_failpoint
from inference import (
    ImageRequest,
    ImageResult,
    InferenceError,
    Progress,
    ServiceState,
    ServiceStatus,
    Timings,
)
from tests.support.bots.minimal_bot import (
    Bot,
    job_for,
    open_bot,
    point_discord_py_at,
    square,
)
from tests.support.fake_discord.objects import Message
from tests.support.fake_discord.server import FakeDiscord, fake_discord
from tests.support.fake_discord.state import TOKEN_SECONDS, DiscordState
from tests.support.services import FakeLifecycle

BOT = 1001
READY = ServiceStatus(state=ServiceState.READY, detail="ready", slots=4)


@dataclass
class Engine(FakeLifecycle):
    """An engine that a test controls.

    A request ends when `gate` is set and `may_end` accepts its id. `errors` maps the start of a
    request's id to the error that it raises.
    """

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
    # Seconds before each step that it reports.
    steps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self.gate.set()

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
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
        return ImageResult(
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
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(condition)


async def requested_job(
    bot: Bot, state: DiscordState, user: int, channel: int, *, private: bool = False
) -> Job:
    """A job with a deferred reply, not yet accepted."""
    interaction = state.interact(BOT, channel, user)
    reply = state.defer(interaction.token, flags=64 if private else 0)
    return job_for(
        Destination(
            application_id=BOT,
            channel_id=channel,
            guild_id=7,
            message_id=reply.id,
            token=interaction.token,
            token_expires_at=interaction.created_at + TOKEN_SECONDS,
            private=private,
        ),
        user_id=user,
        source=await bot.store.pictures.put(square(interaction.id)),
        now=state.now(),
    )


@dataclass
class RunningBot:
    """A running bot on the fake Discord."""

    discord: FakeDiscord
    bot: Bot
    engine: Engine

    async def job(
        self, user: int, *, private: bool = False, pictures: int = 1, channel: int = 0
    ) -> Job:
        """A job with a deferred reply, not yet accepted. Without `channel` it gets a new one."""
        discord_state = self.discord.discord_state
        channel = channel or 1000 + len(discord_state.interactions)
        job = await requested_job(self.bot, discord_state, user, channel, private=private)
        return replace(job, variants=tuple(Variant(seed=n, strength=1.0) for n in range(pictures)))

    async def ask(self, user: int, *, pictures: int = 1, channel: int = 0) -> Job:
        """An accepted job."""
        job = await self.job(user, pictures=pictures, channel=channel)
        await self.bot.runner.accept(job)
        return job

    async def idle(self) -> None:
        async with asyncio.timeout(30):
            await self.bot.runner.wait_idle()

    def answers(self, job: Job) -> list[Message]:
        """Messages that showed an answer to that job at any time."""
        return [
            message
            for message in self.discord.discord_state.messages.values()
            if any("answer" in text and job.id in text for _, text in message.shown)
        ]

    async def state(self, job: Job) -> Job:
        found = await self.bot.store.job(job.id)
        assert found is not None
        return found


@asynccontextmanager
async def open_running_bot(
    folder: Path,
    engine: Engine | None = None,
    discord_state: DiscordState | None = None,
    limit: int = 10_000,
    failpoint: Callable[[str], None] = no_failpoint,
) -> AsyncIterator[RunningBot]:
    engine, discord_state = engine or Engine(), discord_state or DiscordState()
    async with fake_discord(discord_state) as discord:
        point_discord_py_at(discord.port)
        async with open_bot(
            folder,
            BOT,
            clock=discord_state.now,
            engine=engine,
            limit=limit,
            failpoint=failpoint,
        ) as bot:
            yield RunningBot(discord, bot, engine)
