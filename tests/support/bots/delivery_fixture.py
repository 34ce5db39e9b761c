"""Finished jobs, one at a time, for tests of delivery over real HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum

from bot.delivery.delivery import Delivery
from bot.delivery.edit_limiter import EditRateLimiter
from bot.delivery.message import EncodePictures
from bot.jobs.checks import JobChecks
from bot.jobs.job import Destination, Job
from bot.store.database import no_failpoint
from tests.support.bots.minimal_bot import Bot, PlainRenderer, as_png, job_for, square
from tests.support.checks import NoChecks
from tests.support.fake_discord.objects import Message, Refusal
from tests.support.fake_discord.server import FakeDiscord
from tests.support.fake_discord.state import TOKEN_SECONDS, DiscordState

BOT = 1001
API = "/api/v10"
EDIT_TOKEN = f"PATCH {API}/webhooks/{{application}}/{{token}}/messages/{{message}}"
EDIT_BOT = f"PATCH {API}/channels/{{channel}}/messages/{{message}}"
LOOK = f"GET {API}/channels/{{channel}}/messages/{{message}}"
SEARCH = f"GET {API}/channels/{{channel}}/messages"
POST = f"POST {API}/channels/{{channel}}/messages"
OPEN_DM = f"POST {API}/users/@me/channels"


class Site(Enum):
    """The calls that an answer can make. `Case.job_at` prepares a job whose answer makes them."""

    TOKEN_EDIT = EDIT_TOKEN
    BOT_EDIT = EDIT_BOT
    LOOK = LOOK
    CHANNEL_POST = POST
    SEARCH = SEARCH
    OPEN_DM = OPEN_DM


@dataclass
class DeliveryFixture:
    """One bot. Each case has its own channel, user and delivery, with this `failpoint`."""

    discord: FakeDiscord
    bot: Bot
    cases: int = 0
    failpoint: Callable[[str], None] = no_failpoint

    @property
    def discord_state(self) -> DiscordState:
        return self.discord.discord_state

    def case(self) -> Case:
        """Start a new case without faults."""
        self.cases += 1
        self.discord.faults.clear()
        self.discord.requests.clear()
        return Case(self, channel=500 + 10 * self.cases, user=600_000 + 10 * self.cases)


@dataclass
class Case:
    """One delivery. `slept` holds the pauses between attempts, which take no real time;
    `clock_error` is how many seconds the bot's clock is ahead of Discord's. `checks` are those of
    the pictures."""

    fixture: DeliveryFixture
    channel: int
    user: int
    slept: list[float] = field(default_factory=list)
    time: float = 0.0
    clock_error: float = 0.0
    checks: JobChecks = field(default_factory=NoChecks)

    @property
    def discord(self) -> FakeDiscord:
        return self.fixture.discord

    @property
    def discord_state(self) -> DiscordState:
        return self.fixture.discord.discord_state

    async def deliver(self, job: Job, encode: EncodePictures = as_png) -> None:
        """Answer the job."""
        async with asyncio.timeout(60):
            await self.delivery(encode).deliver(job)

    def delivery(self, encode: EncodePictures = as_png) -> Delivery:
        """A delivery for this case."""

        async def pass_time(seconds: float) -> None:
            self.time += seconds

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            await pass_time(seconds)

        return Delivery(
            self.fixture.bot.client,
            PlainRenderer(),
            self.fixture.bot.store,
            encode,
            self.checks,
            edit_limiter=EditRateLimiter(now=lambda: self.time, sleep=pass_time),
            clock=lambda: time.time() + self.clock_error,
            monotonic=lambda: self.time,
            sleep=sleep,
            failpoint=self.fixture.failpoint,
        )

    async def made_job(
        self, *, private: bool = False, expired: bool = False, locale: str = "en-US"
    ) -> Job:
        """A job that was deferred and made, but not answered."""
        store, discord_state = self.fixture.bot.store, self.discord_state
        interaction = discord_state.interact(BOT, self.channel, self.user)
        deferred = discord_state.defer(interaction.token, flags=64 if private else 0)
        if expired:
            interaction.created_at -= TOKEN_SECONDS + 1
        job = job_for(
            Destination(
                application_id=BOT,
                channel_id=self.channel,
                guild_id=7,
                message_id=deferred.id,
                token=interaction.token,
                token_expires_at=interaction.created_at + TOKEN_SECONDS,
                private=private,
            ),
            user_id=self.user,
            source=await store.pictures.put(square(self.channel)),
            now=discord_state.now(),
        )
        job = replace(job, locale=locale)
        await store.accept(job)
        await store.start(job.id, discord_state.now())
        await store.variant_made(job.id, 0, job.sources[0], ignored_prompt="", depth=None)
        return await store.made(job.id, discord_state.now())

    async def job_at(self, site: Site) -> Job:
        """A job whose answer will make that call."""
        job = await self.made_job(expired=site is not Site.TOKEN_EDIT)
        if site in (Site.LOOK, Site.CHANNEL_POST):
            self.discord.faults[EDIT_BOT] = [Refusal(429, 30046, "Too many edits")]
        if site is Site.SEARCH:
            self.discord_state.messages[job.destination.message_id].deleted = True
            before = self.discord_state.now() - 600
            job = await self.fixture.bot.store.posting(job.id, self.channel, before)
        if site is Site.OPEN_DM:
            self.discord_state.close_channel(BOT, self.channel)
        return job

    def answers(self) -> list[Message]:
        """Messages that show an answer to this case's user."""
        positions = {self.channel, self.user + 1}
        messages = self.discord_state.messages.values()
        return [m for m in messages if m.channel_id in positions and "answer" in m.text]

    async def state(self, job: Job) -> Job:
        found = await self.fixture.bot.store.job(job.id)
        assert found is not None
        return found
