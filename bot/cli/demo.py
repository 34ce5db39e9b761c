"""The same bot inside a simulated Discord, in a browser: no token, no GPU, nothing leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import discord
import simcord
from simcord.actors import MemberActor
from simcord.backend.errors import SetupError
from simcord.builders import ChannelHandle
from simcord.preview import Preview

from bot.app import open_bot
from bot.cli.local_service import local_service
from bot.client import RedrawBot
from bot.config import Settings
from bot.i18n.translate import notice_of, translate
from inference import POCKET, ModelEntry, find_model

# How often the browser is shown what the bot has changed by itself.
REFRESH_SECONDS = 0.25


async def run_demo(settings: Settings) -> None:
    """Serve until the person ends the preview, presses Ctrl-C or closes the terminal; print the
    link.

    Jobs and pictures live in a temporary folder and go with it.
    """
    model = find_model(settings.demo_model)
    with tempfile.TemporaryDirectory(prefix="redraw-demo-") as folder:
        settings = settings.model_copy(
            update={
                "data_dir": Path(folder),
                "model": settings.demo_model,
                # So that with neither file nor link the sample pictures are found.
                "message_content": True,
            }
        )
        async with (
            local_service(settings) as service,
            open_bot(settings, service) as bot,
            simcord.run(bot, settle_timeout=30.0, shard_count=1) as env,
            # Before anything waits for a time that this would skip.
            _today(env),
            bot.services.runner,
        ):
            env.backend.bot_user.name = "Redraw"
            guild = env.create_guild("Redraw demo")
            channel = guild.create_text_channel("pictures", topic=notice_of("en", model.name))
            people = [guild.add_member(env.create_user(name)) for name in ("alice", "bob")]
            await _welcome(bot, people[0], channel, model)
            async with env.preview(
                channel, viewers=people, layout="channel", port=settings.demo_port
            ) as preview:
                print(translate("en", "demo.link", url=preview.url), flush=True)  # noqa: T201
                await _keep_fresh(env, preview, _accept_clicks(preview))


@contextlib.asynccontextmanager
async def _today(env: simcord.Env) -> AsyncIterator[None]:
    """The simulation's clock stands at a day of its own: messages would have been sent then."""
    behind = (datetime.now(UTC) - env.now()).total_seconds()
    # It knows no way back, should this machine's own be wrong.
    await env.advance_time(max(0.0, behind))
    yield


async def _welcome(
    bot: RedrawBot, member: MemberActor, channel: ChannelHandle, model: ModelEntry
) -> None:
    """Pictures to try it with, and what the small model knows."""
    samples = sorted((POCKET / "samples").glob("*.png"))
    await member.send(
        channel,
        translate("en", "demo.samples"),
        attachments=[(sample.name, sample.read_bytes()) for sample in samples],
    )
    lines = [translate("en", "demo.welcome")]
    if notice := notice_of("en", model.name):
        lines.append(notice)
    if model.name == "pocket":
        prompts = json.loads((POCKET / "vocabulary.json").read_text(encoding="utf-8"))["prompts"]
        lines.append(translate("en", "demo.prompts", prompts=" · ".join(prompts)))
    target = bot.get_channel(channel.id)
    assert isinstance(target, discord.TextChannel)
    await target.send("\n".join(lines))


def _accept_clicks(preview: Preview) -> asyncio.Lock:
    """Let a click count although the page has changed by itself since the person's browser read it.

    The preview refuses what refers to an older state of the page, which a test wants; here each
    step of a picture under way would be one. What is no longer there is refused nevertheless. The
    lock that is returned keeps refreshes away from clicks: what overlaps in the simulation is lost.
    """
    lock = asyncio.Lock()
    act = preview._action

    async def act_now(context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        async with lock:
            now = preview._get_page(context_id).revision
            return await act(context_id, {**body, "published_revision": now})

    preview._action = act_now  # type: ignore[method-assign]
    return lock


async def _keep_fresh(env: simcord.Env, preview: Preview, lock: asyncio.Lock) -> None:
    """Show the browser what the bot did by itself: progress, previews, answers."""
    closed = asyncio.create_task(preview.wait_closed())
    # A closed terminal ends it, too: the temporary folder must not stay behind.
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, closed.cancel)
    shown = -1
    while not closed.done():
        happened = len(env.http_requests)
        if happened != shown:
            async with lock:
                # Refused when the person has just ended the preview.
                with contextlib.suppress(SetupError):
                    await preview.refresh()
                    shown = happened
        await asyncio.wait({closed}, timeout=REFRESH_SECONDS)
