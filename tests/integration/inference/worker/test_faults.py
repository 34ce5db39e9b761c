"""The supervisor with real worker processes that crash, hang and run out of memory.

Longer than 300 lines: the faults share one worker and its helpers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from inference import (
    DownloadProgress,
    ImageResult,
    InferenceError,
    LocalService,
    ModelNotOnHub,
    ModelUnavailable,
    NonFiniteOutput,
    OutOfMemory,
    Progress,
    ServiceState,
    ServiceStopped,
    WorkerDied,
    WorkerFailed,
)
from inference.models import find_model
from inference.worker import supervisor
from inference.worker.messages import Submit, WorkerConfig
from inference.worker.process import WorkerProcess
from inference.worker.watchdog import Watchdog
from tests.support.requests import request

FAULTS = "tests.support.faults:"
# As in that module, which imports torch.
NEXT_STEP_HANGS = "next step hangs"
HANGING = "hanging"
NEVER = 1e6


@asynccontextmanager
async def serving(
    factory: str = "build_engine",
    *,
    ready: bool = True,
    folder: Path = Path("unused"),
    step_limit: Callable[[LocalService], float] | None = None,
) -> AsyncIterator[LocalService]:
    """A service whose worker uses that factory.

    The limit of a step is short only if the next step hangs: other work on the machine may delay
    every other step. `step_limit` gives another one.
    """
    mark = folder / NEXT_STEP_HANGS
    service = LocalService(model="noise", factory=FAULTS + factory, cache_dir=folder)

    def limit(_: Watchdog) -> float:
        if step_limit is not None:
            return step_limit(service)
        return 0.2 if mark.exists() else NEVER

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Watchdog, "_step_limit", property(limit))
        async with service:
            if ready:
                await service.wait_ready()
            yield service


async def outcome(
    service: LocalService,
    prompt: str,
    number: int = 0,
    *,
    begun: asyncio.Event | None = None,
    **changes: Any,
) -> Any:
    """The result, or the error. `begun` is set by the first step."""
    try:
        return await service.generate(
            request(f"{prompt} {number}", prompt=prompt, seed=number, **changes),
            lambda _: begun.set() if begun else None,
        )
    except InferenceError as error:
        return error


async def with_one_retry(service: LocalService, prompt: str, number: int) -> Any:
    """The outcome, with a second attempt after `WorkerDied`, as the bot does it."""
    got = await outcome(service, prompt, number)
    return await outcome(service, prompt, number) if isinstance(got, WorkerDied) else got


@pytest.mark.parametrize("fault", ["crash", "hang", "assert"])
async def test_a_dead_worker_is_replaced_and_only_its_started_requests_fail(
    fault: str, tmp_path: Path
) -> None:
    async with serving(folder=tmp_path) as service:
        before = service.worker_pid
        # Four requests run; the next four have not started.
        begun = [asyncio.Event() for _ in range(3)]
        running = [
            asyncio.create_task(outcome(service, "fine", n, begun=begun[n], steps=100_000))
            for n in range(3)
        ]
        for one in begun:
            await one.wait()
        bad = asyncio.create_task(outcome(service, fault, steps=20))
        waiting = [asyncio.create_task(outcome(service, "fine", n, steps=20)) for n in range(3, 7)]
        assert isinstance(await bad, WorkerDied)
        assert all(isinstance(one, WorkerDied) for one in await asyncio.gather(*running))
        assert service.status.detail == "restarting the model"
        assert all(isinstance(one, ImageResult) for one in await asyncio.gather(*waiting))
        assert service.status.state is ServiceState.READY
        assert service.worker_pid != before


WORKER_FAULTS = ("crash once", "hang once", "assert once")
REQUEST_FAULTS = ("memory", "nan", "black")


async def inject(service: LocalService, worker_faults: int, request_faults: int) -> int:
    """Inject so many faults of each kind, mixed with requests without a fault; return their sum."""
    injected = 0
    for number in range(max(worker_faults, request_faults // 12)):
        prompts = ["fine"] * 6
        wrong = min(12, request_faults - 12 * number)
        prompts += [REQUEST_FAULTS[n % 3] for n in range(wrong)]
        if number < worker_faults:
            prompts.append(WORKER_FAULTS[number % 3])
        injected += len(prompts) - 6
        random.Random(number).shuffle(prompts)
        answers = await asyncio.gather(
            *(with_one_retry(service, prompt, 100 * number + n) for n, prompt in enumerate(prompts))
        )
        for n, (prompt, got) in enumerate(zip(prompts, answers, strict=True)):
            match prompt:
                case "memory":
                    assert isinstance(got, OutOfMemory)
                case "nan":
                    assert isinstance(got, NonFiniteOutput)
                case "black":
                    assert set(got.pixels) == {0}
                case _:
                    assert set(got.pixels) == {(100 * number + n) % 255 + 1}
    return injected


async def test_two_hundred_faults_cost_one_retry_at_most_and_no_other_image(
    tmp_path: Path,
) -> None:
    async with serving(folder=tmp_path) as service:
        assert await inject(service, worker_faults=9, request_faults=192) >= 200


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_two_hundred_faults_that_end_the_worker_each_cost_one_retry_at_most(
    tmp_path: Path,
) -> None:
    async with serving(folder=tmp_path) as service:
        assert await inject(service, worker_faults=200, request_faults=200) == 400


@pytest.mark.usefixtures("spawned_workers")
async def test_the_worker_is_back_after_a_crash() -> None:
    """Started as in production. The fake engine imports torch and nothing else."""
    async with serving() as service:
        before = service.worker_pid
        start = time.monotonic()
        assert isinstance(await outcome(service, "crash"), WorkerDied)
        await service.wait_ready()
        # Printed, not asserted: it depends on the machine's other work.
        print(f"the worker was back after {time.monotonic() - start:.1f} s")
        assert service.worker_pid not in (None, before)
        assert isinstance(await outcome(service, "fine"), ImageResult)


async def test_three_deaths_in_a_row_fail_the_service_and_the_reason_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving("dies_at_once", ready=False) as service:
        waiting = asyncio.create_task(outcome(service, "fine"))
        with pytest.raises(ModelUnavailable, match=r"3 times in a row.*SIGSEGV"):
            await service.wait_failed()
        assert isinstance(await waiting, ModelUnavailable)
        assert isinstance(await outcome(service, "fine"), ModelUnavailable)
        assert service.status.state is ServiceState.FAILED
    assert [r.message for r in caplog.records if r.levelno == logging.CRITICAL] == [
        service.status.detail
    ]


async def test_a_finished_request_in_between_keeps_the_service_going() -> None:
    async with serving() as service:
        for number in range(3):
            assert isinstance(await outcome(service, "assert", number), WorkerDied)
            assert isinstance(await outcome(service, "fine", number), ImageResult)


@pytest.mark.parametrize(
    ("factory", "error_type", "reason"),
    [
        ("unavailable", ModelNotOnHub, "no such model"),
        ("raises", WorkerFailed, "KeyError: 'unet'"),
    ],
)
async def test_the_error_says_why_a_model_cannot_be_loaded(
    factory: str, error_type: type[ModelUnavailable], reason: str
) -> None:
    async with serving(factory, ready=False) as service:
        for raises_the_error in (service.wait_ready, service.wait_failed):
            with pytest.raises(error_type, match=reason):
                await raises_the_error()


async def test_a_worker_that_stopped_reading_does_not_stop_its_parent(tmp_path: Path) -> None:
    """The test sends more than a pipe can hold to a stopped process."""
    async with serving(folder=tmp_path) as service:
        before = service.worker_pid
        assert before is not None
        os.kill(before, signal.SIGSTOP)
        (tmp_path / NEXT_STEP_HANGS).touch()
        side = 512
        large: Any = {"width": side, "height": side, "pixels": bytes(side * side * 3)}
        tasks = [asyncio.create_task(outcome(service, "fine", n, **large)) for n in range(8)]
        # A write that blocked the event loop would also block the timer that notices the hang.
        assert all(isinstance(one, ImageResult) for one in await asyncio.gather(*tasks))
        assert service.worker_pid not in (None, before)


async def test_a_closed_pipe_is_not_written_to() -> None:
    """The next worker's pipe may have the file descriptor of the one that was closed."""
    config = WorkerConfig(entry=find_model("noise"), factory=FAULTS + "build_engine")
    side = 1024
    large = request("large", width=side, height=side, pixels=bytes(side * side * 3))
    before = set(threading.enumerate())
    for _ in range(3):
        process = await WorkerProcess.start(config)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        for _ in range(20):
            process.send(Submit(large))
        await process.close()
        left = set(threading.enumerate()) - before
        # asyncio keeps the threads of its pool.
        assert not [thread for thread in left if not thread.name.startswith("asyncio_")]


async def test_a_hang_is_noticed_after_its_request_was_cancelled(tmp_path: Path) -> None:
    async with serving(folder=tmp_path) as service:
        task = asyncio.create_task(service.generate(request("h", prompt="hang", steps=4)))
        # On a busy machine the worker may be ended before that, or before the cancellation.
        while not (tmp_path / HANGING).exists() and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, WorkerDied)):
            await task
        assert isinstance(await outcome(service, "fine"), ImageResult)
        assert service.status.restarts == 1


async def test_an_idle_worker_may_be_silent_for_longer_than_a_step() -> None:
    """Its limit is short only while it has no request."""
    async with serving(step_limit=lambda one: NEVER if one._pending else 0.05) as service:
        for number in range(2):
            assert isinstance(await outcome(service, "fine", number), ImageResult)
            # Idle, the worker sends no message.
            await asyncio.sleep(0.3)
        assert isinstance(await outcome(service, "fine", 2), ImageResult)
        assert service.status.restarts == 0


async def test_a_request_cancelled_while_waiting_or_running_stops(tmp_path: Path) -> None:
    async with serving() as service:
        running = asyncio.Event()
        reported: list[Progress] = []

        def on_progress(progress: Progress) -> None:
            reported.append(progress)
            running.set()

        first = asyncio.create_task(
            service.generate(request("first", prompt="x", steps=100_000), on_progress)
        )
        await running.wait()
        others = [
            asyncio.create_task(
                service.generate(request(f"o{n}", prompt="x", steps=100_000), on_progress)
            )
            for n in range(6)
        ]
        await asyncio.sleep(0)
        for task in (first, *others):
            task.cancel()
        await asyncio.wait({first, *others})
        count = len(reported)
        # The next request runs at once, and the cancelled ones report nothing more.
        assert isinstance(await outcome(service, "fine"), ImageResult)
        assert len(reported) == count


async def test_an_error_in_the_progress_function_is_raised_to_its_caller() -> None:
    def wrong(_: Progress) -> None:
        raise ZeroDivisionError

    async with serving() as service:
        with pytest.raises(ZeroDivisionError):
            await service.generate(request("x"), wrong)
        assert isinstance(await outcome(service, "fine"), ImageResult)


async def test_requests_sent_while_loading_run_once_it_is_ready() -> None:
    async with serving(ready=False) as service:
        assert service.status.state is ServiceState.LOADING
        assert isinstance(await outcome(service, "fine"), ImageResult)


@pytest.mark.parametrize(
    ("factory", "prompt", "grace"),
    # Only a worker in a step that never ends needs the whole time that a worker has to stop.
    [("build_engine", "fine", 1e6), ("build_engine", "hang", 0.1), ("never_ready", "fine", 1e6)],
)
async def test_stopping_fails_requests_and_leaves_no_process(
    factory: str, prompt: str, grace: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STOP_SECONDS", grace)
    ready = factory == "build_engine"
    step_limit = None if prompt == "fine" else lambda _: NEVER
    async with serving(factory, ready=ready, folder=tmp_path, step_limit=step_limit) as service:
        begun = asyncio.Event()
        steps = 2 if prompt == "hang" else 100_000
        task = asyncio.create_task(outcome(service, prompt, begun=begun, steps=steps))
        if ready:
            await begun.wait()
        while (pid := service.worker_pid) is None:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        while prompt == "hang" and not (tmp_path / HANGING).exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert isinstance(await task, ServiceStopped)
    assert not psutil.pid_exists(pid)


@pytest.mark.usefixtures("spawned_workers")
async def test_a_stop_signal_to_the_whole_group_does_not_lose_a_request() -> None:
    """A service manager signals every process; the parent decides when the worker ends."""
    async with serving() as service:
        assert service.worker_pid is not None
        started = asyncio.Event()
        task = asyncio.create_task(
            service.generate(request("x", prompt="fine", steps=300), lambda _: started.set())
        )
        await started.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(service.worker_pid, number)
        assert isinstance(await task, ImageResult)


@pytest.mark.parametrize("factory", ["build_engine", "never_ready"])
def test_a_worker_ends_with_its_parent_even_a_killed_one(factory: str) -> None:
    code = f"""
        import asyncio, os, signal
        from inference import LocalService

        async def main():
            async with LocalService(model="noise", factory="{FAULTS}{factory}") as service:
                while service.worker_pid is None:
                    await asyncio.sleep(0.01)
                if "{factory}" == "build_engine":
                    await service.wait_ready()
                else:
                    await asyncio.sleep(4)
                print(service.worker_pid, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

        if __name__ == "__main__":
            asyncio.run(main())
    """
    parent = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert parent.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(parent.stdout)).wait(timeout=60)


async def test_a_worker_that_hangs_while_loading_is_replaced_and_then_reported() -> None:
    async with LocalService(
        model="noise", factory=FAULTS + "never_ready", load_deadline=0.5
    ) as service:
        waiting = asyncio.create_task(outcome(service, "fine"))
        with pytest.raises(WorkerFailed, match=r"3 times in a row.* did nothing .* while "):
            await service.wait_failed()
        assert isinstance(await waiting, WorkerFailed)


@pytest.mark.parametrize("factory", ["busy", "downloading"])
async def test_a_worker_that_loads_slowly_is_not_taken_for_hung(
    factory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading takes longer than the deadline, but the worker shows activity all the time."""
    async with LocalService(model="noise", factory=FAULTS + factory, load_deadline=3.0) as service:
        pid = None
        while service.status.state is ServiceState.LOADING:
            pid = service.worker_pid or pid
            await asyncio.sleep(0.01)
        assert service.status.state is ServiceState.READY
        assert service.worker_pid == pid


async def test_the_status_shows_the_progress_of_a_download(tmp_path: Path) -> None:
    async with serving("half_downloaded", ready=False, folder=tmp_path) as service:
        while service.status.download is None:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        assert service.status.download == DownloadProgress(
            files=3, total_files=7, bytes=35 * 10**8, total_bytes=7 * 10**9
        )
        detail = "downloading some/model: 3 of 7 files, 3.5 of 7.0 GB (50 %)"
        assert service.status.detail == detail
        (tmp_path / "go on").touch()
        await service.wait_ready()
        assert service.status.download is None


async def test_the_status_counts_restarts_and_the_denoiser_s_work_of_all_workers() -> None:
    async with serving() as service:
        assert (service.status.restarts, service.status.denoiser_calls) == (0, 0)
        # Ten steps with guidance: two rows in each call.
        assert isinstance(await outcome(service, "fine", steps=10), ImageResult)
        while service.status.denoiser_calls < 10:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        first = service.status
        assert (first.denoiser_calls, first.denoiser_rows) == (10, 20)
        assert first.worker_pid == service.worker_pid
        await outcome(service, "crash")
        await service.wait_ready()
        assert service.status.restarts == 1
        assert service.status.worker_pid not in (None, first.worker_pid)
        before = service.status.denoiser_calls
        assert before >= 10
        assert isinstance(await outcome(service, "fine", 1, steps=10), ImageResult)
        while service.status.denoiser_calls < before + 10:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert service.status.denoiser_calls == before + 10


@pytest.mark.usefixtures("spawned_workers")
async def test_environment_variables_are_set_and_removed_in_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("X_SECRET", "a secret")
    monkeypatch.setenv("X_KEPT", "kept")
    async with LocalService(
        model="noise",
        factory=FAULTS + "reports_environment",
        environment={"X_SECRET": None, "X_SET": "set"},
    ) as service:
        with pytest.raises(ModelUnavailable) as error:
            await service.wait_ready()
    assert str(error.value) == "[('X_KEPT', 'kept'), ('X_SET', 'set')]"
