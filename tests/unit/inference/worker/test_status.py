"""The status of a service follows the messages of its worker."""

from __future__ import annotations

from inference.service import ModelState, ModelStatus, ServiceState
from inference.worker.messages import Capacity, ModelStates, Ready
from inference.worker.status import StatusKeeper

LOADING = ModelStatus(name="b", state=ModelState.LOADING)


def ready() -> StatusKeeper:
    keeper = StatusKeeper(["a", "b"])
    keeper.apply(Ready(slots=4, device="cpu", dtype="float32"))
    return keeper


async def test_a_fleet_without_a_serving_replica_is_not_ready() -> None:
    keeper = ready()
    changed = keeper.changed
    keeper.apply(Capacity(slots=1, serving=False))
    assert changed.is_set()
    status = keeper.snapshot(None)
    assert (status.state, status.detail) == (ServiceState.RESTARTING, "waiting for a replica")
    keeper.apply(Capacity(slots=9, serving=True))
    status = keeper.snapshot(None)
    assert (status.state, status.detail, status.slots) == (ServiceState.READY, "ready", 9)


async def test_the_state_of_a_fleet_changes_only_with_its_replicas() -> None:
    keeper = ready()
    changed = keeper.changed
    keeper.apply(Capacity(slots=9, serving=True))
    assert not changed.is_set()


async def test_a_model_that_a_replica_loads_is_not_loaded_by_the_driver() -> None:
    """Otherwise the end of the driver would count as caused by that model."""
    keeper = ready()
    keeper.apply(Capacity(slots=9, serving=True, models=(LOADING,)))
    assert keeper.snapshot(None).models == (LOADING,)
    assert keeper.loading_model is None


async def test_the_model_that_a_worker_loads_is_known_until_the_worker_ends() -> None:
    keeper = ready()
    keeper.apply(ModelStates((LOADING,)))
    assert keeper.loading_model == "b"
    keeper.worker_restarts()
    assert keeper.loading_model is None
