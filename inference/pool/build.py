"""The worker's factory for several models: a pool around the factory of each model's engine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from inference.downloads import download_model, find_local_model
from inference.errors import FullPrecisionMissing
from inference.model_entry import ModelEntry
from inference.pipelines.devices import available_memory, choose_device, choose_dtype
from inference.pool.pool import ModelPool, Report
from inference.pool.sizes import model_size
from inference.pool.switching import SwitchPolicy
from inference.service import DownloadProgress
from inference.worker.messages import ModelEngine, Ready, WorkerConfig

log = logging.getLogger(__name__)

MEMORY_SHARE = 0.8
"""Share of the free memory that all models together may take by default. The rest is for other
programs and for fragmentation."""


class HubFiles:
    """The files of models in the hub's cache; see `inference.downloads`.

    `half` selects the variant fp16 of the weights, except of models that need full precision.
    """

    def __init__(self, cache_dir: Path, *, half: bool) -> None:
        self._cache_dir = cache_dir
        self._half = half
        # Read in the thread of the downloads, too.
        self._full: frozenset[str] = frozenset()

    def require_full(self, entry: ModelEntry) -> None:
        """The model gives invalid values in half precision."""
        self._full |= {entry.name}

    def is_half(self, entry: ModelEntry) -> bool:
        """Whether the files in half precision count."""
        return self._half and entry.name not in self._full

    def are_local(self, entry: ModelEntry) -> bool:
        """Whether all files of all repositories are on this machine."""
        return find_local_model(entry, self._cache_dir, half=self.is_half(entry)) is not None

    def download(self, entry: ModelEntry, report: Callable[[DownloadProgress], None]) -> None:
        """Download the missing files."""

        def report_repository(_source: str, progress: DownloadProgress) -> None:
            report(progress)

        download_model(entry, self._cache_dir, half=self.is_half(entry), report=report_repository)


def build_engine(config: WorkerConfig, report: Report) -> tuple[ModelPool, Ready]:
    """A pool of the configuration's models, with the first one that can be loaded in memory.

    `config.factory_options["model_factory"]` is the factory of each model's engine, as
    `module:function`.

    Raises:
        ModelUnavailable: no model can be loaded.
    """
    options = dict(config.factory_options)
    module, function = options.pop("model_factory").split(":")
    factory = getattr(import_module(module), function)

    device = choose_device(config.device)
    half = str(choose_dtype(config.dtype, device)) != "torch.float32"
    files = HubFiles(config.cache_dir, half=half)

    def load(entry: ModelEntry, report: Report) -> tuple[ModelEngine, Ready]:
        alone = replace(
            config,
            entry=entry,
            others=(),
            factory_options=options,
            dtype=config.dtype if files.is_half(entry) else "float32",
            fallback_download=False,
        )
        try:
            engine, ready = factory(alone, report)
        except FullPrecisionMissing:
            files.require_full(entry)
            raise
        return engine, ready

    budget = config.model_memory or int(MEMORY_SHARE * available_memory(device))
    policy = SwitchPolicy(budget=budget)
    entries = (config.entry, *config.others)
    pool = ModelPool(entries, load, policy, report, excluded=config.excluded, files=files)
    ready = pool.start()
    half = ready.dtype != "float32"
    for entry in entries:
        if entry.name not in policy.loaded and (entry.memory or entry.parameters):
            policy.set_size(entry.name, model_size(entry, ready.device, half))
        if not files.are_local(entry):
            log.info("%s is not on the disk: it is downloaded when it is needed", entry.name)
    return pool, ready
