"""One made job at a time, on its way to its person, for tests of delivery over real HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum

from bot.delivery import Delivery, Encode
from bot.jobs.job import Destination, Job
from bot.pacer import Pacer
from tests.fakediscord.house import Bot, PlainPresenter, as_png, job_for, square
from tests.fakediscord.server import FakeDiscord
from tests.fakediscord.world import TOKEN_SECONDS, Message, Refusal, World

BOT = 1001
API = "/api/v10"
EDIT_TOKEN = f"PATCH {API}/webhooks/{{application}}/{{token}}/messages/{{message}}"
EDIT_BOT = f"PATCH {API}/channels/{{channel}}/messages/{{message}}"
LOOK = f"GET {API}/channels/{{channel}}/messages/{{message}}"
SEARCH = f"GET {API}/channels/{{channel}}/messages"
POST = f"POST {API}/channels/{{channel}}/messages"
OPEN_DM = f"POST {API}/users/@me/channels"


class Site(Enum):
    """Where an answer touches Discord, and what must have happened for it to come there."""

    TOKEN_EDIT = EDIT_TOKEN
    BOT_EDIT = EDIT_BOT
    LOOK = LOOK
    CHANNEL_POST = POST
    SEARCH = SEARCH
    OPEN_DM = OPEN_DM


@dataclass
class Desk:
    """One bot; each case has a channel, a person and a delivery of its own."""

    discord: FakeDiscord
    bot: Bot
    cases: int = 0

    @property
    def world(self) -> World:
        return self.discord.world

    def case(self) -> Case:
        """A fresh one, after which no fault is left over."""
        self.cases += 1
        self.discord.faults.clear()
        self.discord.requests.clear()
        return Case(self, channel=500 + 10 * self.cases, person=600_000 + 10 * self.cases)


@dataclass
class Case:
    """`slept` is what was waited between attempts; the waiting itself takes no time."""

    desk: Desk
    channel: int
    person: int
    slept: list[float] = field(default_factory=list)
    time: float = 0.0

    @property
    def discord(self) -> FakeDiscord:
        return self.desk.discord

    @property
    def world(self) -> World:
        return self.desk.discord.world

    async def deliver(self, job: Job, encode: Encode = as_png) -> None:
        """Answer the job."""

        async def pass_time(seconds: float) -> None:
            self.time += seconds

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            await pass_time(seconds)

        delivery = Delivery(
            self.desk.bot.client,
            PlainPresenter(),
            self.desk.bot.store,
            encode,
            pacer=Pacer(now=lambda: self.time, sleep=pass_time),
            sleep=sleep,
        )
        async with asyncio.timeout(20):
            await delivery.answer(job)

    async def made_job(self, *, private: bool = False, expired: bool = False) -> Job:
        """Asked for, deferred, made; not answered."""
        store, world = self.desk.bot.store, self.world
        interaction = world.interact(BOT, self.channel, self.person)
        deferred = world.acknowledge(interaction.token, flags=64 if private else 0)
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
            user_id=self.person,
            source=await store.pictures.put(square(self.channel)),
            now=world.now(),
        )
        await store.accept(job)
        await store.start(job.id, world.now())
        await store.variant_made(job.id, 0, job.source, ignored_prompt="", depth=None)
        return await store.made(job.id, world.now())

    async def job_at(self, site: Site) -> Job:
        """A job whose answer will come to that place."""
        job = await self.made_job(expired=site is not Site.TOKEN_EDIT)
        if site in (Site.LOOK, Site.CHANNEL_POST):
            self.discord.faults[EDIT_BOT] = [Refusal(429, 30046, "Too many edits")]
        if site is Site.SEARCH:
            self.world.messages[job.destination.message_id].deleted = True
            before = self.world.now() - 600
            job = await self.desk.bot.store.posting(job.id, self.channel, before)
        if site is Site.OPEN_DM:
            self.world.closed_channels.add(self.channel)
        return job

    def answers(self) -> list[Message]:
        """Messages that show this case's person an answer."""
        places = {self.channel, self.person + 1}
        messages = self.world.messages.values()
        return [m for m in messages if m.channel_id in places and "answer" in m.text]

    async def state(self, job: Job) -> Job:
        found = await self.desk.bot.store.job(job.id)
        assert found is not None
        return found
