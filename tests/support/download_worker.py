"""A worker factory that only downloads its model: fast, because it does not import torch."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from inference.downloads import download
from inference.service import DownloadProgress
from inference.worker.messages import Command, Engine, Loading, Ready, Stop, WorkerConfig


class IdleEngine:
    """An engine without a model."""

    def __init__(self) -> None:
        self._stop: queue.SimpleQueue[None] = queue.SimpleQueue()

    def post(self, command: Command) -> None:
        if isinstance(command, Stop):
            self._stop.put(None)

    def run(self) -> None:
        self._stop.get()


def build_engine(config: WorkerConfig, report: Callable[[Any], None]) -> tuple[Engine, Ready]:
    """Download the model of the configuration; the variant fp16 unless dtype is float32."""

    def report_download(progress: DownloadProgress) -> None:
        report(Loading(f"downloading {config.entry.source}", progress))

    half = config.dtype != "float32"
    download(config.entry, config.cache_dir, half=half, report=report_download)
    return IdleEngine(), Ready(slots=1, device="cpu", dtype=config.dtype)
