"""The messages between the worker process and its supervisor."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from inference.errors import InferenceError, ModelUnavailable
from inference.model_entry import ModelEntry
from inference.service import DownloadProgress, ModelStatus, ReplicaSnapshot
from inference.types import ImageRequest, ImageResult, Progress
from inference.worker.excluded import ExcludedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """The arguments of a worker process.

    `entry` is the default model. With `others`, one process runs several models, which take at most
    `model_memory` bytes; 0 stands for the device's free memory at the start. The `excluded` models
    are not loaded for a time, because their loading ended an earlier worker.
    `factory` is `module:function`. The worker calls it with this configuration and a function that
    sends messages to the supervisor; it returns the engine to run and the `Ready` message to send.
    `factory_options` are further arguments for that factory.
    `fallback_download` is whether the factory downloads the files in full precision where half
    precision gives invalid values; otherwise it raises `FullPrecisionMissing`.
    `environment` holds environment variables to set in the process, or to remove if None, before
    any library is imported.
    """

    entry: ModelEntry
    others: tuple[ModelEntry, ...] = ()
    model_memory: int = 0
    excluded: tuple[ExcludedModel, ...] = ()
    device: str = "auto"
    dtype: str = "auto"
    batch_rows: int = 0
    cache_dir: Path = Path(".cache")
    factory: str = "inference.families.build:build_engine"
    factory_options: Mapping[str, Any] = field(default_factory=dict)
    fallback_download: bool = True
    environment: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    log_level: int = logging.INFO


# Supervisor to worker


@dataclass(frozen=True, slots=True)
class Submit:
    """Run this request."""

    request: ImageRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """End this request if it waits or runs."""

    id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """End the engine and the process."""


@dataclass(frozen=True, slots=True)
class Demand:
    """How long the caller's oldest request has waited, in seconds. For a fleet only."""

    oldest_wait: float


Command = Submit | Cancel | Stop | Demand


# Worker to supervisor, besides `Progress` and `ImageResult`


@dataclass(frozen=True, slots=True)
class Loading:
    """The start has made progress: a new phase has begun, e.g. "compiling the model", or a part of
    a download is done."""

    detail: str
    download: DownloadProgress | None = None


@dataclass(frozen=True, slots=True)
class Active:
    """The process has used CPU time or has read files since the last message. Only while a model is
    being loaded is that a sign of life: a hanging step may use CPU time, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The model is loaded and warmed up; `slots` requests run at once. `weights` is the size of its
    weights in the device's memory, in bytes."""

    slots: int
    device: str
    dtype: str
    weights: int = 0


@dataclass(frozen=True, slots=True)
class ModelStates:
    """The state of one of several models has changed; all of them, the default model first."""

    models: tuple[ModelStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The report of a fleet after `Ready`, also a sign of life.

    `slots` is how many requests fill the batches now, and `serving` whether any replica serves
    requests. `models` has one element for each of several models.
    """

    slots: int
    serving: bool
    models: tuple[ModelStatus, ...] = ()
    replicas: tuple[ReplicaSnapshot, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """The model cannot be loaded; starting again would not help."""

    error: ModelUnavailable


@dataclass(frozen=True, slots=True)
class WorkerFault:
    """The device or the process is broken; the process ends and a new one is needed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """The request has left the queue: if the process ends now, its work is lost."""

    id: str


@dataclass(frozen=True, slots=True)
class TilesDone:
    """Some tiles of the request were encoded or decoded: a sign of life between its steps."""

    id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The request ended with an error."""

    id: str
    error: InferenceError


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts since the start of the process: denoiser calls, and the rows in them."""

    denoiser_calls: int = 0
    denoiser_rows: int = 0

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            denoiser_calls=self.denoiser_calls + other.denoiser_calls,
            denoiser_rows=self.denoiser_rows + other.denoiser_rows,
        )


Event = Started | TilesDone | Progress | ImageResult | Failed | Statistics
"""What an engine reports."""


class Engine(Protocol):
    """Serves requests in one thread and reports `Event`s."""

    def post(self, command: Command) -> None:
        """Accept a command. May be called from any thread and never blocks."""
        ...

    def run(self) -> None:
        """Serve until a `Stop` arrives. Raises the device's error if the device is broken."""
        ...


class ModelEngine(Engine, Protocol):
    """An engine that can share its thread with the engines of other models."""

    @property
    def idle(self) -> bool:
        """Whether no command and no request is left."""
        ...

    def turn(self) -> None:
        """Handle the commands and do one unit of work; wait for a command if idle."""
        ...

    def close(self) -> None:
        """Release what the engine holds besides the model. It must be idle or stopped."""
        ...
