"""`RayService`: an `InferenceService` that runs requests on the replicas of a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from inference.fleet.config import FleetConfig
from inference.worker.supervisor import LocalService


class RayService(LocalService):
    """`async with RayService(model="sd2-depth", fleet=FleetConfig()) as service`.

    The arguments besides `fleet` are those of `LocalService` and apply to each replica. `cache_dir`
    and the model must exist on every machine of the cluster. Requests wait while no replica is
    available; a request whose replica was lost fails with `WorkerDied` if it had started.

    Raises:
        UnknownModel: by the constructor.
    """

    def __init__(
        self,
        *,
        model: str,
        fleet: FleetConfig,
        device: str = "auto",
        dtype: str = "auto",
        batch_rows: int = 0,
        cache_dir: Path = Path(".cache"),
        replica_factory: str = "inference.families.build:build_engine",
        environment: Mapping[str, str | None] | None = None,
    ) -> None:
        super().__init__(
            model=model,
            device=device,
            dtype=dtype,
            batch_rows=batch_rows,
            cache_dir=cache_dir,
            factory="inference.fleet.engine:build_engine",
            factory_options={"fleet": fleet, "model": model, "replica_factory": replica_factory},
            environment=environment,
            # The driver reports its capacity every second.
            step_deadline=60.0,
        )
