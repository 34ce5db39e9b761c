"""`python -m bot check`: reports everything that would keep the bot from starting, and a remedy."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import discord
from rich.console import Console

from bot.cli.load_settings import unknown_names
from bot.cli.model_errors import REMEDIES, explain
from bot.cli.onboarding import missing_token_help
from bot.config import Settings
from bot.permissions import invite_link
from inference import DeviceNotFound, ModelEntry, ModelUnavailable, find_model

# The files of a full-size model, and the images of one day.
FREE_BYTES = 6 * 2**30
OK, BAD, NOTE = "[green]ok  [/]", "[red]bad [/]", "[yellow]note[/]"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `fatal`: if it is not good, the bot cannot start."""

    name: str
    good: bool
    text: str
    fatal: bool = True


async def check(settings: Settings) -> int:
    """Print each finding as soon as it is known; return 1 if the bot could not start, else 0."""
    console = Console(highlight=False)
    failed = False
    async for finding in findings(settings):
        mark = OK if finding.good else BAD if finding.fatal else NOTE
        console.print(f"{mark} {finding.name}: {finding.text}", soft_wrap=True)
        failed = failed or (finding.fatal and not finding.good)
    return 1 if failed else 0


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """Settings, token, model, device and storage, in the order in which the bot needs them."""
    yield Finding("settings", True, "read and valid")
    for sentence in unknown_names():
        yield Finding("settings", False, sentence, fatal=False)
    yield await _token(settings)
    try:
        model = find_model(settings.model)
    except ModelUnavailable as error:
        yield Finding("model", False, explain(error))
    else:
        yield _model(model)
    yield await _device(settings)
    yield await asyncio.to_thread(_storage, settings)


async def _token(settings: Settings) -> Finding:
    if settings.discord_token is None:
        return Finding("token", False, missing_token_help())
    async with discord.Client(intents=discord.Intents.none()) as client:
        try:
            async with asyncio.timeout(15):
                await client.login(settings.discord_token.get_secret_value())
        except discord.LoginFailure:
            text = 'Discord does not accept it: press "Reset Token" on the application\'s page.'
            return Finding("token", False, text)
        except (aiohttp.ClientError, OSError, TimeoutError, discord.HTTPException):
            text = "Discord cannot be reached: check the internet connection."
            return Finding("token", False, text, fatal=False)
        link = invite_link(client.application_id or 0)
        return Finding("token", True, f"belongs to {client.user}; invite it with {link}")


def _model(model: ModelEntry) -> Finding:
    if not model.source or Path(model.source).is_dir():
        return Finding("model", True, f"{model.name}, on this machine (licence {model.licence})")
    cached = _is_cached(model.source)
    text = f"{model.name} from {model.source} (licence {model.licence}), " + (
        "downloaded" if cached else "will be downloaded at the first start"
    )
    return Finding("model", True, text)


def _is_cached(repository: str) -> bool:
    from huggingface_hub import constants

    name = "models--" + repository.replace("/", "--")
    return (Path(constants.HF_HUB_CACHE) / name / "snapshots").is_dir()


async def _device(settings: Settings) -> Finding:
    # In a process of its own, because this one never imports torch.
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inference.pipelines.devices",
        settings.device,
        settings.dtype,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines()
        text = f"{lines[-1]} {REMEDIES[DeviceNotFound]}" if lines else "torch does not start"
        return Finding("device", False, text)
    found = json.loads(out)
    text = f"{found['device']} in {found['dtype']}, {found['memory_gib']:.0f} GiB of memory"
    if found["device"] == "cpu":
        text += "; without a GPU an image of a full-size model takes minutes"
    return Finding("device", True, text)


def _storage(settings: Settings) -> Finding:
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        text = f"{folder} cannot be written to ({error.strerror}): choose another DATA_DIR"
        return Finding("storage", False, text)
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        text = (
            f"{folder}: only {free / 2**30:.1f} GiB free; a full-size model and its images need 6"
        )
        return Finding("storage", False, text, fatal=False)
    return Finding("storage", True, f"{folder}: {free / 2**30:.0f} GiB free")
