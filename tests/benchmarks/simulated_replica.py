"""A replica for simulations on a virtual clock: the real pool of models and the real batching
policy. Only the denoiser and the loading of a model are simulated: they take fixed times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from inference.engine.policy import BatchItem, BatchPolicy
from inference.model_entry import ModelEntry
from inference.pool.pool import ModelPool, Report
from inference.pool.switching import SwitchPolicy
from inference.service import ModelStatus
from inference.types import ImageRequest, ImageResult, Timings
from inference.worker.messages import (
    Command,
    Event,
    Loading,
    ModelEngine,
    ModelStates,
    Ready,
    Started,
    Submit,
)

ROW_LIMIT = 32
# As `inference.families.build` sets them on a GPU.
SLOTS = 4 * ROW_LIMIT
ADMISSION_LIMIT = 4
ROWS = 2
# A call of two rows takes 26 ms, one of 32 rows 56 ms: the shape of a GPU, not a measurement.
CALL_SECONDS, ROW_SECONDS = 0.024, 0.001
# An assumption, too: a model of some GB whose files are in the system's cache.
LOAD_SECONDS = 10.0
# Each model takes one unit of the memory.
MODEL_SIZE = 1


@dataclass(slots=True)
class Counts:
    """What a replica's engines have done."""

    calls: int = 0
    rows: int = 0


class SimulatedEngine:
    """One model: its requests and its calls. `elapse` advances the replica's clock."""

    def __init__(self, report: Report, counts: Counts, elapse: Callable[[float], None]) -> None:
        self._report = report
        self._counts = counts
        self._elapse = elapse
        self._policy = BatchPolicy(
            row_limit=ROW_LIMIT, request_limit=SLOTS, admission_limit=ADMISSION_LIMIT
        )
        self._steps_left: dict[BatchItem, int] = {}

    @property
    def idle(self) -> bool:
        """Whether no request is left."""
        return not (self._policy.waiting or self._policy.running)

    def post(self, command: Command) -> None:
        """Accept a request."""
        assert isinstance(command, Submit)
        one = command.request
        self._policy.add(BatchItem(one, (one.width, one.height), ROWS))

    def turn(self) -> None:
        """Admit requests and make one call."""
        for item in self._policy.admit():
            self._report(Started(item.request.id))
            self._policy.start(item)
            self._steps_left[item] = item.request.steps
        batch = self._policy.next_batch()
        rows = ROWS * len(batch)
        self._counts.calls += 1
        self._counts.rows += rows
        self._elapse(CALL_SECONDS + rows * ROW_SECONDS)
        for item in batch:
            self._steps_left[item] -= 1
            if not self._steps_left[item]:
                del self._steps_left[item]
                self._policy.finish(item)
                self._report(result_of(item.request))

    def run(self) -> None:
        """The pool takes the turns."""
        raise NotImplementedError

    def close(self) -> None:
        """There is nothing to release."""


def result_of(request: ImageRequest) -> ImageResult:
    """A result without a picture."""
    return ImageResult(
        id=request.id,
        pixels=b"",
        width=request.width,
        height=request.height,
        steps_run=request.steps,
        timings=Timings(prepare=0.0, steps=0.0, decode=0.0),
    )


class SimulatedReplica:
    """Runs the models under a memory budget of `fit` models. `now` is the time of its last turn's
    end; the default model is loaded from the start."""

    def __init__(self, models: tuple[str, ...], fit: int) -> None:
        self.now = 0.0
        self.counts = Counts()
        self.requests = 0
        self.states: tuple[ModelStatus, ...] = ()
        self._done: list[str] = []
        entries = tuple(ModelEntry(name=name, source="", licence="") for name in models)
        policy = SwitchPolicy(budget=fit * MODEL_SIZE)
        self._pool = ModelPool(entries, self._load, policy, self._keep, clock=lambda: self.now)
        self._pool.start()

    @property
    def loads(self) -> int:
        """How often a model was loaded after the start."""
        return sum(each.loads for each in self.states) - 1

    def submit(self, request: ImageRequest, now: float) -> None:
        """Give a request to the pool, for its next turn."""
        self.now = max(self.now, now)
        self.requests += 1
        self._pool.post(Submit(request))

    def turn(self, now: float) -> list[str]:
        """Take one turn, which ends at `self.now`; the requests that it finished."""
        self.now = max(self.now, now)
        self._pool.turn()
        done, self._done = self._done, []
        self.requests -= len(done)
        return done

    def _load(self, _entry: ModelEntry, report: Report) -> tuple[ModelEngine, Ready]:
        self._elapse(LOAD_SECONDS)
        engine = SimulatedEngine(report, self.counts, self._elapse)
        return engine, Ready(slots=SLOTS, device="cuda", dtype="float16", weights=MODEL_SIZE)

    def _elapse(self, seconds: float) -> None:
        self.now += seconds

    def _keep(self, event: Event | Loading | ModelStates) -> None:
        match event:
            case ModelStates(models=models):
                self.states = models
            case ImageResult(id=id_):
                self._done.append(id_)
