"""The discord.py client: loads the cogs and publishes the commands."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

import discord
from discord.ext import commands

from bot.commands.allowed_places import ServerNotAllowed, check_place
from bot.commands.command_sync import sync_commands
from bot.commands.command_tree import RedrawTree
from bot.config import Settings
from bot.delivery.delivery import Delivery
from bot.event_guard import read_snapshots_without_type, skip_unreadable_events
from bot.i18n.translate import CommandTranslator
from bot.images.slow_work import SlowPictureWork
from bot.intake import Intake
from bot.jobs.checks import JobChecks
from bot.models import ConfiguredModels
from bot.moderation.actions import ModeratorActions
from bot.moderation.log import ModerationLog
from bot.moderation.moderation import Moderation
from bot.monitoring.http_trace import trace_requests
from bot.monitoring.metrics import Metrics
from bot.runner.runner import Runner
from bot.store.store import Store
from bot.styles import Styles
from inference import InferenceService, ModelEntry

log = logging.getLogger(__name__)

# The bot does not use voice; discord.py would warn at every start that it is not available.
discord.VoiceClient.warn_nacl = False
discord.VoiceClient.warn_dave = False

COGS = (
    "cogs.help",
    "cogs.img2img",
    "cogs.edit",
    "cogs.imagine",
    "cogs.queue",
    "cogs.history",
    "cogs.gallery",
    "cogs.defaults",
    "cogs.privacy",
    "cogs.settings",
    "cogs.moderation",
    "cogs.admin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services that cogs use. The composition root opens and closes them."""

    settings: Settings
    models: ConfiguredModels
    intake: Intake
    store: Store
    delivery: Delivery
    runner: Runner
    checks: JobChecks
    moderation: Moderation
    moderator_actions: ModeratorActions
    moderation_log: ModerationLog
    styles: Styles
    inference: InferenceService
    slow_work: SlowPictureWork

    @property
    def model(self) -> ModelEntry:
        """The default model."""
        return self.models.default


def intents(settings: Settings) -> discord.Intents:
    """The intents that the commands need; message content only if the operator turned it on.

    Without it, messages of other users have no attachments in a channel's history:
    https://discord.com/developers/docs/events/gateway#message-content-intent
    """
    wanted = discord.Intents(
        guilds=True,
        guild_messages=True,
        dm_messages=True,
        guild_reactions=True,
        dm_reactions=True,
    )
    wanted.message_content = settings.message_content
    return wanted


class RedrawBot(commands.AutoShardedBot):
    """The bot. `services` is set by the composition root before the bot starts.

    Discord requires shards from 2,500 servers on, and says how many.
    https://discord.com/developers/docs/events/gateway#sharding
    """

    services: Services

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__(
            http_trace=trace_requests(metrics),
            command_prefix=commands.when_mentioned,
            help_command=None,
            tree_cls=RedrawTree,
            intents=intents(settings),
            allowed_contexts=discord.app_commands.AppCommandContext(
                guild=True,
                dm_channel=settings.direct_messages == "on",
                private_channel=settings.user_install,
            ),
            allowed_installs=discord.app_commands.AppInstallationType(
                guild=True, user=settings.user_install
            ),
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
        )
        read_snapshots_without_type()
        skip_unreadable_events(self)
        self.metrics = metrics
        self._settings = settings
        assert isinstance(self.tree, RedrawTree)
        self.tree.check_place = partial(check_place, settings)

    def is_connected(self) -> bool:
        """Whether the bot is logged in and the gateway connection of every shard is open."""
        return self.is_ready() and not any(shard.is_closed() for shard in self.shards.values())

    async def setup_hook(self) -> None:
        """Load every cog and publish the commands. A cog that fails to load stops the start."""
        await self.tree.set_translator(CommandTranslator())
        for cog in COGS:
            # A login that failed after this point is repeated.
            if cog not in self.extensions:
                await self.load_extension(cog)
        assert self.application_id is not None
        await sync_commands(self.tree, self.application_id, self._settings.data_dir)

    async def on_ready(self) -> None:
        """Log that the bot is connected."""
        log.info("online as %s in %d servers", self.user, len(self.guilds))

    async def on_guild_available(self, guild: discord.Guild) -> None:
        """Called by discord.py for every server after the start."""
        await self.on_guild_join(guild)

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """Leave a server that is not in `ALLOWED_GUILD_IDS`."""
        try:
            check_place(self._settings, guild.id)
        except ServerNotAllowed:
            log.warning("leaving the server %d, which is not in ALLOWED_GUILD_IDS", guild.id)
            await guild.leave()

    async def on_message(self, message: discord.Message, /) -> None:
        """Replaces discord.py's text commands: the cogs listen for mentions themselves."""
