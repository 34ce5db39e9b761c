"""Sums up the reports of all replicas for the status of the whole service. Pure: no Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from inference.fleet.replica import ReplicaStatus
from inference.service import ModelState, ModelStatus, ReplicaSnapshot, ServiceState
from inference.worker.messages import Capacity, Statistics

EXTRA_REQUESTS_SHARE = 0.1
"""Requests beyond a replica's slots that may be under way, so that the next one is at hand when a
slot is free: a share of the slots, and one at least."""

# The state of a model that has different states in several replicas is the first of these.
_STATES = (
    ModelState.LOADED,
    ModelState.LOADING,
    ModelState.DOWNLOADING,
    ModelState.UNLOADED,
    ModelState.FAILED,
)


class FleetSummary:
    """Sums up the newest reports. Counts of replicas that have ended are kept."""

    def __init__(self) -> None:
        self._statistics: dict[str, Statistics] = {}
        self._loads: dict[str, dict[str, int]] = {}
        self._models: tuple[ModelStatus, ...] = ()

    def statistics(self, found: Sequence[ReplicaStatus]) -> Statistics:
        """The calls of all replicas that have run."""
        for status in found:
            self._statistics[status.name] = Statistics(
                denoiser_calls=status.service.denoiser_calls,
                denoiser_rows=status.service.denoiser_rows,
            )
        return sum(self._statistics.values(), Statistics())

    def capacity(self, found: Sequence[ReplicaStatus]) -> Capacity:
        """The state of the fleet. If no replica serves requests, there is one slot for each model:
        a request is then at hand for the first replica."""
        serving = [each.service for each in found if each.service.state is ServiceState.READY]
        for status in found:
            self._loads[status.name] = {each.name: each.loads for each in status.service.models}
        if serving:
            names = [each.name for each in serving[0].models]
            self._models = tuple(
                self._model(name, [each.model(name) for each in serving]) for name in names
            )
        else:
            self._models = tuple(
                replace(each, state=ModelState.UNLOADED, slots=1) for each in self._models
            )
        return Capacity(
            slots=sum(_with_extra(each.slots) for each in serving) or 1,
            serving=bool(serving),
            models=self._models,
            replicas=tuple(map(_snapshot, sorted(found, key=lambda status: status.name))),
        )

    def _model(self, name: str, reports: Sequence[ModelStatus]) -> ModelStatus:
        """One model in all replicas that serve requests.

        A replica in which it was not loaded yet counts with as many slots as the others have; if it
        was not loaded in any, there is one slot: it is not known how many requests fit.
        """
        known = [_with_extra(each.slots) for each in reports if each.loads]
        state = min((each.state for each in reports), key=_STATES.index)
        load_seconds = [each.load_seconds for each in reports if each.load_seconds is not None]
        # The model can be loaded as soon as the first of the downloads is done.
        downloads = [each.download for each in reports if each.download is not None]
        return ModelStatus(
            name=name,
            state=state,
            slots=sum(known) + max(known) * (len(reports) - len(known)) if known else 1,
            load_seconds=max(load_seconds, default=None),
            serve_seconds=max(each.serve_seconds for each in reports),
            loads=sum(loads.get(name, 0) for loads in self._loads.values()),
            failure=reports[0].failure if state is ModelState.FAILED else "",
            download=max(downloads, key=lambda each: each.bytes, default=None)
            if state is ModelState.DOWNLOADING
            else None,
        )


def _with_extra(slots: int) -> int:
    return slots + max(1, round(EXTRA_REQUESTS_SHARE * slots))


def _snapshot(status: ReplicaStatus) -> ReplicaSnapshot:
    service = status.service
    return ReplicaSnapshot(
        name=status.name,
        state=service.state,
        device=service.device,
        models=status.models,
        slots=service.slots,
        running=status.running,
        step_seconds=status.step_seconds,
        restarts=service.restarts,
        denoiser_calls=service.denoiser_calls,
        denoiser_rows=service.denoiser_rows,
        resident_bytes=status.resident_bytes,
    )
