"""`RayService`: an `InferenceService` that runs requests on the replicas of a Ray cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from inference.fleet.config import FleetConfig
from inference.models import find_models
from inference.worker.messages import Demand, WorkerConfig
from inference.worker.supervisor import WorkerSupervisor


class RayService(WorkerSupervisor):
    """`async with RayService(model="sd2-depth", fleet=FleetConfig()) as service`.

    The arguments besides `fleet` are those of `LocalService` and apply to each replica. `cache_dir`
    and the models must exist on every machine of the cluster. Requests wait while no replica is
    available; a request whose replica was lost fails with `WorkerDied` if it had started.

    Raises:
        UnknownModel: by the constructor, as `LocalService`.
    """

    def __init__(
        self,
        *,
        model: str,
        fleet: FleetConfig,
        other_models: Sequence[str] = (),
        model_memory: int = 0,
        device: str = "auto",
        dtype: str = "auto",
        batch_rows: int = 0,
        cache_dir: Path = Path(".cache"),
        replica_factory: str = "inference.families.build:build_engine",
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        entries = find_models([model, *other_models])
        config = WorkerConfig(
            entry=entries[0],
            others=entries[1:],
            model_memory=model_memory,
            device=device,
            dtype=dtype,
            batch_rows=batch_rows,
            cache_dir=cache_dir,
            factory="inference.fleet.engine:build_engine",
            factory_options={
                "fleet": fleet,
                "model": model,
                "other_models": tuple(other_models),
                "replica_factory": replica_factory,
            },
            environment={**_settings_of_ray(), **(environment or {})},
            log_level=logging.getLogger().getEffectiveLevel(),
        )
        # The driver reports its capacity every second.
        super().__init__(config, step_deadline=60.0)

    def report_demand(self, oldest_wait: float) -> None:
        """Tell the fleet how long the oldest waiting request has waited, in seconds."""
        if self._process is not None:
            self._process.send(Demand(oldest_wait))


def _settings_of_ray() -> dict[str, str]:
    """Environment variables for Ray, unless the operator has set them.

    Ray reports its use to its makers unless it is told not to. Only `ray start --head` uses the
    token of this machine by itself; a program or a worker that joins its cluster does not.
    https://docs.ray.io/en/latest/cluster/usage-stats.html
    https://docs.ray.io/en/latest/ray-security/token-auth.html
    """
    settings = {"RAY_USAGE_STATS_ENABLED": os.environ.get("RAY_USAGE_STATS_ENABLED", "0")}
    given = {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if given or (Path.home() / ".ray" / "auth_token").is_file():
        settings["RAY_AUTH_MODE"] = os.environ.get("RAY_AUTH_MODE", "token")
    return settings
