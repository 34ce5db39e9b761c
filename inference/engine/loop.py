"""The step loop: continuous batching for denoising models.

Requests join and leave the batch between denoising steps, as language-model servers do it (Yu et
al. 2022, "Orca"). Each turn prepares a few requests, makes one denoiser call for the rows of all
requests in the next batch, and decodes at most one finished request. Of a request in tiles, a turn
encodes or decodes a few tiles only. `BatchPolicy` decides which; this module executes, and keeps
the errors of one request away from the others.

A model may add work for one request to a call, such as `denoising/surroundings.py` in the middle of
a part's schedule. Its device time is divided among all requests of the call by their rows, and it
is not limited to one request a turn.

Longer than 300 lines: the handling of errors changes the state of the loop.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Generic

from inference.engine.device_time import DeviceClock, DeviceMeter, HostClock, QueuedWork, Share
from inference.engine.failures import attempt, failure_of
from inference.engine.loader_thread import loader_thread
from inference.engine.outputs import Job, OutputStage
from inference.engine.policy import BatchItem, BatchPolicy
from inference.engine.protocols import InputsT, RunningT, StepModel
from inference.engine.statistics import CallStatistics
from inference.errors import DeadlineExceeded
from inference.pipelines.devices import is_out_of_memory
from inference.tile_grid import tile_count
from inference.types import ImageRequest, Progress
from inference.worker.messages import (
    Cancel,
    Command,
    Event,
    Failed,
    Started,
    Stop,
    Submit,
    TilesDone,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Loaded(Generic[InputsT]):
    """The helper thread has loaded a request's inputs, or failed to."""

    item: BatchItem
    inputs: Future[InputsT]


@dataclass(slots=True, eq=False)
class _Preparation:
    """An admitted request that is not prepared yet. `begun_at` is None until its turn has come."""

    shares: list[Share]
    begun_at: float | None = None


class SteppedEngine(Generic[InputsT, RunningT]):
    """Owns the device's thread: `run` until a `Stop` arrives. `report` is called in that thread.

    `executor` loads the inputs of waiting requests on the host, by default a thread of its own;
    `clock` measures the device's time. `row_tokens` are the tokens of the rows that the policy's
    limit counts.
    """

    def __init__(
        self,
        model: StepModel[InputsT, RunningT],
        report: Callable[[Event], None],
        policy: BatchPolicy,
        executor: Executor | None = None,
        clock: DeviceClock | None = None,
        row_tokens: int = 1,
    ) -> None:
        self.model = model
        self._row_tokens = row_tokens
        self.policy = policy
        self.turns = 0
        self._report = report
        self._executor = executor or loader_thread()
        self._inbox: queue.SimpleQueue[Command | _Loaded[InputsT]] = queue.SimpleQueue()
        self._loading: set[BatchItem] = set()
        self._inputs: dict[BatchItem, InputsT] = {}
        # Kept when a request begins again: the device has worked for it.
        self._shares: dict[BatchItem, list[Share]] = {}
        self._preparations: dict[BatchItem, _Preparation] = {}
        self._jobs: dict[BatchItem, Job[RunningT]] = {}
        self._restarted: set[BatchItem] = set()
        clock = clock or HostClock()
        self._meter = DeviceMeter(clock)
        self._queued_work = QueuedWork(clock)
        self._outputs = OutputStage(model, report, self._meter)
        self._stopping = False
        self._statistics = CallStatistics(report)

    def post(self, command: Command) -> None:
        """Accept a command. May be called from any thread and never blocks."""
        self._inbox.put(command)

    def run(self) -> None:
        """Take turns until stopped. Raises the error of a device fault."""
        try:
            while not self._stopping:
                self.turn()
        finally:
            self.close()

    @property
    def idle(self) -> bool:
        """Whether no command and no request is left."""
        left = self._loading or self._has_work or not self._outputs.is_empty
        return not left and self._inbox.empty()

    def close(self) -> None:
        """End the thread that loads inputs."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def turn(self) -> None:
        """Handle commands, admit requests, step one batch, decode at most one request."""
        self._receive(block=not self._has_work and self._outputs.is_empty)
        if self._stopping:
            return
        self._admit()
        rows = self._step()
        self._outputs.decode_next(self.policy.limit_beside(rows))
        self._queued_work.limit()
        # Waiting for a copy costs nothing when there is nothing else to launch.
        self._outputs.report_ready(wait=not self._has_work)
        self.turns += 1
        self._statistics.report(idle=not self._has_work)

    @property
    def _has_work(self) -> bool:
        begun = self._preparations or self._jobs
        return bool(self.policy.waiting or begun or self._outputs.has_work)

    def _receive(self, *, block: bool) -> None:
        while True:
            try:
                command = self._inbox.get(block=block)
            except queue.Empty:
                return
            block = False
            match command:
                case Submit(request=request):
                    self._load(request)
                case _Loaded(item=item, inputs=inputs):
                    if item in self._loading:
                        self._enqueue(item, inputs)
                case Cancel(id=request_id):
                    self._cancel(request_id)
                case Stop():
                    self._stopping = True
                    return

    def _load(self, request: ImageRequest) -> None:
        tiles = attempt(lambda: tile_count((request.width, request.height), request.tile))
        if isinstance(tiles, Exception):
            self._fail(request, tiles)
            return
        row_size = self.model.row_tokens(request) / self._row_tokens
        key = self.model.batch_key(request)
        item = BatchItem(request, key, self.model.rows(request), row_size, tiles)
        self._loading.add(item)
        future = self._executor.submit(self.model.load_inputs, request)
        future.add_done_callback(lambda done: self._inbox.put(_Loaded(item, done)))

    def _enqueue(self, item: BatchItem, inputs: Future[InputsT]) -> None:
        self._loading.remove(item)
        loaded = attempt(inputs.result)
        if isinstance(loaded, Exception):
            self._fail(item.request, loaded)
        else:
            self._inputs[item] = loaded
            self.policy.add(item)

    def _cancel(self, request_id: str) -> None:
        self.policy.remove(request_id)
        self._outputs.cancel(request_id)
        self._loading = {item for item in self._loading if item.request.id != request_id}
        for item in list(self._inputs):
            if item.request.id == request_id:
                self._forget(item)

    def _admit(self) -> None:
        for item in self.policy.admit():
            self._preparations[item] = _Preparation(self._shares.setdefault(item, []))
        whole = [item for item in self._preparations if item.tiles == 1]
        if whole := [item for item in whole if self._begin(item)]:
            self._prepare(whole)
        # Those in tiles are prepared one after the other, each in several turns.
        for item in list(self._preparations):
            if self._begin(item):
                self._encode_tiles(item)
                return

    def _begin(self, item: BatchItem) -> bool:
        """Begin the preparation, unless it has begun or the request's deadline has passed. Returns
        whether the request is prepared."""
        preparation, request = self._preparations[item], item.request
        if preparation.begun_at is not None:
            return True
        if request.deadline is not None and time.time() > request.deadline:
            self._drop(item, DeadlineExceeded("It waited too long and was dropped."))
            return False
        self._report(Started(request.id))
        preparation.begun_at = time.monotonic()
        return True

    def _encode_tiles(self, item: BatchItem) -> None:
        """Encode some tiles; prepare the request after the last one."""
        preparation, begin = self._preparations[item], self._meter.begin()
        number = self.policy.turn_limit
        left = attempt(lambda: self.model.encode_tiles(self._inputs[item], number))
        # Also after an error, which leaves the tiles before it encoded.
        self._meter.end(begin, {preparation: 1})
        if isinstance(left, Exception):
            self._preparation_failed(item, left)
            return
        self._report(TilesDone(item.request.id))
        if not left:
            self._prepare([item])

    def _prepare(self, items: Sequence[BatchItem]) -> None:
        begin = self._meter.begin()
        prepared = attempt(lambda: self.model.prepare([self._inputs[item] for item in items]))
        if not isinstance(prepared, Exception):
            now = time.monotonic()
            for item, running in zip(items, prepared, strict=True):
                begun = self._preparations.pop(item)
                assert begun.begun_at is not None
                self._jobs[item] = Job(item, running, begun.begun_at, now, shares=begun.shares)
                self.policy.start(item)
            self._meter.end(begin, {self._jobs[item]: item.rows for item in items})
            for item in items:
                if self._jobs[item].finished:
                    self._decode(self._jobs[item])
        elif len(items) > 1:
            for item in items:
                self._prepare([item])
        else:
            self._preparation_failed(items[0], prepared)

    def _preparation_failed(self, item: BatchItem, error: Exception) -> None:
        if is_out_of_memory(error) and self._has_others:
            del self._preparations[item]
            self.policy.requeue_alone(item)
        else:
            self._drop(item, error)

    @property
    def _has_others(self) -> bool:
        """Whether there are requests beside one that is prepared or runs."""
        return len(self._jobs) + len(self._preparations) > 1 or not self._outputs.is_empty

    def _step(self) -> int:
        """Step the batch that is due. Returns the rows of its call; 0 if nothing runs.

        A call that failed counts as one row, so that the turn does not decode more after it.
        """
        batch = {self._jobs[item]: n for item, n in Counter(self.policy.next_batch()).items()}
        if not batch:
            return 0
        steps = {job: job.running.step for job in batch}
        if (error := self._predict(batch)) is None:
            self.policy.step_succeeded()
        else:
            self._recover(batch, [job for job in batch if job.running.step == steps[job]], error)
        for job, step in steps.items():
            if job.item in self._jobs and job.running.step > step:
                self.policy.tiles_predicted(job.item, job.running.step - step)
                self._report_step(job)
        return sum(job.item.rows * tiles for job, tiles in batch.items()) if error is None else 1

    def _predict(self, batch: Mapping[Job[RunningT], int]) -> Exception | None:
        """One call for these requests, each with the number of its tiles."""
        begin, running = self._meter.begin(), [job.running for job in batch]
        rows = {job: job.item.rows * tiles for job, tiles in batch.items()}
        error = attempt(lambda: self.model.predict(running, list(batch.values())))
        if error is None:
            self._meter.end(begin, rows)
            self._statistics.count(sum(rows.values()))
        return error

    def _recover(
        self, batch: Mapping[Job[RunningT], int], left: Sequence[Job[RunningT]], error: Exception
    ) -> None:
        """A step failed, and the requests `left` have not taken it.

        Out of memory lowers the row limit. Any other error is not blamed on a request before each
        has tried the step alone.
        """
        restarting = [job for job in left if job.running.must_restart]
        for job in restarting:
            self._restart(job, error)
        remaining = [job for job in left if job not in restarting]
        last = list(batch)[-1]
        if is_out_of_memory(error):
            if sum(batch.values()) > 1:
                load = sum(job.item.load * tiles for job, tiles in batch.items())
                self.policy.lower_row_limit(load - last.item.load)
                limit = self.policy.row_limit
                log.warning("out of memory with %.3g rows: at most %.3g from now on", load, limit)
            elif remaining:
                self._run_alone(last, error)
        elif len(batch) > 1:
            for job in remaining:
                alone = self._predict({job: batch[job]})
                if alone is not None:
                    self._recover({job: batch[job]}, [job], alone)
        elif remaining:
            self._drop(last.item, error)

    def _run_alone(self, job: Job[RunningT], error: Exception) -> None:
        """Out of memory for one request: prepare it again once nothing else runs, or give up."""
        if self._has_others:
            del self._jobs[job.item]
            self.policy.requeue_alone(job.item)
        else:
            self._drop(job.item, error)

    def _restart(self, job: Job[RunningT], error: Exception) -> None:
        """Prepare a request whose state is lost again; only once for the same kind of error."""
        if job.item in self._restarted:
            self._run_alone(job, error) if is_out_of_memory(error) else self._drop(job.item, error)
            return
        self._restarted.add(job.item)
        del self._jobs[job.item]
        self.policy.requeue_first(job.item)

    def _report_step(self, job: Job[RunningT]) -> None:
        preview = attempt(lambda: job.next_preview(self.model))
        if isinstance(preview, Exception):
            if not is_out_of_memory(preview):
                self._drop(job.item, preview)
                return
            # The picture does not depend on its preview.
            preview = job.preview = None
        step, total = job.running.step, job.running.total_steps
        self._report(Progress(id=job.request.id, step=step, total=total, preview=preview))
        if job.finished:
            self._decode(job)

    def _decode(self, job: Job[RunningT]) -> None:
        job.denoised_at = time.monotonic()
        self.policy.finish(job.item)
        self._forget(job.item)
        self._outputs.add(job)

    def _drop(self, item: BatchItem, error: Exception) -> None:
        self._fail(item.request, error)
        self.policy.finish(item)
        self._forget(item)

    def _fail(self, request: ImageRequest, error: Exception) -> None:
        self._report(Failed(request.id, failure_of(request, error)))

    def _forget(self, item: BatchItem) -> None:
        self._preparations.pop(item, None)
        self._jobs.pop(item, None)
        self._inputs.pop(item, None)
        self._shares.pop(item, None)
        self._restarted.discard(item)
