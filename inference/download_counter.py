"""Counts the files and bytes of a download, from the progress bars of the hub's client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from inference.service import DownloadProgress

REPORT_SECONDS = 0.5


class DownloadCounter:
    """Counts files and bytes; calls `report` at most every `REPORT_SECONDS`."""

    def __init__(
        self, files: int, size: int, report: Callable[[DownloadProgress], None] | None
    ) -> None:
        self._total_files = files
        self._total_bytes = size
        self._report = report
        self._files = 0
        self._bytes: dict[object, int] = {}
        self._lock = threading.Lock()
        self._start = time.monotonic()
        self._reported = 0.0

    def bar(self) -> type[Any]:
        """A class for the `tqdm_class` of `snapshot_download`; its bars count into this object.

        The client makes one bar for files and one or two for bytes: received and written ones. They
        differ with the Xet protocol only, where received bytes are compressed.
        """
        from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

        counter = self

        class Bar(tqdm):
            """A progress bar that draws nothing."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                self._in_bytes = kwargs.get("unit") == "B"
                super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]
                self.update(kwargs.get("initial") or 0)

            def update(self, n: float | None = 1) -> None:
                """Called by the client with the number of new files or bytes."""
                counter.add(self, int(n or 0), in_bytes=self._in_bytes)

        return Bar

    def add(self, bar: object, count: int, *, in_bytes: bool) -> None:
        """Count files or bytes of one bar, and report if the last report is old enough."""
        with self._lock:
            if in_bytes:
                self._bytes[bar] = self._bytes.get(bar, 0) + count
            else:
                self._files += count
            now = time.monotonic()
            if self._report is None or now - self._reported < REPORT_SECONDS:
                return
            self._reported = now
            self._report(self._snapshot(now))

    def _snapshot(self, now: float) -> DownloadProgress:
        done = min(max(self._bytes.values(), default=0), self._total_bytes)
        rate = done / max(now - self._start, 1e-3)
        return DownloadProgress(
            files=min(self._files, self._total_files),
            total_files=self._total_files,
            bytes=done,
            total_bytes=self._total_bytes,
            seconds_left=(self._total_bytes - done) / rate if done else None,
        )
