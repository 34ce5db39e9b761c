"""What a fleet reports about its models and slots, from the reports of its replicas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from inference.fleet.replica import ReplicaStatus
from inference.fleet.summary import FleetSummary
from inference.service import (
    DownloadProgress,
    ModelState,
    ModelStatus,
    ServiceState,
    ServiceStatus,
)
from inference.worker.messages import Statistics

LOADED, UNLOADED, FAILED = ModelState.LOADED, ModelState.UNLOADED, ModelState.FAILED


def replica(name: str, *models: ModelStatus, **service: Any) -> ReplicaStatus:
    options = {"state": ServiceState.READY, "detail": "ready", "slots": 4, "models": models}
    return ReplicaStatus(
        name=name, release="r", service=ServiceStatus(**{**options, **service}), step_seconds=0.5
    )


def model(name: str, state: ModelState, **options: Any) -> ModelStatus:
    return ModelStatus(name=name, state=state, **options)


def loaded(name: str, slots: int = 4) -> ModelStatus:
    return model(name, LOADED, slots=slots, loads=1, load_seconds=8.0)


def test_one_request_beyond_the_slots_is_at_hand_for_each_replica() -> None:
    small = [replica(name) for name in "ab"]
    assert FleetSummary().capacity(small).slots == 10
    large = [replica(name, slots=100) for name in "ab"]
    assert FleetSummary().capacity(large).slots == 220


def test_a_replica_that_does_not_serve_has_no_slots() -> None:
    found = [replica("a"), replica("b", state=ServiceState.LOADING)]
    capacity = FleetSummary().capacity(found)
    assert (capacity.slots, capacity.serving) == (5, True)
    assert [each.state for each in capacity.replicas] == ["ready", "loading"]


def test_a_model_is_loaded_if_one_replica_has_it() -> None:
    found = [
        replica("a", loaded("m"), model("n", UNLOADED)),
        replica("b", loaded("m"), loaded("n")),
    ]
    m, n = FleetSummary().capacity(found).models
    assert (m.state, n.state) == (LOADED, LOADED)
    assert n.load_seconds == 8.0
    assert (m.loads, n.loads) == (2, 1)


def test_a_replica_that_never_loaded_a_model_has_as_many_slots_as_the_others() -> None:
    found = [replica(name, loaded("m"), model("n", UNLOADED)) for name in "ab"]
    assert [each.slots for each in FleetSummary().capacity(found).models] == [10, 1]
    found[0] = replica("a", loaded("m"), loaded("n", slots=2))
    assert [each.slots for each in FleetSummary().capacity(found).models] == [10, 6]


def test_a_model_has_failed_only_if_every_replica_failed_to_load_it() -> None:
    failed = model("n", FAILED, failure="no file")
    found = [replica("a", loaded("m"), failed), replica("b", loaded("m"), model("n", UNLOADED))]
    n = FleetSummary().capacity(found).models[1]
    assert (n.state, n.failure) == (UNLOADED, "")
    n = FleetSummary().capacity([found[0]]).models[1]
    assert (n.state, n.failure) == (FAILED, "no file")


@pytest.mark.parametrize("state", ModelState)
def test_a_fleet_reports_every_state_of_a_model(state: ModelState) -> None:
    found = [replica(name, loaded("m"), model("n", state)) for name in "ab"]
    assert FleetSummary().capacity(found).models[1].state is state


def test_a_download_is_reported_until_one_replica_has_the_model() -> None:
    parts = [
        DownloadProgress(files=0, total_files=2, bytes=done, total_bytes=9) for done in (3, 5, 4)
    ]
    found = [
        replica(str(index), loaded("m"), model("n", ModelState.DOWNLOADING, download=part))
        for index, part in enumerate(parts)
    ]
    n = FleetSummary().capacity([*found, replica("u", loaded("m"), model("n", UNLOADED))]).models[1]
    assert (n.state, n.download) == (ModelState.DOWNLOADING, parts[1])
    n = FleetSummary().capacity([*found, replica("l", loaded("m"), loaded("n"))]).models[1]
    assert (n.state, n.download) == (LOADED, None)


def test_the_models_stay_known_while_no_replica_reports() -> None:
    summary = FleetSummary()
    summary.capacity([replica("a", loaded("m"), loaded("n"))])
    capacity = summary.capacity([])
    assert (capacity.serving, capacity.slots) == (False, 1)
    assert [(each.name, each.state, each.slots) for each in capacity.models] == [
        ("m", UNLOADED, 1),
        ("n", UNLOADED, 1),
    ]


def test_a_load_takes_as_long_as_in_the_slowest_replica() -> None:
    found = [replica("a", loaded("m")), replica("b", replace(loaded("m"), load_seconds=9.0))]
    for each in (found, found[::-1]):
        assert FleetSummary().capacity(each).models[0].load_seconds == 9.0


def test_counts_of_a_replica_that_has_ended_are_kept() -> None:
    summary = FleetSummary()
    found = [replica(name, loaded("m"), denoiser_calls=3, denoiser_rows=8) for name in "ab"]
    summary.capacity(found)
    assert summary.statistics(found) == Statistics(denoiser_calls=6, denoiser_rows=16)
    assert summary.capacity(found[:1]).models[0].loads == 2
    assert summary.statistics(found[:1]) == Statistics(denoiser_calls=6, denoiser_rows=16)


def test_the_snapshot_of_a_replica_names_its_models_and_its_step_time() -> None:
    found = replace(replica("a", loaded("m"), model("n", UNLOADED)), models=("m",))
    (snapshot,) = FleetSummary().capacity([found]).replicas
    assert (snapshot.models, snapshot.step_seconds) == (("m",), 0.5)
