"""The composition root: opens every service, passes it in, and closes them in reverse order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from bot.client import RedrawBot, Services
from bot.config import Settings
from bot.delivery.attachments import encode_job
from bot.delivery.delivery import Delivery
from bot.delivery.edit_limiter import EditRateLimiter
from bot.delivery.message import Upload
from bot.images.picture import Picture
from bot.images.slow_work import SlowPictureWork
from bot.intake import Intake, IntakeLimits
from bot.jobs.job import Job
from bot.models import ConfiguredModels
from bot.moderation.actions import ModeratorActions
from bot.moderation.cases import ModerationCases
from bot.moderation.detectors.classifier import ClassifierProcess, ImageClassifier
from bot.moderation.job_checks import ModerationChecks
from bot.moderation.lists import ModerationLists
from bot.moderation.log import ModerationLog
from bot.moderation.moderation import Moderation
from bot.monitoring.metrics import Metrics
from bot.runner.runner import Runner
from bot.store.store import Store
from bot.styles import Styles
from cogs.moderation.renderer import LogRenderer
from cogs.shared.renderer import Img2ImgRenderer, alt_text
from inference import InferenceService, ServiceState


@asynccontextmanager
async def open_bot(
    settings: Settings,
    inference: InferenceService,
    *,
    edit_limiter: EditRateLimiter | None = None,
) -> AsyncIterator[RedrawBot]:
    """A bot with all of its services open, not yet connected to Discord.

    Its runner is not running yet: enter it once the bot has logged in, and leave it before the bot
    closes. Tests pass an `edit_limiter` that does not wait.

    Raises:
        StoreLocked: another bot process has this data directory open.
        ModelUnavailable: a model is neither a catalogue name nor a repository nor a folder.
    """
    models = ConfiguredModels.from_names(settings.models)

    styles = (
        Styles(settings.styles_file)
        if settings.styles_file
        else Styles.shipped_for(models.default.name)
    )

    def can_share(job: Job) -> bool:
        """Not in servers without the bot, unless the operator has set a gallery for all."""
        guild_id = job.destination.guild_id
        known = guild_id is not None and bot.get_guild(guild_id) is not None
        return known or settings.gallery_channel is not None

    renderer = Img2ImgRenderer(
        lambda: inference.status.state is ServiceState.READY,
        can_share,
        favourites=settings.favourites_per_user > 0,
        styles=len(styles.names) > 1,
        tasks=models.tasks,
        options_of=models.options_of,
    )

    async def encode(job: Job, pictures: Sequence[Picture]) -> tuple[Upload, ...]:
        return await encode_job(
            job,
            pictures,
            alt=alt_text(job),
            options=models.options_of(job) if settings.write_settings else None,
        )

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.open(settings.data_dir))
        intake = await stack.enter_async_context(Intake(IntakeLimits.from_settings(settings)))
        metrics = Metrics()
        bot = RedrawBot(settings, metrics)
        lists, cases = ModerationLists(store.database), ModerationCases(store.database)
        moderation_log = await stack.enter_async_context(
            ModerationLog(
                bot,
                LogRenderer(),
                lists,
                cases,
                store.guild_settings,
                retention_hours=settings.retention_hours,
            )
        )
        classifier: ImageClassifier | None = None
        if settings.moderation:
            classifier = await stack.enter_async_context(
                ClassifierProcess(settings.moderation_model, settings.moderation_unsafe_labels)
            )
        moderation = Moderation(
            lists=lists,
            cases=cases,
            ledger=store.ledger,
            classifier=classifier,
            threshold=settings.moderation_threshold,
            age_restricted_threshold=settings.moderation_age_restricted_threshold,
            on_case=moderation_log.post_case,
        )
        checks = ModerationChecks(bot, moderation, store.pictures)
        delivery = Delivery(
            bot, renderer, store, encode, checks, edit_limiter=edit_limiter, metrics=metrics
        )
        bot.services = Services(
            settings=settings,
            models=models,
            intake=intake,
            store=store,
            delivery=delivery,
            runner=Runner(
                store=store,
                service=inference,
                delivery=delivery,
                checks=checks,
                queue_limit=settings.queue_limit,
                queue_limit_per_user=settings.queue_limit_per_user,
                retention_hours=settings.retention_hours,
                min_free_bytes=settings.min_free_mib * 2**20,
                metrics=metrics,
            ),
            checks=checks,
            moderation=moderation,
            moderator_actions=ModeratorActions(lists, cases, on_action=moderation_log.post_action),
            moderation_log=moderation_log,
            styles=styles,
            inference=inference,
            slow_work=await stack.enter_async_context(SlowPictureWork()),
        )
        metrics.watch(
            queue=bot.services.runner.queue,
            service=inference,
            connected=bot.is_connected,
            data_dir=settings.data_dir,
        )
        yield bot
