"""Connects to Discord: retries network errors, and turns refusals into sentences."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aiohttp
import discord

from bot.backoff import Backoff
from bot.errors import StartError

log = logging.getLogger(__name__)

# Between attempts, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 120.0
APPLICATIONS = "https://discord.com/developers/applications"

Sleep = Callable[[float], Awaitable[None]]


async def log_in(bot: discord.Client, token: str, *, sleep: Sleep = asyncio.sleep) -> None:
    """Log in and publish the commands; retries while Discord cannot be reached.

    Raises:
        StartError: Discord refuses the token or the commands.
    """
    backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    while True:
        try:
            await bot.login(token)
        except discord.LoginFailure as error:
            raise token_refused() from error
        except Exception as error:
            if _is_temporary(error):
                # Each login opens a new session on the same connector.
                await bot.http.close()
                bot.http.connector = discord.utils.MISSING
                await sleep(_pause_after(error, backoff))
                continue
            if isinstance(error, discord.HTTPException):
                raise StartError(f"Discord refuses the bot: {error}.") from error
            raise
        return


async def stay_connected(bot: discord.Client, *, sleep: Sleep = asyncio.sleep) -> None:
    """Keep the gateway connection until the bot is closed; retries network errors.

    Raises:
        StartError: Discord refuses the token or an intent.
    """
    backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    while not bot.is_closed():
        try:
            await bot.connect()
        except discord.PrivilegedIntentsRequired as error:
            raise StartError(
                "MESSAGE_CONTENT is on, but the message content intent is off: turn it on at "
                f'{APPLICATIONS}, "Bot", or set MESSAGE_CONTENT=false.'
            ) from error
        except discord.ConnectionClosed as error:
            # discord.py reconnects after every close code that allows it.
            # https://discord.com/developers/docs/topics/opcodes-and-status-codes#gateway
            if error.code == 4004:
                raise token_refused() from error
            raise StartError(
                f"Discord ended the connection with close code {error.code}: {error.reason}."
            ) from error
        except Exception as error:
            if isinstance(error.__cause__, discord.HTTPException) and error.__cause__.status == 401:
                raise token_refused() from error
            if not _is_temporary(error):
                raise
            await sleep(_pause_after(error, backoff))


def _pause_after(error: Exception, backoff: Backoff) -> float:
    pause = backoff.next()
    log.warning("Discord cannot be reached (%s); next try in %g s", _name(error), pause)
    return pause


def token_refused() -> StartError:
    """The sentence for a token that Discord does not accept, or no longer accepts."""
    return StartError(
        f"Discord does not accept DISCORD_TOKEN: make a new one at {APPLICATIONS}, "
        '"Bot", "Reset Token".'
    )


def _is_temporary(error: Exception) -> bool:
    match error:
        case discord.HTTPException(status=status):
            return status >= 500 or status == 429
    return isinstance(error, aiohttp.ClientError | OSError | TimeoutError | discord.GatewayNotFound)


def _name(error: Exception) -> str:
    if isinstance(error, discord.HTTPException):
        return f"HTTP status {error.status}"
    return type(error).__name__
