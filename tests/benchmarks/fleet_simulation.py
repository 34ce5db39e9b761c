"""Simulates a fleet on a virtual clock with the real queue, routing and batching policy.

    python -m tests.benchmarks.fleet_simulation --replicas 64 --users 5000

Only the denoiser is simulated: a call takes a fixed time and a time for each row. Prints one line
of JSON for each router, and one for a single replica with the same load per replica.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import random
import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from bot.jobs.job import Job, Variant
from bot.jobs.queue import FairQueue
from inference.engine.policy import BatchItem, BatchPolicy
from inference.fleet.routing import FleetLoad, RoutedRequest
from inference.models import MODELS
from tests.support.jobs import job
from tests.support.requests import request

ROW_LIMIT = 32
# As `inference.families.build` sets them on a GPU.
SLOTS = 4 * ROW_LIMIT
EXTRA_SHARE = 0.1
# A call of two rows takes 26 ms, one of 32 rows 56 ms: the shape of a GPU, not a measurement.
CALL_SECONDS, ROW_SECONDS = 0.024, 0.001
STEPS = 17
SIZES = MODELS["sd2-depth"].sizes
# How often users bring each size, roughly as phones, screens and squares occur.
WEIGHTS = (4, 3, 3, 2, 1, 1, 1, 1)

REQUEST = request(id="")

Choose = Callable[[FleetLoad, RoutedRequest, dict[str, int]], str]


@dataclass
class Replica:
    """One engine: the real policy, simulated calls."""

    name: str
    policy: BatchPolicy = field(
        default_factory=lambda: BatchPolicy(
            row_limit=ROW_LIMIT, request_limit=64, admission_limit=4
        )
    )
    steps_left: dict[BatchItem, int] = field(default_factory=dict)
    busy: bool = False
    calls: int = 0
    rows: int = 0


class Simulation:
    """`load` is the offered load as a share of what full calls would serve."""

    def __init__(self, replicas: int, users: int, jobs: int, load: float, choose: Choose) -> None:
        self.random = random.Random(0)
        self.replicas = {f"r{n}": Replica(f"r{n}") for n in range(replicas)}
        self.slots = dict.fromkeys(self.replicas, SLOTS)
        self.choose = choose
        self.queue = FairQueue()
        self.fleet = FleetLoad()
        self.running = 0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.now = 0.0
        self.arrived: dict[str, float] = {}
        self.users: dict[str, int] = {}
        self.waits: dict[int, list[float]] = defaultdict(list)
        full_call = CALL_SECONDS + ROW_LIMIT * ROW_SECONDS
        rate = load * replicas * (ROW_LIMIT // 2) / (STEPS * full_call)
        moment = 0.0
        for number in range(jobs):
            moment += self.random.expovariate(rate)
            self.at(moment, partial(self.arrive, number, self.random.randrange(users)))

    def at(self, moment: float, event: Callable[[], None]) -> None:
        """Run the event at that moment of the virtual clock."""
        heapq.heappush(self.events, (moment, next(self.order), event))

    def run(self) -> dict[str, float]:
        """Run until every job has been answered; the figures."""
        while self.events:
            self.now, _, event = heapq.heappop(self.events)
            event()
        waits = sorted(wait for each in self.waits.values() for wait in each)
        by_user = [statistics.mean(each) for each in self.waits.values()]
        calls = sum(replica.calls for replica in self.replicas.values())
        return {
            "rows_per_call": round(sum(r.rows for r in self.replicas.values()) / calls, 2),
            "seconds_p50": round(waits[len(waits) // 2], 2),
            "seconds_p95": round(waits[int(0.95 * len(waits))], 2),
            "seconds_max": round(waits[-1], 2),
            "worst_user_mean_seconds": round(max(by_user), 2),
        }

    def arrive(self, number: int, user: int) -> None:
        """A user asks for a picture."""
        width, height = self.random.choices(SIZES, WEIGHTS[: len(SIZES)])[0]
        made = job(id=f"{number:016x}", user_id=user, width=width, height=height)
        made = replace(made, steps=STEPS, variants=(Variant(seed=number, strength=1.0),))
        self.arrived[made.id] = self.now
        self.users[made.id] = user
        self.queue.add(made)
        self.dispatch()

    def dispatch(self) -> None:
        """As the runner does: a little more than the free slots."""
        limit = sum(self.slots.values()) * (1 + EXTRA_SHARE)
        while self.running < limit and (made := self.queue.pop()):
            self.running += 1
            self.submit(made)

    def submit(self, made: Job) -> None:
        """Send a job's request to the replica that the router chooses."""
        routed = RoutedRequest((made.width, made.height), int(made.id, 16))
        name = self.choose(self.fleet, routed, self.slots)
        self.fleet.start(name, made.id, routed)
        wanted = replace(REQUEST, id=made.id, width=made.width, height=made.height)
        self.replicas[name].policy.add(BatchItem(wanted, routed.size, 2))
        if not self.replicas[name].busy:
            self.turn(self.replicas[name])

    def turn(self, replica: Replica) -> None:
        """One turn of a replica: admit, one call, and the next turn when it ends."""
        for item in replica.policy.admit():
            replica.policy.start(item)
            replica.steps_left[item] = STEPS
        batch = replica.policy.next_batch()
        replica.busy = bool(batch)
        if not batch:
            return
        rows = sum(item.rows for item in batch)
        replica.calls += 1
        replica.rows += rows
        self.at(self.now + CALL_SECONDS + rows * ROW_SECONDS, lambda: self.end_turn(replica, batch))

    def end_turn(self, replica: Replica, batch: list[BatchItem]) -> None:
        """The call has returned."""
        for item in batch:
            replica.steps_left[item] -= 1
            if not replica.steps_left[item]:
                del replica.steps_left[item]
                replica.policy.finish(item)
                self.answer(replica, item.request.id)
        self.dispatch()
        self.turn(replica)

    def answer(self, replica: Replica, job_id: str) -> None:
        """A job is done."""
        self.running -= 1
        self.fleet.finish(job_id)
        self.queue.done(job_id)
        self.waits[self.users.pop(job_id)].append(self.now - self.arrived.pop(job_id))


def by_preference(fleet: FleetLoad, routed: RoutedRequest, slots: dict[str, int]) -> str:
    """The router of the fleet."""
    return fleet.rank(routed, slots)[0]


def by_load(fleet: FleetLoad, routed: RoutedRequest, slots: dict[str, int]) -> str:
    """The least loaded replica, without preferences."""
    return min(slots, key=fleet.running)


def main() -> None:
    """Parse the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--load", type=float, default=0.8, help="share of the full capacity")
    options = parser.parse_args()
    cases: list[tuple[str, int, Choose]] = [
        ("fleet, this router", options.replicas, by_preference),
        ("fleet, least loaded", options.replicas, by_load),
        ("one replica", 1, by_load),
    ]
    for name, replicas, choose in cases:
        jobs = max(1000, options.jobs * replicas // options.replicas)
        simulation = Simulation(replicas, options.users, jobs, options.load, choose)
        print(json.dumps({"case": name, "replicas": replicas, "jobs": jobs, **simulation.run()}))


if __name__ == "__main__":
    main()
