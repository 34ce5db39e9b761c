"""Deploys the replicas on the cluster, and collects their reports."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import RequestRouterConfig
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from inference.fleet.autoscaling import autoscaling
from inference.fleet.config import FleetConfig
from inference.fleet.replica import Replica, ReplicaStatus
from inference.worker.messages import WorkerConfig

log = logging.getLogger(__name__)

APPLICATION = "redraw"
# The bot sends no more than the replicas run at once: on a GPU up to 128 requests for each model,
# and those at hand for the next free slots.
MAX_REQUESTS_PER_REPLICA = 1000
# Between two reports of a replica to the router.
ROUTING_SECONDS = 2.0
# How long a replica may take to report.
REPORT_SECONDS = 5.0


def _replica_options(config: WorkerConfig) -> dict[str, Any]:
    fleet: FleetConfig = config.factory_options["fleet"]
    return {
        "model": config.factory_options["model"],
        "other_models": config.factory_options["other_models"],
        "model_memory": config.model_memory,
        "device": config.device,
        "dtype": config.dtype,
        "batch_rows": config.batch_rows,
        "cache_dir": config.cache_dir,
        "factory": config.factory_options["replica_factory"],
        "environment": dict(config.environment),
        "step_deadline": fleet.step_deadline,
    }


def release_of(config: WorkerConfig) -> str:
    """A name for the options of the replicas: equal options have equal names.

    After a change of the models, replicas of the killed bot may still run in the cluster.
    """
    return hashlib.sha256(repr(_replica_options(config)).encode()).hexdigest()[:12]


def deploy(config: WorkerConfig, fleet: FleetConfig, release: str) -> DeploymentHandle[Any]:
    """Deploy the replicas, or replace those of another release one after the other."""
    names = ", ".join(entry.name for entry in (config.entry, *config.others))
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = int(resources.get("GPU", 0))
    lowest, first, highest = fleet.replicas(gpus)
    log.info("deploying %d replicas of %s on a cluster with %d GPUs", first, names, gpus)
    number: dict[str, Any] = {"num_replicas": first}
    if lowest < highest:
        log.info("their number stays between %d and %d", lowest, highest)
        number = {"autoscaling_config": autoscaling(lowest, first, highest)}
    router: dict[str, Any] = {
        "request_router_class": "inference.fleet.router.FleetRouter",
        "request_router_kwargs": {"release": release},
        "request_routing_stats_period_s": ROUTING_SECONDS,
    }
    deployment = serve.deployment(
        **number,
        max_ongoing_requests=MAX_REQUESTS_PER_REPLICA,
        ray_actor_options={"num_gpus": 1} if gpus else {"num_cpus": fleet.replica_cpus},
        request_router_config=RequestRouterConfig(**router),
        health_check_period_s=2,
        health_check_timeout_s=30,
        graceful_shutdown_timeout_s=10,
    )(Replica)
    return serve.run(
        deployment.bind(_replica_options(config), release), name=APPLICATION, route_prefix=None
    )


def statuses(
    handle: DeploymentHandle[Any], release: str, oldest_wait: float = 0.0
) -> Sequence[ReplicaStatus]:
    """The replicas of a release that report in time. Blocks; not for an event loop's thread.

    `oldest_wait` is how long the bot's oldest request has waited, in seconds.
    """
    try:
        # A replica that was lost, or does not answer in time, gives an exception.
        results = handle.broadcast("status", oldest_wait).results(
            timeout_s=REPORT_SECONDS, return_exceptions=True
        )
    except (RayError, RayServeException, TimeoutError) as error:
        log.info("no replica reports: %s", type(error).__name__)
        return []
    return [
        result
        for result in results
        if isinstance(result, ReplicaStatus) and result.release == release
    ]
