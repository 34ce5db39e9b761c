"""Ray Serve's autoscaling policy for the replicas: applies `inference.fleet.scaling`.

Runs in Serve's controller, a few times a second.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from inference.fleet.scaling import FleetLoad, ScalingState, wanted_replicas

METRICS_SECONDS = 1.0


def autoscaling(lowest: int, initial: int, highest: int) -> AutoscalingConfig:
    """The configuration for a deployment whose number of replicas stays within these limits."""
    return AutoscalingConfig(
        min_replicas=lowest,
        initial_replicas=initial,
        max_replicas=highest,
        metrics_interval_s=METRICS_SECONDS,
        look_back_period_s=3 * METRICS_SECONDS,
        policy=AutoscalingPolicy(policy_function=policy),  # type: ignore[no-untyped-call]
    )


def policy(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """The number of replicas, and the state for the next call.

    Serve applies the limits.
    """
    state = ScalingState(context.policy_state.get("idle_since"))
    load = _load(context)
    wanted, state = wanted_replicas(load, state, time.monotonic())
    return wanted, {"idle_since": state.idle_since}


def _load(context: AutoscalingContext) -> FleetLoad:
    """The load from what each replica reports in `record_autoscaling_stats`."""
    latest = {
        name: [series[-1].value for series in by_replica.values() if series]
        for name, by_replica in (context.raw_metrics or {}).items()
    }
    # Replicas that still start report 0.
    started = [seconds for seconds in latest.get("start_seconds", ()) if seconds]
    return FleetLoad(
        replicas=context.target_num_replicas,
        ready=min(int(sum(latest.get("ready", ()))), context.current_num_replicas),
        slots=int(max(latest.get("slots", ()), default=1)),
        running=int(sum(latest.get("running", ()))),
        oldest_wait=max(latest.get("oldest_wait", ()), default=0.0),
        start_seconds=median(started) if started else 0.0,
    )
