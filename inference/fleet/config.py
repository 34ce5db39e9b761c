"""What the Ray driver is started with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfig:
    """Where the replicas run, and how many.

    `address` is None for a cluster that the driver starts on this machine and ends with itself,
    `auto` or `HOST:PORT` for a running cluster that this machine is a node of. The number of
    replicas is that of the cluster's GPUs, within `min_replicas` and `max_replicas`; without a GPU
    it is `min_replicas`, each with `replica_cpus` processor threads. `step_deadline` is the number
    of seconds after which a replica whose worker shows no progress restarts it.
    """

    address: str | None = None
    min_replicas: int = 1
    max_replicas: int = 64
    replica_cpus: int = 1
    step_deadline: float | None = None

    def replicas(self, gpus: int) -> int:
        """How many replicas a cluster with so many GPUs runs."""
        return min(self.max_replicas, max(self.min_replicas, gpus))
