"""A pool of fake models in the test's own thread, with the real step loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.model_entry import ModelEntry
from inference.pool.pool import ModelPool, Report
from inference.pool.switching import SwitchPolicy
from inference.service import ModelState, ModelStatus
from inference.types import ImageResult
from inference.worker.messages import (
    Failed,
    ModelEngine,
    ModelStates,
    Ready,
    Submit,
)
from tests.support.engines import SynchronousExecutor
from tests.support.faults import FaultyModel
from tests.support.requests import request

SIZE = 100
LOAD_SECONDS = 20.0


class Pool:
    """A pool of the models a, b and c under a budget for two; time passes by command only."""

    def __init__(self, *, models: int = 2, **options: Any) -> None:
        """`options` are those of `ModelPool`."""
        self.now = 1000.0
        self.reports: list[object] = []
        self.errors: dict[str, list[Exception]] = {}
        self.loaded: list[str] = []
        self.on_load: Callable[[str, Report], None] = lambda _name, _report: None
        self.pool = ModelPool(
            tuple(ModelEntry(name=name, source="", licence="") for name in "abc"),
            self._load,
            SwitchPolicy(budget=models * SIZE),
            self.reports.append,
            clock=lambda: self.now,
            **options,
        )

    def _load(self, entry: ModelEntry, report: Report) -> tuple[ModelEngine, Ready]:
        self.now += LOAD_SECONDS
        self.on_load(entry.name, report)
        if errors := self.errors.get(entry.name):
            raise errors.pop(0)
        self.loaded.append(entry.name)
        engine = SteppedEngine(
            FaultyModel(Path("unused"), step_seconds=0.0),
            report,
            BatchPolicy(row_limit=4, request_limit=2),
            SynchronousExecutor(),
        )
        return engine, Ready(slots=2, device="cpu", dtype="float32", weights=SIZE)

    def submit(self, *ids: str) -> None:
        """Requests of six steps; an id begins with its model's name."""
        for id_ in ids:
            self.pool.post(Submit(replace(request(id_), model=id_[0], prompt="fox", steps=6)))

    def turns(self, number: int) -> None:
        for _ in range(number):
            self.pool.turn()

    def run(self, *ids: str) -> None:
        """Take turns until all of these have ended."""
        for _ in range(200):
            if set(ids) <= {*self.results, *self.failures}:
                return
            self.pool.turn()
        raise AssertionError(f"{ids} have not ended: {self.results} {self.failures}")

    @property
    def results(self) -> list[str]:
        return [each.id for each in self.reports if isinstance(each, ImageResult)]

    @property
    def failures(self) -> dict[str, Exception]:
        return {each.id: each.error for each in self.reports if isinstance(each, Failed)}

    def states(self) -> dict[str, ModelState]:
        return {each.name: each.state for each in self.models()}

    def models(self) -> tuple[ModelStatus, ...]:
        return [each for each in self.reports if isinstance(each, ModelStates)][-1].models


@pytest.fixture
def pool() -> Pool:
    made = Pool()
    made.pool.start()
    return made
