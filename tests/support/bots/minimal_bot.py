"""A bot with the real store, queue, runner and delivery, a fast fake engine and two commands."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import discord
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route
from PIL import Image
from yarl import URL

from bot.delivery.delivery import Delivery
from bot.delivery.message import MessageContent, Upload
from bot.errors import UserError
from bot.images.picture import Picture
from bot.jobs.job import Destination, Job, JobProgress, QueuePosition, Variant, new_job_id
from bot.runner.runner import Runner
from bot.store.database import no_failpoint
from bot.store.store import Store
from inference import (
    ImageRequest,
    ImageResult,
    InferenceService,
    OutOfMemory,
    Progress,
    ServiceState,
    ServiceStatus,
    Timings,
    WorkerDied,
)
from tests.support.checks import NoChecks
from tests.support.services import FakeLifecycle

SIZE = 8
# The prompt of a job in two tiles and one step, which is as much work as two steps of a square.
TILED_PROMPT = "in tiles"
STEP_SECONDS = 0.004
# Prompt → by how much its steps are longer.
SLOWNESS = {"slow": 30, "very slow": 250}
# Sums of it are exact.
DEVICE_SECONDS = 1 / 128


class FastEngine(FakeLifecycle):
    """Takes two quick steps, or one of two tiles, and returns the picture inverted.

    The prompts `slow`, `very slow`, `too large`, `dies once` and `kills the bot` cause what they
    say. A `stuck` engine never finishes.
    """

    status = ServiceStatus(state=ServiceState.READY, detail="ready", slots=4)

    def __init__(self, *, stuck: bool = False) -> None:
        self.stuck = stuck

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        """As `InferenceService.generate`."""
        assert (request.tile is not None) == (request.prompt == TILED_PROMPT)
        if self.stuck:
            await asyncio.Event().wait()
        for step in (1, 2):
            await asyncio.sleep(STEP_SECONDS * SLOWNESS.get(request.prompt, 1))
            if on_progress:
                on_progress(Progress(id=request.id, step=step, total=2))
        if request.prompt == "kills the bot":
            os.kill(os.getpid(), signal.SIGKILL)
        if request.prompt == "too large":
            raise OutOfMemory("This picture does not fit.")
        if request.prompt == "dies once" and request.id.endswith("-1"):
            raise WorkerDied("The model broke down.")
        return ImageResult(
            id=request.id,
            pixels=bytes(255 - value for value in request.pixels),
            width=request.width,
            height=request.height,
            steps_run=2,
            timings=Timings(prepare=0.0, steps=2 * STEP_SECONDS, decode=0.0, device=DEVICE_SECONDS),
        )


class PlainRenderer:
    """Shows the state in one word, the job's id, and its position or step."""

    def queued(self, job: Job, position: QueuePosition) -> MessageContent:
        """See `JobRenderer`."""
        return _text_message(f"queued {job.id} behind {position.ahead}")

    def running(self, job: Job, progress: JobProgress) -> MessageContent:
        """See `JobRenderer`."""
        return _text_message(f"running {job.id} step {progress.step}")

    def made(self, job: Job, pictures: Sequence[Upload]) -> MessageContent:
        """See `JobRenderer`."""
        answer = _text_message(f"answer made {job.id}")
        gallery = discord.ui.MediaGallery[discord.ui.LayoutView]()
        for picture in pictures:
            gallery.add_item(media=f"attachment://{picture.filename}")
        if pictures:
            answer.view.add_item(gallery)
        return MessageContent(view=answer.view, files=tuple(pictures))

    def failed(self, job: Job) -> MessageContent:
        """See `JobRenderer`."""
        return _text_message(f"answer failed {job.id}: {job.error}")

    def cancelled(self, job: Job) -> MessageContent:
        """See `JobRenderer`."""
        return _text_message(f"answer cancelled {job.id}")


def _text_message(text: str) -> MessageContent:
    view = discord.ui.LayoutView(timeout=None)
    view.add_item(discord.ui.TextDisplay(text))
    return MessageContent(view=view)


async def as_png(job: Job, pictures: Sequence[Picture]) -> tuple[Upload, ...]:
    """Encode each picture as PNG, without a size limit."""
    uploads = []
    for number, picture in enumerate(pictures):
        out = BytesIO()
        Image.frombytes("RGB", (picture.width, picture.height), picture.pixels).save(out, "PNG")
        uploads.append(
            Upload(name=f"{job.id}-{number}.png", data=out.getvalue(), description="redrawn")
        )
    return tuple(uploads)


@dataclass
class Bot:
    """The bot's open services."""

    client: discord.Client
    store: Store
    delivery: Delivery
    runner: Runner


def point_discord_py_at(port: int) -> None:
    """Send all Discord traffic of this process to the fake Discord on that port."""
    Route.BASE = f"http://127.0.0.1:{port}/api/v10"
    DiscordWebSocket.DEFAULT_GATEWAY = URL(f"ws://127.0.0.1:{port}/")


@asynccontextmanager
async def open_bot(
    folder: Path,
    application_id: int,
    *,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    failpoint: Callable[[str], None] = no_failpoint,
    engine: InferenceService | None = None,
    limit: int = 10_000,
) -> AsyncIterator[Bot]:
    """A bot that is logged in and running, but not connected to the gateway."""
    client = discord.Client(
        intents=discord.Intents.none(),
        max_messages=None,
        # As `RedrawBot` has it.
        allowed_mentions=discord.AllowedMentions.none(),
    )
    async with Store.open(folder, failpoint=failpoint) as store, client:
        delivery = Delivery(
            client,
            PlainRenderer(),
            store,
            as_png,
            NoChecks(),
            clock=clock,
            sleep=sleep,
            failpoint=failpoint,
        )
        runner = Runner(
            store=store,
            service=engine or FastEngine(),
            delivery=delivery,
            checks=NoChecks(),
            queue_limit=limit,
            queue_limit_per_user=10_000,
            clock=clock,
        )
        _add_commands(client, store, runner, clock)
        await client.login(f"token-of-{application_id}")
        async with runner:
            yield Bot(client, store, delivery, runner)


def _add_commands(
    client: discord.Client, store: Store, runner: Runner, clock: Callable[[], float]
) -> None:
    tree = app_commands.CommandTree(client)

    @tree.command(description="Redraw a grey square.")
    async def redraw(interaction: discord.Interaction, prompt: str, private: bool = False) -> None:
        deferred = await interaction.response.defer(thinking=True, ephemeral=private)
        assert deferred is not None
        assert deferred.message_id is not None
        assert interaction.channel_id is not None
        job = job_for(
            Destination(
                application_id=interaction.application_id,
                channel_id=interaction.channel_id,
                guild_id=interaction.guild_id,
                message_id=deferred.message_id,
                token=interaction.token,
                token_expires_at=interaction.created_at.timestamp() + 15 * 60,
                private=private,
            ),
            user_id=interaction.user.id,
            source=await store.pictures.put(
                square(interaction.id, 2 if prompt == TILED_PROMPT else 1)
            ),
            prompt=prompt,
            now=clock(),
        )
        try:
            await runner.accept(job)
        except UserError as error:
            await interaction.edit_original_response(content=str(error))

    @tree.command(description="Cancel my jobs.")
    async def cancel(interaction: discord.Interaction) -> None:
        await interaction.response.defer(thinking=True, ephemeral=True)
        for job in [*runner.running, *runner.queue.order()]:
            if job.user_id == interaction.user.id:
                await runner.cancel(job.id)


def square(number: int, squares: int = 1) -> Picture:
    """A small picture that differs for each number: so many squares side by side."""
    width = squares * SIZE
    return Picture(number.to_bytes(24) * (width * SIZE // 8), width, SIZE)


def job_for(
    destination: Destination, *, user_id: int, source: str, now: float, prompt: str = "grey"
) -> Job:
    """A job as the cogs create it."""
    tiled = prompt == TILED_PROMPT
    return Job(
        id=new_job_id(),
        user_id=user_id,
        destination=destination,
        source=source,
        source_name="grey.png",
        width=2 * SIZE if tiled else SIZE,
        height=SIZE,
        tile=(SIZE, SIZE) if tiled else None,
        prompt=prompt,
        negative_prompt="",
        steps=1 if tiled else 2,
        guidance_scale=7.5,
        variants=(Variant(seed=1, strength=1.0),),
        created_at=now,
    )
