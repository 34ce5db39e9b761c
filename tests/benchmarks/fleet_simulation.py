"""Simulates a fleet on a virtual clock with the real queue, routing, switching and batching policy.

    python -m tests.benchmarks.fleet_simulation --replicas 64 --users 5000
    python -m tests.benchmarks.fleet_simulation --models 3 --fit 2

Only the denoiser and the loading of models are simulated (`tests.benchmarks.simulated_replica`).
Prints one line of JSON for each router, and one for a single replica with the same load per
replica.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import itertools
import json
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from bot.jobs.job import Job, Variant
from bot.jobs.queue import FairQueue
from inference.fleet.deployment import ROUTING_SECONDS
from inference.fleet.routing import FleetLoad, Models, RoutedRequest
from inference.fleet.summary import EXTRA_REQUESTS_SHARE
from inference.models import MODELS
from inference.service import ModelStatus
from tests.benchmarks.simulated_replica import (
    CALL_SECONDS,
    LOAD_SECONDS,
    ROW_LIMIT,
    ROW_SECONDS,
    ROWS,
    SLOTS,
    SimulatedReplica,
)
from tests.support.jobs import job
from tests.support.requests import request

STEPS = 17
SIZES = MODELS["sd2-depth"].sizes
# How often users bring each size, roughly as phones, screens and squares occur.
SIZE_WEIGHTS = (4, 3, 3, 2, 1)
# How often users choose each model.
MODEL_WEIGHTS = (6, 3, 1)
# A turn without a call takes no time; the next one must not be at the same moment.
MIN_TURN_SECONDS = 0.001

REQUEST = request(id="", steps=STEPS)

Choose = Callable[[FleetLoad, RoutedRequest, Mapping[str, Models]], str]


@dataclass(frozen=True, slots=True)
class Scenario:
    """The size of a simulation. `load` is the offered load as a share of what full calls would
    serve; `fit` of the `models` fit a replica's memory."""

    replicas: int
    users: int
    jobs: int
    load: float
    models: int
    fit: int


class Simulation:
    """One run of a scenario with one router."""

    def __init__(self, scenario: Scenario, choose: Choose) -> None:
        self.random = random.Random(0)
        self.choose = choose
        self.models = tuple(f"m{number}" for number in range(scenario.models))
        self.replicas = {
            f"r{n}": SimulatedReplica(self.models, scenario.fit) for n in range(scenario.replicas)
        }
        self.known = {name: by_name(each.states) for name, each in self.replicas.items()}
        self.slots = len(self.replicas) * SLOTS * (1 + EXTRA_REQUESTS_SHARE)
        self.busy: set[str] = set()
        self.queue = FairQueue()
        self.fleet = FleetLoad()
        self.running: Counter[str] = Counter()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        # Until then the default model is loaded.
        self.now = LOAD_SECONDS
        self.arrived: dict[str, float] = {}
        self.jobs: dict[str, Job] = {}
        self.waits: dict[int, list[float]] = defaultdict(list)
        full_call = CALL_SECONDS + ROW_LIMIT * ROW_SECONDS
        rate = scenario.load * scenario.replicas * (ROW_LIMIT // ROWS) / (STEPS * full_call)
        moment = self.now
        for number in range(scenario.jobs):
            moment += self.random.expovariate(rate)
            self.at(moment, partial(self.arrive, number, self.random.randrange(scenario.users)))

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
        counts = [replica.counts for replica in self.replicas.values()]
        return {
            "rows_per_call": round(sum(c.rows for c in counts) / sum(c.calls for c in counts), 2),
            "seconds_p50": round(waits[len(waits) // 2], 2),
            "seconds_p95": round(waits[int(0.95 * len(waits))], 2),
            "seconds_max": round(waits[-1], 2),
            "worst_user_mean_seconds": round(max(by_user), 2),
            "model_loads": sum(replica.loads for replica in self.replicas.values()),
        }

    def arrive(self, number: int, user: int) -> None:
        """A user asks for a picture."""
        width, height = self.random.choices(SIZES, SIZE_WEIGHTS)[0]
        (model,) = self.random.choices(self.models, MODEL_WEIGHTS[: len(self.models)])
        made = job(id=f"{number:016x}", user_id=user, width=width, height=height)
        variants = (Variant(seed=number, strength=1.0),)
        made = replace(made, model=model, steps=STEPS, variants=variants)
        self.arrived[made.id] = self.now
        self.queue.add(made)
        self.dispatch()

    def dispatch(self) -> None:
        """As the runner does: for each model a little more than the slots."""
        while made := self.queue.pop(lambda job: self.running[job.model] < self.slots):
            self.running[made.model] += 1
            self.submit(made)

    def submit(self, made: Job) -> None:
        """Send a job's request to the replica that the router chooses."""
        routed = RoutedRequest(made.model, (made.width, made.height), int(made.id, 16))
        name = self.choose(self.fleet, routed, self.known)
        self.fleet.start(name, made.id, routed)
        self.jobs[made.id] = made
        self.replicas[name].submit(
            replace(REQUEST, id=made.id, model=made.model, width=made.width, height=made.height),
            self.now,
        )
        if name not in self.busy:
            self.turn(name)

    def turn(self, name: str) -> None:
        """One turn of a replica, and the next one when it ends."""
        replica = self.replicas[name]
        if not replica.requests:
            self.busy.discard(name)
            return
        self.busy.add(name)
        states = replica.states
        done = replica.turn(self.now)
        if replica.states != states:
            known = by_name(replica.states)
            self.at(replica.now + ROUTING_SECONDS, partial(self.known.__setitem__, name, known))
        end = max(replica.now, self.now + MIN_TURN_SECONDS)
        self.at(end, partial(self.end_turn, name, done))

    def end_turn(self, name: str, done: list[str]) -> None:
        """The turn has ended, and these jobs are answered."""
        for job_id in done:
            made = self.jobs.pop(job_id)
            self.running[made.model] -= 1
            self.fleet.finish(job_id)
            self.queue.done(job_id)
            self.waits[made.user_id].append(self.now - self.arrived.pop(job_id))
        self.dispatch()
        self.turn(name)


def by_name(states: tuple[ModelStatus, ...]) -> Models:
    """A replica's models as the router knows them."""
    return {each.name: each for each in states}


def by_preference(fleet: FleetLoad, routed: RoutedRequest, known: Mapping[str, Models]) -> str:
    """The router of the fleet."""
    return fleet.rank(routed, known)[0]


def by_load(fleet: FleetLoad, _routed: RoutedRequest, known: Mapping[str, Models]) -> str:
    """The least loaded replica, without preferences."""
    return min(known, key=fleet.running)


def main() -> None:
    """Parse the arguments and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--users", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--load", type=float, default=0.8, help="share of the full capacity")
    parser.add_argument("--models", type=int, default=1, choices=(1, 2, 3))
    parser.add_argument("--fit", type=int, default=1, help="models that fit a replica's memory")
    options = parser.parse_args()
    # The pool collects garbage at each loading; the imported libraries are left out.
    gc.freeze()
    cases: list[tuple[str, int, Choose]] = [
        ("fleet, this router", options.replicas, by_preference),
        ("fleet, least loaded", options.replicas, by_load),
        ("one replica", 1, by_load),
    ]
    for name, replicas, choose in cases:
        jobs = max(1000, options.jobs * replicas // options.replicas)
        scenario = Scenario(
            replicas, options.users, jobs, options.load, options.models, options.fit
        )
        figures = Simulation(scenario, choose).run()
        print(json.dumps({"case": name, "replicas": replicas, "jobs": jobs, **figures}), flush=True)


if __name__ == "__main__":
    main()
