"""Queue positions in messages follow the queue."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from bot.delivery.delivery import Delivery
from bot.jobs.estimate import JobEstimates
from bot.jobs.job import Job, QueuePosition
from bot.jobs.queue import FairQueue
from bot.runner.positions import SHOWN_POSITIONS, PositionUpdater
from inference import DownloadProgress, ModelState, ModelStatus, ServiceState
from tests.support.jobs import queued_job
from tests.support.services import READY


@dataclass
class RecordingDelivery:
    """Records the positions that are shown."""

    shown: list[tuple[str, int]] = field(default_factory=list)
    models: list[ModelState | None] = field(default_factory=list)

    def show_queued(self, job: Job, position: QueuePosition) -> None:
        self.shown.append((job.id, position.ahead))
        self.models.append(position.model.state if position.model else None)

    def take(self) -> list[tuple[str, int]]:
        shown, self.shown = self.shown, []
        return shown


class Positions:
    """A queue whose positions are shown."""

    def __init__(self) -> None:
        self.queue = FairQueue()
        self.estimates = JobEstimates(self.queue)
        self.delivery = RecordingDelivery()
        self.updater = PositionUpdater(self.queue, self.estimates, cast("Delivery", self.delivery))

    def ask(self, name: str, model: str = "") -> Job:
        one = replace(queued_job(name, user=len(self.queue)), model=model)
        self.queue.add(one)
        self.updater.show(one, self.estimates.positions()[name])
        return one


def test_a_position_is_shown_anew_whenever_the_queue_moves() -> None:
    positions = Positions()
    for name in "abc":
        positions.ask(name)
    assert positions.delivery.take() == [("a", 0), ("b", 1), ("c", 2)]
    positions.updater.update()
    assert positions.delivery.take() == [], "no position has changed"
    assert positions.queue.pop() is not None
    positions.updater.update()
    assert positions.delivery.take() == [("b", 0), ("c", 1)]
    positions.queue.remove("b")
    positions.updater.update()
    assert positions.delivery.take() == [("c", 0)]
    positions.updater.update()
    assert positions.delivery.take() == []


def test_only_the_positions_of_the_next_jobs_are_updated() -> None:
    positions = Positions()
    names = [f"job {n}" for n in range(SHOWN_POSITIONS + 3)]
    for name in names:
        positions.ask(name)
    positions.delivery.take()
    for begun in range(1, 4):
        assert positions.queue.pop() is not None
        positions.updater.update()
        following = names[begun : begun + SHOWN_POSITIONS]
        assert positions.delivery.take() == [(name, n) for n, name in enumerate(following)]


def test_the_loading_of_a_models_is_shown_also_of_a_running_job() -> None:
    positions = Positions()
    status = replace(
        READY,
        models=(
            ModelStatus(name="a", state=ModelState.LOADED, serve_seconds=80.0),
            ModelStatus(name="b", state=ModelState.UNLOADED, serve_seconds=80.0),
        ),
    )
    positions.estimates.status = status
    one = positions.ask("one", model="b")
    assert positions.queue.pop() is not None
    positions.updater.update()
    assert positions.delivery.take() == [("one", 0)]
    loading = replace(status.models[1], state=ModelState.LOADING)
    loaded = replace(status.models[1], state=ModelState.LOADED)
    positions.estimates.status = replace(status, models=(status.models[0], loading))
    positions.updater.update()
    assert positions.delivery.take() == [("one", 0)]
    positions.estimates.status = replace(status, models=(status.models[0], loaded))
    positions.updater.update()
    assert positions.delivery.take() == [("one", 0)]
    assert positions.delivery.models == [ModelState.UNLOADED, ModelState.LOADING, None]
    # It has begun: its progress is shown instead.
    positions.estimates.report_steps(one, 0, 9)
    positions.updater.update()
    assert positions.delivery.take() == []


def test_all_waiting_jobs_are_shown_anew_when_the_service_becomes_ready() -> None:
    positions = Positions()
    positions.estimates.status = replace(READY, state=ServiceState.LOADING)
    names = [f"job {n}" for n in range(SHOWN_POSITIONS + 3)]
    for name in names:
        positions.ask(name)
    # The first one is in the service, which has not begun with it.
    assert positions.queue.pop() is not None
    positions.updater.update()
    positions.delivery.take()
    positions.estimates.status = READY
    positions.updater.update()
    assert sorted(name for name, _ in positions.delivery.take()) == names
    positions.updater.update()
    assert positions.delivery.take() == []


def test_a_download_is_shown_to_all_and_its_progress_to_the_next_jobs() -> None:
    positions = Positions()
    model = ModelStatus(name="a", state=ModelState.UNLOADED)
    positions.estimates.status = replace(READY, models=(model,))
    names = [f"job {n}" for n in range(SHOWN_POSITIONS + 3)]
    for name in names:
        positions.ask(name)
    positions.delivery.take()
    for percent, told in ((0, names), (50, names[:SHOWN_POSITIONS])):
        download = DownloadProgress(files=1, total_files=2, bytes=percent, total_bytes=100)
        model = replace(model, state=ModelState.DOWNLOADING, download=download)
        positions.estimates.status = replace(READY, models=(model,))
        positions.updater.update()
        assert [name for name, _ in positions.delivery.take()] == told


@pytest.mark.parametrize("models", [(), (ModelStatus(name="a", state=ModelState.LOADING),)])
def test_after_a_restart_each_message_loses_its_note_about_loading(
    models: tuple[ModelStatus, ...],
) -> None:
    """What the messages show is not stored. One edit each: many jobs may wait."""
    positions = Positions()
    names = [f"job {n}" for n in range(SHOWN_POSITIONS + 3)]
    for number, name in enumerate(names):
        positions.queue.add(queued_job(name, user=number))
    # The first one is in the service, which has not begun with it.
    assert positions.queue.pop() is not None
    positions.estimates.status = replace(READY, state=ServiceState.LOADING, models=models)
    positions.updater.update()
    shown = [name for name, _ in positions.delivery.take()]
    assert sorted(shown) == names[: SHOWN_POSITIONS + 1]
    loaded = tuple(replace(model, state=ModelState.LOADED) for model in models)
    positions.estimates.status = replace(READY, models=loaded)
    positions.updater.update()
    assert sorted(name for name, _ in positions.delivery.take()) == names
    assert set(positions.delivery.models[-len(names) :]) == {None}
    positions.updater.update()
    assert positions.delivery.take() == []


def test_a_job_that_is_in_service_after_a_restart_loses_its_note_about_loading() -> None:
    positions = Positions()
    positions.estimates.status = READY
    positions.queue.add(queued_job("one", user=1))
    assert positions.queue.pop() is not None
    positions.updater.update()
    assert positions.delivery.take() == [("one", 0)]
    positions.updater.update()
    assert positions.delivery.take() == []
