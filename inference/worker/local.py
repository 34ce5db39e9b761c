"""`LocalService`: one or several models in one worker process on this machine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inference.models import find_models
from inference.worker.messages import WorkerConfig
from inference.worker.supervisor import WorkerSupervisor
from inference.worker.watchdog import LOAD_SILENCE_SECONDS

# The factory of a worker with several models; the given factory then builds each one's engine.
POOL_FACTORY = "inference.pool.build:build_engine"


class LocalService(WorkerSupervisor):
    """`async with LocalService(model="pocket") as service`: an `InferenceService` on one device.

    `model` is a name that `find_model` accepts. With `other_models` the worker runs all of them;
    those in memory take at most `model_memory` bytes, 0 stands for most of the device's free
    memory. `environment` has variables to set in the worker, or to remove if None. The deadlines
    are those of `WorkerSupervisor`.

    Raises:
        UnknownModel: by the constructor, if a model is none of these, or is named twice.
    """

    def __init__(
        self,
        *,
        model: str,
        other_models: Sequence[str] = (),
        model_memory: int = 0,
        device: str = "auto",
        dtype: str = "auto",
        batch_rows: int = 0,
        cache_dir: Path = Path(".cache"),
        factory: str = "inference.families.build:build_engine",
        factory_options: Mapping[str, Any] | None = None,
        environment: Mapping[str, str | None] | None = None,
        step_deadline: float | None = None,
        load_deadline: float = LOAD_SILENCE_SECONDS,
    ) -> None:
        entries = find_models([model, *other_models])
        options = dict(factory_options or {})
        if len(entries) > 1:
            factory, options["model_factory"] = POOL_FACTORY, factory
        config = WorkerConfig(
            entry=entries[0],
            others=entries[1:],
            model_memory=model_memory,
            device=device,
            dtype=dtype,
            batch_rows=batch_rows,
            cache_dir=cache_dir,
            factory=factory,
            factory_options=options,
            environment=dict(environment or {}),
            log_level=logging.getLogger().getEffectiveLevel(),
        )
        super().__init__(config, step_deadline=step_deadline, load_deadline=load_deadline)
