"""The fair queue under any sequence of requests, starts, cancellations and ends."""

from __future__ import annotations

import copy
import itertools

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bot.jobs.estimate import JobEstimates
from bot.jobs.job import Job
from bot.jobs.queue import FairQueue
from inference import ServiceState, ServiceStatus
from tests.support.jobs import measured, queued_job

USERS = 4
MAX_PICTURES, MAX_STEPS = 4, 20
STEP_SECONDS, SECONDS_AROUND = 0.5, 2.0
SLOTS = 2
LARGEST = queued_job("", 0, pictures=MAX_PICTURES, steps=MAX_STEPS).cost


class QueueMachine(RuleBasedStateMachine):
    """Compares the queue with lists of each user's jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue()
        self.estimates = JobEstimates(self.queue, clock=lambda: 0.0)
        self.estimates.status = ServiceStatus(state=ServiceState.READY, detail="", slots=SLOTS)
        measured(self.estimates, step=STEP_SECONDS, around=SECONDS_AROUND)
        self.numbers = itertools.count()
        self.waiting: dict[int, list[Job]] = {user: [] for user in range(USERS)}
        self.first: list[Job] = []
        self.running: list[Job] = []
        # The normalized work of two users who have had waiting jobs since the last reset.
        self.work: dict[tuple[int, int], dict[int, float]] = {}

    def new(self, user: int, pictures: int, steps: int) -> Job:
        name = f"job {next(self.numbers)}"
        return queued_job(name, user, weight=1 + user, pictures=pictures, steps=steps)

    @rule(
        user=st.integers(0, USERS - 1),
        pictures=st.integers(1, MAX_PICTURES),
        steps=st.integers(1, MAX_STEPS),
    )
    def add(self, user: int, pictures: int, steps: int) -> None:
        job = self.new(user, pictures, steps)
        promised = self.queue.order_with(job)
        position = self.estimates.position_of_new(job)
        self.queue.add(job)
        self.waiting[user].append(job)
        assert self.queue.order() == promised
        assert self.estimates.positions()[job.id] == position

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def begin_again(self, data: st.DataObject) -> None:
        """A running job is put back before all others, as after a crash of the worker."""
        job = data.draw(st.sampled_from(self.running))
        self.running.remove(job)
        self.queue.done(job.id)
        self.queue.add_first(job)
        self.first.insert(0, job)

    @precondition(lambda self: len(self.queue) > 0)
    @rule()
    def pop(self) -> None:
        expected = self.queue.order()[0]
        job = self.queue.pop()
        assert job == expected
        self.running.append(job)
        if self.first:
            assert job == self.first.pop(0)
            return
        assert job == self.waiting[job.user_id].pop(0), "a user's jobs keep their order"
        for users, work in self.work.items():
            if job.user_id in users:
                work[job.user_id] += job.cost / job.weight
                # The theorem of start-time fair queueing.
                bound = sum(LARGEST / (1 + user) for user in users)
                assert abs(work[users[0]] - work[users[1]]) <= bound + 1e-6

    @precondition(lambda self: len(self.queue) > 0)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.queue.order()))
        assert self.queue.remove(job.id) == job
        assert self.queue.remove(job.id) is None
        (self.first if job in self.first else self.waiting[job.user_id]).remove(job)

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.running))
        self.running.remove(job)
        self.queue.done(job.id)

    @invariant()
    def every_job_is_counted_once(self) -> None:
        waiting = [*self.first, *itertools.chain(*self.waiting.values())]
        assert len(self.queue) == len(waiting)
        assert sorted(job.id for job in self.queue.order()) == sorted(job.id for job in waiting)
        assert {job.id for job in self.queue.running} == {job.id for job in self.running}
        backlogged = [user for user, jobs in self.waiting.items() if jobs]
        pairs = list(itertools.combinations(backlogged, 2))
        self.work = {pair: self.work.get(pair, dict.fromkeys(pair, 0.0)) for pair in pairs}

    @invariant()
    def the_shown_order_is_the_order_of_starts(self) -> None:
        order = self.queue.order()
        # Jobs never change: only the queue's own state is copied.
        jobs = {id(job): job for job in (*order, *self.running)}
        other = copy.deepcopy(self.queue, jobs)
        assert [other.pop() for _ in range(len(other))] == order

    @invariant()
    def estimates_lie_between_the_own_work_and_the_work_of_all(self) -> None:
        order = self.queue.order()
        positions = self.estimates.positions()
        assert [positions[job.id].ahead for job in order] == list(range(len(order)))
        seconds = {
            job.id: len(job.variants) * (SECONDS_AROUND + job.steps * STEP_SECONDS)
            for job in (*order, *self.running)
        }
        for job in order:
            own = SECONDS_AROUND + job.steps * STEP_SECONDS
            estimate = positions[job.id].seconds
            assert estimate is not None
            assert own <= estimate <= sum(seconds.values()) + 1e-6


TestQueue = QueueMachine.TestCase
