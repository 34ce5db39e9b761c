"""A worker factory that downloads the model and does nothing else. It does not import torch."""

from __future__ import annotations

import queue
from collections.abc import Callable

from inference.downloads import download_model
from inference.service import DownloadProgress
from inference.worker.messages import Command, Engine, Event, Loading, Ready, Stop, WorkerConfig

DOWNLOAD_ONLY = f"{__name__}:build_engine"
"""For `LocalService(factory=...)`: the worker downloads the model and is then ready, without it."""


class _NoEngine:
    """An engine that waits for `Stop`."""

    def __init__(self) -> None:
        self._stop: queue.SimpleQueue[None] = queue.SimpleQueue()

    def post(self, command: Command) -> None:
        if isinstance(command, Stop):
            self._stop.put(None)

    def run(self) -> None:
        self._stop.get()


def build_engine(
    config: WorkerConfig, report: Callable[[Event | Loading], None]
) -> tuple[Engine, Ready]:
    """Download the model of the configuration: the variant fp16 unless `dtype` is float32.

    Raises:
        ModelUnavailable: see `inference.downloads.download_model`.
    """

    def report_download(source: str, progress: DownloadProgress) -> None:
        report(Loading(f"downloading {source}", progress))

    if config.entry.source:
        half = config.dtype != "float32"
        download_model(config.entry, config.cache_dir, half=half, report=report_download)
    return _NoEngine(), Ready(slots=1, device="", dtype=config.dtype)
