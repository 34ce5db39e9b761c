"""`python -m bot models list | download | remove`: the models and their files on this machine."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.table import Table

from bot.cli.device import find_device
from bot.cli.inference_service import hub_environment, use_hub_environment
from bot.cli.progress import wait_ready
from bot.config import Settings
from inference import (
    DOWNLOAD_ONLY,
    MODELS,
    LocalModel,
    LocalService,
    ModelEntry,
    find_local_model,
    find_model,
    hub_cache,
    remove_model,
)


async def list_models(settings: Settings) -> None:
    """Print the catalogue: name, licence, size, memory needed, and what is downloaded."""
    use_hub_environment(settings)
    table = Table("name", "licence", "download", "memory", "on this machine", "source")
    entries = dict(MODELS)
    for name in settings.models:
        entries.setdefault(name, find_model(name))
    for name, entry in entries.items():
        local = await asyncio.to_thread(_local_models, entry, settings)
        table.add_row(
            name,
            entry.licence,
            _download_size(entry),
            _memory(entry),
            _state(entry, local),
            "\n".join(each.source for each in entry.repositories) if entry.on_hub else "",
        )
    console = Console(highlight=False)
    # In a file or a pipe no column is cut.
    console.print(table, width=None if console.is_terminal else 200)
    console.print(f"Downloaded models are in {hub_cache()}.", soft_wrap=True)


async def download(settings: Settings, name: str) -> None:
    """Download a model, with the weights for the precision of this machine's device.

    Raises:
        StartError: the device cannot be used.
        ModelUnavailable: the model cannot be downloaded.
    """
    entry = find_model(name)
    console = Console(highlight=False)
    if not entry.on_hub:
        console.print(f"{name} is part of this machine: there is nothing to download.")
        return
    use_hub_environment(settings)
    device = await find_device(settings)
    console.print(f"{entry.source}, licence: {entry.licence}, precision: {device.dtype}")
    for extra in entry.extras:
        console.print(f"  with {extra.source}, licence: {extra.licence}")
    async with LocalService(
        model=name,
        dtype=device.dtype,
        cache_dir=settings.data_dir,
        factory=DOWNLOAD_ONLY,
        environment={"DISCORD_TOKEN": None, **hub_environment(settings)},
    ) as service:
        await wait_ready(service, console)
    local = find_local_model(entry, settings.data_dir, half=device.half_precision)
    assert local is not None
    console.print(f"{name}: {local.size / 1e9:.1f} GB in {local.folder}", soft_wrap=True)


async def remove(settings: Settings, name: str) -> None:
    """Delete a model's files from the hub's cache, except those that other models here need.

    Raises:
        UnknownModel: there is no model of that name.
    """
    entry = find_model(name)
    console = Console(highlight=False)
    if not entry.on_hub:
        console.print(f"{name} was not downloaded: its files are not removed.")
        return
    use_hub_environment(settings)
    freed = await asyncio.to_thread(remove_model, entry, settings.data_dir, tuple(MODELS.values()))
    if freed:
        console.print(f"{name} is removed: {freed / 1e9:.1f} GB are free again.")
    else:
        console.print(f"{name} is not on this machine, or other models here need all its files.")


def _local_models(entry: ModelEntry, settings: Settings) -> dict[str, LocalModel]:
    if not entry.on_hub:
        return {}
    found = {
        label: find_local_model(entry, settings.data_dir, half=half)
        for label, half in (("half", True), ("full", False))
    }
    return {label: local for label, local in found.items() if local is not None}


def _state(entry: ModelEntry, local: dict[str, LocalModel]) -> str:
    if not entry.on_hub:
        return "yes"
    # A repository without fp16 weights has one set of files for both.
    sizes = {model.size: label for label, model in local.items()}
    return ", ".join(f"{size / 1e9:.1f} GB ({label})" for size, label in sizes.items()) or "no"


def _download_size(entry: ModelEntry) -> str:
    if not entry.on_hub:
        return ""
    if entry.parameters is None:
        return "unknown"
    half = 2 * entry.parameters / 1e9
    return f"{half:.1f} GB half, {2 * half:.1f} GB full precision"


def _memory(entry: ModelEntry) -> str:
    if entry.memory is None:
        return "" if not entry.on_hub else "unknown"
    needs = entry.memory
    text = f"GPU {needs.gpu:.1f} GiB"
    if needs.gpu_low and needs.gpu_low < needs.gpu:
        text += f" (slower: {needs.gpu_low:.1f})"
    return f"{text}, CPU {needs.cpu:.1f} GiB" if needs.cpu else text
