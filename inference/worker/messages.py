"""What the worker and its supervisor say to each other, besides requests and results."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from inference.errors import InferenceError, ModelUnavailable
from inference.models import ModelEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """What a worker is started with. `factory` is `module:function`: called with this config and
    a function to report through, it returns the engine to run and the `Ready` to announce."""

    entry: ModelEntry
    device: str = "auto"
    dtype: str = "auto"
    batch_rows: int = 0
    cache_dir: Path = Path(".cache")
    factory: str = "inference.families.build:build_engine"
    log_level: int = logging.INFO


@dataclass(frozen=True, slots=True)
class Loading:
    """What the start is at, as a person may read it: "downloading …", "loading the model"."""

    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The model is loaded and warm; `slots` requests at once fill its batch."""

    slots: int
    device: str
    dtype: str


@dataclass(frozen=True, slots=True)
class CannotLoad:
    """The model cannot be loaded; starting again would not help."""

    error: ModelUnavailable


@dataclass(frozen=True, slots=True)
class Faulty:
    """The device or the process is broken; it ends now and a new one is needed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """The request has left the line: from now on its work would be lost with the process."""

    id: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The request ended with an error that a person may read."""

    id: str
    error: InferenceError
