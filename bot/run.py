"""`python -m bot run`: the real bot, from settings to a clean stop."""

from __future__ import annotations

import asyncio
import logging
import signal

import aiohttp
import discord

from bot.app import open_bot
from bot.client import RedrawBot
from bot.config import Settings
from bot.errors import StartError
from bot.permissions import in_discords_words
from bot.presence import show_state
from inference import LocalService

log = logging.getLogger(__name__)

# What the commands need and nothing more; `python -m bot check` and the README spell them out.
PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    attach_files=True,
    embed_links=True,
    read_message_history=True,
)

WITHOUT_TOKEN = """\
There is no DISCORD_TOKEN yet. To get one:

  1. Open https://discord.com/developers/applications, press "New Application".
  2. Under "Bot", press "Reset Token" and copy it.
  3. Put it into the file .env here:  DISCORD_TOKEN=the token
     (`cp .env.example .env` gives you every setting with its reason)
  4. Under "General Information", copy the Application ID into this link and open it to invite
     the bot to your server:
       {invite}
     The link asks for: {permissions}.

Then `make run` again. To try the bot without Discord: `make demo`."""


def invite_link(application_id: int | str) -> str:
    """The address that adds the bot to a server with just the permissions it needs."""
    return discord.utils.oauth_url(
        application_id, permissions=PERMISSIONS, scopes=("bot", "applications.commands")
    )


def no_token() -> str:
    """What to do when there is no token."""
    return WITHOUT_TOKEN.format(
        invite=invite_link("APPLICATION_ID"),
        permissions=in_discords_words(name for name, on in PERMISSIONS if on),
    )


async def run_bot(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises:
        StartError: no token, a token that Discord refuses, an intent that is not turned on.
        ModelUnavailable: the model cannot be loaded.
    """
    if settings.discord_token is None:
        raise StartError(no_token())
    async with (
        LocalService(
            model=settings.model,
            device=settings.device,
            dtype=settings.dtype,
            batch_rows=settings.batch_rows,
            cache_dir=settings.data_dir,
        ) as service,
        open_bot(settings, service) as bot,
        bot,
    ):
        await _log_in(bot, settings.discord_token.get_secret_value())
        # Jobs of the last run are taken up as soon as the bot can send.
        async with bot.services.runner:
            await _serve(bot, service)
            log.info("stopping: what waits is kept for the next start")


async def _log_in(bot: RedrawBot, token: str) -> None:
    try:
        await bot.login(token)
    except discord.LoginFailure as error:
        raise StartError(
            "Discord does not accept DISCORD_TOKEN: make a new one at "
            'https://discord.com/developers/applications, "Bot", "Reset Token".'
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        raise StartError(
            "Discord cannot be reached: check this machine's internet connection."
        ) from error


async def _serve(bot: RedrawBot, service: LocalService) -> None:
    """Until a signal, or until something that the bot cannot do without has ended."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    work = {
        asyncio.create_task(bot.connect(), name="gateway"),
        asyncio.create_task(show_state(bot, service), name="presence"),
        asyncio.create_task(stop.wait(), name="signal"),
        asyncio.create_task(service.wait_failed(), name="model"),
    }
    try:
        done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except discord.PrivilegedIntentsRequired as error:
        raise StartError(
            "MESSAGE_CONTENT is on, but the message content intent is off: turn it on at "
            'https://discord.com/developers/applications, "Bot", or set MESSAGE_CONTENT=false.'
        ) from error
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
