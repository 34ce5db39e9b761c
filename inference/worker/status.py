"""Keeps a service's status up to date from the messages of its worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

from inference.service import (
    DownloadProgress,
    ModelState,
    ModelStatus,
    ServiceState,
    ServiceStatus,
)
from inference.worker.messages import Capacity, Loading, ModelStates, Ready, Statistics

log = logging.getLogger(__name__)

# Between two log lines about the same download.
DOWNLOAD_LOG_SECONDS = 10.0


class StatusKeeper:
    """The status of a service with these models, all workers together."""

    def __init__(self, models: Sequence[str]) -> None:
        self._status = ServiceStatus(
            state=ServiceState.LOADING,
            detail="loading the model",
            models=tuple(ModelStatus(name=name, state=ModelState.UNLOADED) for name in models)
            if len(models) > 1
            else (),
        )
        # Which of several models the worker loads.
        self.loading_model: str | None = None
        # Set and replaced at each change of the state: waiting tasks wake up once.
        self.changed = asyncio.Event()
        self._restarts = 0
        # Of the workers that have ended, and of the current one.
        self._ended = self._current = Statistics()
        self._download_logged = 0.0

    @property
    def state(self) -> ServiceState:
        """The phase of the service's life."""
        return self._status.state

    def snapshot(self, worker_pid: int | None) -> ServiceStatus:
        """The status now."""
        total = self._ended + self._current
        return replace(
            self._status,
            worker_pid=worker_pid,
            restarts=self._restarts,
            denoiser_calls=total.denoiser_calls,
            denoiser_rows=total.denoiser_rows,
        )

    def apply(self, message: Statistics | Loading | Capacity | ModelStates | Ready) -> None:
        """Take one of the worker's messages into account."""
        match message:
            case Statistics():
                self._current = message
            case Loading(detail=detail, download=download):
                self._report_loading(detail, download)
            case Capacity():
                self._apply_capacity(message)
            case ModelStates(models=models):
                self._status = replace(self._status, models=models)
                loading = [each.name for each in models if each.state is ModelState.LOADING]
                self.loading_model = loading[0] if loading else None
                if self.state is ServiceState.READY and self.loading_model is None:
                    self._status = replace(self._status, detail="ready", download=None)
            case Ready(slots=slots, device=device, dtype=dtype):
                self._status = replace(self._status, slots=slots, device=device, dtype=dtype)
                self.set_state(ServiceState.READY, "ready")

    def worker_restarts(self) -> None:
        """A worker ended, and another is started."""
        self._restarts += 1
        self._ended += self._current
        self._current = Statistics()
        self.loading_model = None
        models = tuple(replace(each, state=ModelState.UNLOADED) for each in self._status.models)
        self._status = ServiceStatus(state=self.state, detail="", models=models)
        self.set_state(ServiceState.RESTARTING, "restarting the model")

    def set_state(self, state: ServiceState, detail: str) -> None:
        """The service has entered a state."""
        self._status = replace(self._status, state=state, detail=detail, download=None)
        self.changed.set()
        self.changed = asyncio.Event()

    def _apply_capacity(self, fleet: Capacity) -> None:
        self._status = replace(
            self._status, slots=fleet.slots, models=fleet.models, replicas=fleet.replicas
        )
        state = ServiceState.READY if fleet.serving else ServiceState.RESTARTING
        if state is not self.state:
            self.set_state(state, "ready" if fleet.serving else "waiting for a replica")

    def _report_loading(self, detail: str, download: DownloadProgress | None) -> None:
        if download is not None:
            detail = f"{detail}: {download}"
        now = asyncio.get_running_loop().time()
        if download is None:
            log.debug("%s", detail)
        elif now - self._download_logged >= DOWNLOAD_LOG_SECONDS:
            self._download_logged = now
            log.info("%s", detail)
        self._status = replace(self._status, detail=detail, download=download)
