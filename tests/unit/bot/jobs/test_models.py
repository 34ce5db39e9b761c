"""Jobs of several models: their order, their slots and their estimates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.jobs.estimate import JobEstimates
from bot.jobs.failures import (
    GenerationFailed,
    JobFailure,
    ModelCannotDoThat,
    ModelNotLoadable,
    ModelRemoved,
    NoPartFound,
    NoValidPicture,
    TooLargeForModel,
    WaitedTooLong,
    failure_of,
)
from bot.jobs.job import Job
from bot.jobs.queue import FairQueue
from bot.runner.batch_slots import ModelSlots
from inference import (
    DeadlineExceeded,
    DownloadProgress,
    FlatDepthMap,
    ImageResult,
    InferenceError,
    ModelNotConfigured,
    ModelNotLoaded,
    ModelState,
    ModelStatus,
    NonFiniteOutput,
    OutOfMemory,
    ServiceState,
    ServiceStatus,
    TaskNotSupported,
    Timings,
)
from tests.support.jobs import queued_job
from tests.support.services import READY


def job(name: str, user: int = 1) -> Job:
    """A job of one picture with ten steps; its name begins with its model's name."""
    return replace(queued_job(name, user), model=name[0])


def status(**models: ModelState) -> ServiceStatus:
    """Models with one slot each that take 20 s to load and wait for at most 80 s."""
    return replace(
        READY,
        models=tuple(
            ModelStatus(name=name, state=state, load_seconds=20.0, serve_seconds=80.0)
            for name, state in models.items()
        ),
    )


def estimates(queue: FairQueue, **models: ModelState) -> JobEstimates:
    """Estimates with measured steps: 1 s of model a, 3 s of model b, none of model c."""
    made = JobEstimates(queue)
    made.status = status(**models)
    for name, step in (("a", 1.0), ("b", 3.0)):
        timings = Timings(prepare=0.0, steps=10 * step, decode=0.0)
        made.measure(
            job(name),
            ImageResult(id="", pixels=b"", width=0, height=0, steps_run=10, timings=timings),
        )
    return made


def seconds(made: JobEstimates) -> dict[str, float | None]:
    return {name: position.seconds for name, position in made.positions().items()}


def test_a_job_whose_model_has_no_slot_holds_back_no_other() -> None:
    queue = FairQueue()
    for name in ("a1", "b1", "a2"):
        queue.add(job(name))
    queue.add(job("b2", user=2))
    taken = [queue.pop(lambda one: one.model == "b") for _ in range(3)]
    assert [one.id for one in taken if one] == ["b1", "b2"]
    assert [one.id for one in queue.order()] == ["a1", "a2"]
    assert [one.id for _ in range(2) if (one := queue.pop())] == ["a1", "a2"]


def test_the_queue_counts_a_slow_models_jobs_as_more_work() -> None:
    queue = FairQueue(lambda one: one.cost * (10.0 if one.model == "b" else 1.0))
    for n in range(4):
        queue.add(job(f"b{n}", user=1))
        queue.add(job(f"a{n}", user=2))
    order = [one.id for one in queue.order()]
    assert order.index("a3") < order.index("b1")


def test_each_model_has_its_own_slots() -> None:
    slots = ModelSlots()
    slots.resize(status(a=ModelState.LOADED, b=ModelState.UNLOADED))
    assert slots.free("a")
    assert slots.free("b")


async def test_a_full_model_leaves_the_slots_of_the_others_free() -> None:
    slots = ModelSlots()
    slots.resize(status(a=ModelState.LOADED, b=ModelState.UNLOADED))
    taken = slots.take("a")
    assert not slots.free("a")
    assert not slots.free(""), "an empty name is the default model"
    assert slots.free("b")
    slots.release(taken)
    assert slots.free("a")


async def test_a_service_with_one_model_has_one_batch_for_all_jobs() -> None:
    slots = ModelSlots()
    slots.resize(replace(READY, slots=1))
    slots.take("a")
    assert not slots.free("b")


def test_loaded_models_run_at_the_same_time_each_with_its_own_step_time() -> None:
    queue = FairQueue()
    made = estimates(queue, a=ModelState.LOADED, b=ModelState.LOADED)
    for name in ("a1", "b1", "a2"):
        queue.add(job(name))
    assert seconds(made) == {"a1": 10.0, "b1": 30.0, "a2": 20.0}


def test_the_jobs_of_another_model_follow_after_it_was_loaded() -> None:
    queue = FairQueue()
    made = estimates(queue, a=ModelState.LOADED, b=ModelState.UNLOADED)
    for name in ("b1", "a1", "a2"):
        queue.add(job(name))
    assert seconds(made) == {"b1": 20.0 + 20.0 + 30.0, "a1": 10.0, "a2": 20.0}


def test_the_wait_for_another_model_is_bounded() -> None:
    queue = FairQueue()
    made = estimates(queue, a=ModelState.LOADED, b=ModelState.UNLOADED)
    for n in range(50):
        queue.add(job(f"a{n}"))
    queue.add(job("b1", user=2))
    assert seconds(made)["b1"] == 80.0 + 20.0 + 30.0


def test_a_model_that_is_being_loaded_is_ready_after_its_loading_time() -> None:
    queue = FairQueue()
    made = estimates(queue, a=ModelState.LOADED, b=ModelState.LOADING)
    queue.add(job("a1"))
    queue.add(job("b1"))
    assert seconds(made)["b1"] == 20.0 + 30.0
    shown = made.positions()["b1"].model
    assert shown is not None
    assert shown.state is ModelState.LOADING
    assert made.positions()["a1"].model is None


def test_a_model_that_is_downloaded_follows_its_download() -> None:
    queue = FairQueue()
    made = estimates(queue, a=ModelState.LOADED, b=ModelState.DOWNLOADING)
    first, second = made.status.models
    progress = DownloadProgress(files=1, total_files=2, bytes=1, total_bytes=2, seconds_left=600.0)
    made.status = replace(made.status, models=(first, replace(second, download=progress)))
    queue.add(job("a1"))
    queue.add(job("b1"))
    assert seconds(made) == {"a1": 10.0, "b1": 600.0 + 20.0 + 30.0}


def test_a_model_that_was_never_measured_has_no_estimate() -> None:
    queue = FairQueue()
    made = estimates(queue, a=ModelState.LOADED, c=ModelState.UNLOADED)
    queue.add(job("c1"))
    queue.add(job("a1"))
    assert seconds(made) == {"c1": None, "a1": 10.0}
    assert made.seconds_until_free() is None


def test_a_running_job_that_waits_for_its_model_has_a_position() -> None:
    queue = FairQueue()
    made = estimates(queue, a=ModelState.LOADED, b=ModelState.LOADING)
    for name in ("a1", "b1"):
        queue.add(job(name))
        queue.pop()
    assert made.positions_in_service()["a1"].model is None
    position = made.positions_in_service()["b1"]
    assert position.model is not None
    assert (position.model.name, position.seconds) == ("b", 20.0 + 30.0)
    made.report_steps(job("b1"), 0, 9)
    assert list(made.positions_in_service()) == ["a1"]


def test_a_running_job_waits_for_its_model_until_it_is_loaded_or_takes_a_step() -> None:
    made = estimates(FairQueue(), a=ModelState.LOADED, b=ModelState.LOADING)
    assert not made.waits_for_model(job("a1"))
    assert made.waits_for_model(job("b1"))
    made.report_steps(job("b1"), 0, 9)
    assert not made.waits_for_model(job("b1"))
    # A service with one model.
    made.status = READY
    assert not made.waits_for_model(job("a2"))
    made.status = replace(READY, state=ServiceState.LOADING)
    assert made.waits_for_model(job("a2"))


def test_a_running_job_whose_model_was_unloaded_waits_for_its_loading_only() -> None:
    queue = FairQueue()
    made = estimates(queue, a=ModelState.LOADED, b=ModelState.UNLOADED)
    queue.add(job("b1"))
    queue.pop()
    (position,) = made.positions_in_service().values()
    assert (position.ahead, position.seconds) == (0, 20.0 + 30.0)


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ModelNotConfigured("x"), ModelRemoved),
        (ModelNotLoaded("x"), ModelNotLoadable),
        (TaskNotSupported("x"), ModelCannotDoThat),
        (OutOfMemory("x"), TooLargeForModel),
        (NonFiniteOutput("x"), NoValidPicture),
        (FlatDepthMap("x"), NoPartFound),
        (DeadlineExceeded("x"), WaitedTooLong),
        (InferenceError("x"), GenerationFailed),
    ],
)
def test_every_error_of_the_engine_has_its_sentence(
    error: InferenceError, failure: type[JobFailure]
) -> None:
    assert type(failure_of(error, "sdxl")) is failure


@pytest.mark.parametrize(
    "error", [ModelNotConfigured("x"), ModelNotLoaded("x"), TaskNotSupported("x")]
)
def test_the_sentence_about_a_missing_model_names_it(error: InferenceError) -> None:
    assert "The model sdxl " in str(failure_of(error, "sdxl"))
