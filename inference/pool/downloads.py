"""Downloads models in a thread of their own, while the pool's thread serves the other models."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from inference.errors import ModelUnavailable
from inference.model_entry import ModelEntry
from inference.service import DownloadProgress

log = logging.getLogger(__name__)


class ModelFiles(Protocol):
    """The files of models on this machine."""

    def are_local(self, entry: ModelEntry) -> bool:
        """Whether the model can be loaded without a download."""
        ...

    def download(self, entry: ModelEntry, report: Callable[[DownloadProgress], None]) -> None:
        """Download the missing files.

        Raises:
            ModelUnavailable: that is not possible.
        """
        ...


class _NoDownloads:
    """The files of models that need no download."""

    def are_local(self, entry: ModelEntry) -> bool:
        """True."""
        return True

    def download(self, entry: ModelEntry, report: Callable[[DownloadProgress], None]) -> None:
        """Nothing to do."""


NO_DOWNLOADS = _NoDownloads()


@dataclass(frozen=True, slots=True)
class DownloadNews:
    """A part of a model's download is done; without `progress` it has ended, with or without an
    `error`."""

    model: str
    progress: DownloadProgress | None = None
    error: Exception | None = None


class ModelDownloads:
    """One download at a time, in the order in which the models were asked for.

    `notify` is called in another thread. Call the methods in the pool's thread. `executor` runs
    the downloads.
    """

    def __init__(
        self,
        files: ModelFiles,
        notify: Callable[[DownloadNews], None],
        executor: Executor | None = None,
    ) -> None:
        self._files = files
        self._notify = notify
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="download")
        self._local: set[str] = set()
        self._running: dict[str, Future[None]] = {}

    def are_local(self, entry: ModelEntry) -> bool:
        """Whether the model can be loaded without a download."""
        if entry.name not in self._local and self._files.are_local(entry):
            self._local.add(entry.name)
        return entry.name in self._local

    def need_other_files(self, entry: ModelEntry) -> None:
        """The files that were on this machine are not those that the model needs."""
        self._local.discard(entry.name)

    def is_running(self, entry: ModelEntry) -> bool:
        """Whether the model's download runs or waits. It is started if files are missing."""
        running = self._running.get(entry.name)
        if running is not None and not running.done():
            return True
        if self.are_local(entry):
            return False
        running = self._executor.submit(self._download, entry)
        self._running[entry.name] = running
        # Called when `done` is already true: the pool may ask again at once.
        running.add_done_callback(lambda ended: self._report_end(entry, ended))
        return True

    def close(self) -> None:
        """Start no further download."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _download(self, entry: ModelEntry) -> None:
        log.info("downloading %s while other models are served", entry.name)
        self._files.download(
            entry, lambda progress: self._notify(DownloadNews(entry.name, progress))
        )

    def _report_end(self, entry: ModelEntry, ended: Future[None]) -> None:
        if ended.cancelled():
            return
        error = ended.exception()
        assert error is None or isinstance(error, Exception)
        if error is not None and not isinstance(error, ModelUnavailable):
            log.error("%s cannot be downloaded", entry.name, exc_info=error)
        self._notify(DownloadNews(entry.name, error=error))
