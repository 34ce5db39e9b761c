"""How many replicas a fleet runs. Pure: no Ray, no clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

MIN_WAIT_SECONDS = 10.0
"""A shorter wait does not add a replica, even if replicas start faster."""

IDLE_STARTS = 10
"""A replica is stopped when it was not needed for this many times the duration of a start. This
prevents frequent starts if the load changes every few minutes."""

MIN_IDLE_SECONDS = 300.0

GROWTH = 0.5
"""Share of the running replicas by which the fleet grows at once; one replica at least. Replicas
that were started before must be ready first, so that the wait includes their effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLoad:
    """The figures that decide the number of replicas.

    `replicas` are those that were asked for, `ready` those of them that serve requests. `slots` are
    the requests that fill one replica's batch and `running` the requests of all replicas.
    `oldest_wait` is how long the oldest request of the queue has waited, and `start_seconds` how
    long a replica takes to start, both in seconds; the second is 0 until it has been measured.
    """

    replicas: int
    ready: int
    slots: int
    running: int
    oldest_wait: float
    start_seconds: float


@dataclass(frozen=True, slots=True)
class ScalingState:
    """`idle_since` is the time since which the load would fit one replica less; None if it would
    not."""

    idle_since: float | None = None


def wanted_replicas(load: FleetLoad, state: ScalingState, now: float) -> tuple[int, ScalingState]:
    """The number of replicas to run from now on, and the state for the next call.

    More replicas are started when the oldest request has waited for longer than a start takes,
    because a shorter wait would be over before they are ready. One is stopped, one that has not
    started first, when the requests have fitted half of the slots of the others for a while. `now`
    is in seconds of any clock.
    """
    others = min(load.ready, load.replicas - 1)
    if load.oldest_wait > max(MIN_WAIT_SECONDS, load.start_seconds):
        grown = load.replicas + max(1, round(GROWTH * load.replicas))
        return grown if load.ready == load.replicas else load.replicas, ScalingState()
    if others < 1 or load.oldest_wait > 0 or load.running > load.slots * others / 2:
        return load.replicas, ScalingState()
    if state.idle_since is None:
        state = replace(state, idle_since=now)
    assert state.idle_since is not None
    if now - state.idle_since < max(MIN_IDLE_SECONDS, IDLE_STARTS * load.start_seconds):
        return load.replicas, state
    return load.replicas - 1, ScalingState()
