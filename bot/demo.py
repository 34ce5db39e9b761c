"""The same bot inside a simulated Discord, in a browser: no token, no GPU, nothing leaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import tempfile
from pathlib import Path

import discord
import simcord
from simcord.actors import MemberActor
from simcord.backend.errors import SetupError
from simcord.builders import ChannelHandle
from simcord.preview import Preview

from bot.app import open_bot
from bot.client import RedrawBot
from bot.config import Settings
from bot.jobs.runner import Runner
from bot.words import notice_of, say
from inference import POCKET, LocalService, ModelEntry, find_model

# How often the browser is shown what the bot has changed by itself.
REFRESH_SECONDS = 0.25


async def run_demo(settings: Settings) -> None:
    """Serve until the person ends the preview or presses Ctrl-C; print the link.

    Jobs and pictures live in a temporary folder and go with it.
    """
    # What the simulation makes discord.py say is no news to a newcomer.
    logging.getLogger("discord").setLevel(logging.ERROR)
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
            LocalService(
                model=settings.model, device=settings.device, dtype=settings.dtype
            ) as service,
            open_bot(settings, service) as bot,
            simcord.run(bot, settle_timeout=30.0) as env,
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
                print(say("en", "demo.link", url=preview.url), flush=True)  # noqa: T201
                await _keep_fresh(env, preview, bot.services.runner)


async def _welcome(
    bot: RedrawBot, member: MemberActor, channel: ChannelHandle, model: ModelEntry
) -> None:
    """Pictures to try it with, and what the small model knows."""
    samples = sorted((POCKET / "samples").glob("*.png"))
    await member.send(
        channel,
        say("en", "demo.samples"),
        attachments=[(sample.name, sample.read_bytes()) for sample in samples],
    )
    lines = [say("en", "demo.welcome")]
    if notice := notice_of("en", model.name):
        lines.append(notice)
    if model.name == "pocket":
        prompts = json.loads((POCKET / "vocabulary.json").read_text(encoding="utf-8"))["prompts"]
        lines.append(say("en", "demo.prompts", prompts=" · ".join(prompts)))
    target = bot.get_channel(channel.id)
    assert isinstance(target, discord.TextChannel)
    await target.send("\n".join(lines))


async def _keep_fresh(env: simcord.Env, preview: Preview, runner: Runner) -> None:
    """Show the browser what the bot did by itself: progress, previews, answers.

    Only while it does something: what a person's own click did is shown anyway, and a click that
    came during a refresh would be lost.
    """
    closed = asyncio.create_task(preview.wait_closed())
    shown, resting = -1, False
    while not closed.done():
        rested, resting = resting, await _is_idle(runner)
        happened = len(env.http_requests)
        if happened != shown and not (rested and resting):
            # Refused while a click of the person's is being handled.
            with contextlib.suppress(SetupError):
                await preview.refresh()
                shown = happened
        await asyncio.wait({closed}, timeout=REFRESH_SECONDS)


async def _is_idle(runner: Runner) -> bool:
    try:
        async with asyncio.timeout(0):
            await runner.wait_idle()
    except TimeoutError:
        return False
    return True
