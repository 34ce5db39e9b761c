"""Puts the house together: opens every service in order, passes it in, closes in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bot.client import RedrawBot, Services
from bot.config import Settings
from bot.delivery import Delivery, Upload
from bot.encode import encode_all
from bot.intake import Intake, IntakeLimits
from bot.intake.fetch import FetchLimits
from bot.jobs.job import Job
from bot.jobs.queue import FairQueue
from bot.jobs.runner import Runner
from bot.jobs.store import Store
from bot.picture import Picture
from cogs.img2img.view import Img2ImgPresenter
from inference import InferenceService
from inference.models import find_model


def intake_limits(settings: Settings) -> IntakeLimits:
    """The operator's wishes for links and pictures."""
    return IntakeLimits(
        fetch=FetchLimits(
            allowed_ports=frozenset(settings.allowed_ports),
            allowed_hosts=frozenset(host.lower() for host in settings.allowed_hosts),
            denied_hosts=frozenset(host.lower() for host in settings.denied_hosts),
        ),
        background=settings.background,
    )


@asynccontextmanager
async def open_bot(settings: Settings, inference: InferenceService) -> AsyncIterator[RedrawBot]:
    """A bot with all of its services open, not yet connected to Discord.

    The runner is given with it, not yet running: whoever starts the bot enters it once the bot can
    send, and leaves it before the bot closes.

    Raises:
        StoreLocked: another bot process has this data directory open.
        ModelUnavailable: `MODEL` names nothing.
    """
    model = find_model(settings.model)
    presenter = Img2ImgPresenter(notice=model.notice)

    async def encode(job: Job, pictures: Sequence[Picture]) -> tuple[Upload, ...]:
        return await encode_all(
            job,
            pictures,
            alt=presenter.alt,
            write_settings=settings.write_settings,
        )

    async with Store.open(settings.data_dir) as store, Intake(intake_limits(settings)) as intake:
        bot = RedrawBot(settings)
        delivery = Delivery(bot, presenter, store, encode)
        queue = FairQueue(
            limit=settings.queue_limit, limit_per_person=settings.queue_limit_per_person
        )
        bot.services = Services(
            settings=settings,
            model=model,
            intake=intake,
            store=store,
            runner=Runner(
                store=store,
                service=inference,
                delivery=delivery,
                queue=queue,
                retention_hours=settings.retention_hours,
            ),
            inference=inference,
        )
        yield bot
