"""`python -m bot check`: reports everything that would keep the bot from starting, and a remedy."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import discord
from rich.console import Console

from bot.backup.inspection import inspect
from bot.cli.device import find_device
from bot.cli.inference_service import use_hub_environment
from bot.cli.load_settings import unknown_names
from bot.cli.model_errors import explain
from bot.cli.onboarding import missing_token_help
from bot.config import Settings
from bot.errors import StartError
from bot.i18n.plurals import counted
from bot.permissions import invite_link
from bot.store.opening import FILE_NAME
from inference import ModelEntry, ModelUnavailable, find_local_model, find_models, hub_cache

# Below this, the report has a note.
FREE_BYTES = 1e9
OK, BAD, NOTE = "[green]ok  [/]", "[red]bad [/]", "[yellow]note[/]"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `fatal`: if it is not good, it cannot start, or data is lost."""

    name: str
    good: bool
    text: str
    fatal: bool = True


async def check(settings: Settings, *, deep: bool = False) -> int:
    """Print each finding as soon as it is known; return 1 if one is fatal, else 0."""
    console = Console(highlight=False)
    failed = False
    async for finding in findings(settings, deep=deep):
        mark = OK if finding.good else BAD if finding.fatal else NOTE
        console.print(f"{mark} {finding.name}: {finding.text}", soft_wrap=True)
        failed = failed or (finding.fatal and not finding.good)
    return 1 if failed else 0


async def findings(settings: Settings, *, deep: bool = False) -> AsyncIterator[Finding]:
    """Settings, token, model, device and storage, in the order in which the bot needs them.

    `deep` adds the integrity of the store; every picture is read.
    """
    use_hub_environment(settings)
    yield Finding("settings", True, "read and valid")
    for sentence in unknown_names():
        yield Finding("settings", False, sentence, fatal=False)
    yield await _token(settings)
    models: tuple[ModelEntry, ...] = ()
    try:
        models = find_models(settings.models)
    except ModelUnavailable as error:
        yield Finding("model", False, explain(error))
    for model in models:
        yield await asyncio.to_thread(_model, settings, model, model is models[0])
    async for finding in _device(settings, models):
        yield finding
    yield await asyncio.to_thread(_storage, settings)
    if deep:
        for finding in await asyncio.to_thread(_store, settings.data_dir):
            yield finding


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


def _model(settings: Settings, model: ModelEntry, is_default: bool) -> Finding:
    text = f"{model.name} (licence {model.licence})"
    if not model.on_hub:
        return Finding("model", True, f"{text}, on this machine")
    text = f"{model.name} from {model.source} (licence {model.licence})"
    for half in (True, False):
        if local := find_local_model(model, settings.data_dir, half=half):
            return Finding("model", True, f"{text}, downloaded to {local.folder}")
    if settings.hf_hub_offline:
        text = f"{text} is not downloaded, and HF_HUB_OFFLINE is true"
        return Finding("model", False, text)
    free = shutil.disk_usage(_existing(hub_cache())).free
    # Full precision is the larger download.
    needed = 4 * (model.parameters or 0)
    if free < needed:
        text = (
            f"{text}: its download needs up to {needed / 1e9:.1f} GB, and {hub_cache()} has "
            f"{free / 1e9:.1f} GB free; set HF_HOME to a folder on another disk"
        )
        return Finding("model", False, text, fatal=False)
    text = f"{text} will be downloaded to {hub_cache()} ({free / 1e9:.1f} GB free)"
    if not is_default:
        text = (
            f"{text} at its first request, which waits for it: run "
            f"`python -m bot models download {model.name}` before the start"
        )
        return Finding("model", False, text, fatal=False)
    return Finding("model", True, f"{text} at the first start, or by `python -m bot models`")


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())


async def _device(settings: Settings, models: Sequence[ModelEntry]) -> AsyncIterator[Finding]:
    try:
        device = await find_device(settings)
    except StartError as error:
        yield Finding("device", False, str(error))
        return
    text = f"{device.kind} in {device.dtype}, {device.memory_gib:.0f} GiB of memory"
    if device.kind == "cpu":
        text += "; without a GPU an image of a full-size model takes minutes"
    yield Finding("device", True, text)
    if device.warning:
        yield Finding("device", False, device.warning, fatal=False)
    for model in models:
        if model.memory is None:
            continue
        needed, least = model.memory.on(device.kind, half=device.half_precision)
        if device.memory_gib < needed:
            fits = device.memory_gib >= least
            text = f"{model.name} needs {needed if fits else least:.1f} GiB of its memory"
            text += ": it runs slower, partly in the machine's memory" if fits else ""
            yield Finding("device", False, text, fatal=not fits)


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
    text = f"{folder}: {free / 1e9:.1f} GB free"
    if free < FREE_BYTES:
        text += "; sources and results are stored there until RETENTION_HOURS have passed"
        return Finding("storage", False, text, fatal=False)
    return Finding("storage", True, text)


def _store(folder: Path) -> list[Finding]:
    """The integrity of the stored jobs and pictures."""
    if not (folder / FILE_NAME).exists():
        return [Finding("store", True, f"{folder} holds no jobs yet")]
    try:
        found = inspect(folder)
    except StartError as error:
        return [Finding("store", False, str(error))]
    findings = []
    if found.database:
        text = f"the database is damaged ({found.database}): restore a backup"
        findings.append(Finding("store", False, text))
    for names, (singular, plural, rest) in (
        (found.unreadable, ("job cannot", "jobs cannot", "be read; the users get no answer")),
        (found.missing, ("picture of a job has", "pictures of jobs have", "no file")),
        (found.damaged, ("picture file is", "picture files are", "damaged")),
    ):
        if names:
            text = f"{counted(len(names), singular, plural)} {rest}: {_some(names)}"
            findings.append(Finding("store", False, text))
    if found.stray:
        text = counted(len(found.stray), "file has", "files have")
        text += " no job and will be deleted when the bot starts"
        findings.append(Finding("store", False, f"{text}: {_some(found.stray)}", fatal=False))
    if found.intact:
        jobs = counted(found.jobs, "job", "jobs")
        text = f"{jobs} and {counted(found.pictures, 'picture', 'pictures')}, all intact"
        findings.append(Finding("store", True, text))
    return findings


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(name[:16] for name in names[:5]) + (" …" if len(names) > 5 else "")
