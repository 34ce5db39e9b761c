"""What the Ray driver is started with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetConfig:
    """Where the replicas run, and how many.

    `address` is None for a cluster that the driver starts on this machine and ends with itself,
    `auto` or `HOST:PORT` for a running cluster that this machine is a node of. `step_deadline` is
    the number of seconds after which a replica whose worker shows no progress restarts it.

    The fleet starts with one replica for each GPU of the cluster, or one if there is none, within
    `min_replicas` and `max_replicas`. If these differ, the number follows the load
    (`inference.fleet.scaling`); each of them that is None is the number at the start. Without a GPU
    a replica has `replica_cpus` processor threads.
    """

    address: str | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    replica_cpus: int = 1
    step_deadline: float | None = None

    def replicas(self, gpus: int) -> tuple[int, int, int]:
        """The lowest, the first and the highest number of replicas with so many GPUs."""
        first = max(1, gpus)
        if self.min_replicas is not None:
            first = max(first, self.min_replicas)
        if self.max_replicas is not None:
            first = min(first, self.max_replicas)
        lowest = first if self.min_replicas is None else min(first, self.min_replicas)
        highest = first if self.max_replicas is None else self.max_replicas
        return lowest, first, highest
