"""The supervisor over real worker processes that crash, hang, break and run out of memory."""

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
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from inference import (
    Img2ImgResult,
    InferenceError,
    LocalService,
    ModelUnavailable,
    NonFiniteOutput,
    OutOfMemory,
    Progress,
    ServiceState,
    ServiceStopped,
    WorkerDied,
)
from tests.support.requests import request

FAULTS = "tests.support.faults:"


@asynccontextmanager
async def serving(
    factory: str = "build_engine",
    *,
    step_deadline: float = 0.5,
    ready: bool = True,
    folder: Path = Path("unused"),
) -> AsyncIterator[LocalService]:
    """A service over a worker with that factory; short patience, so that hangs are short."""
    async with LocalService(
        model="noise", factory=FAULTS + factory, step_deadline=step_deadline, cache_dir=folder
    ) as service:
        if ready:
            await service.wait_ready()
        yield service


async def answer(service: LocalService, prompt: str, number: int = 0, **changes: Any) -> Any:
    """A result, or the error in its place."""
    try:
        return await service.generate(
            request(f"{prompt} {number}", prompt=prompt, seed=number, **changes)
        )
    except InferenceError as error:
        return error


async def with_one_retry(service: LocalService, prompt: str, number: int) -> Any:
    """As the bot does it: once more after `WorkerDied`, and then that is the answer."""
    got = await answer(service, prompt, number)
    return await answer(service, prompt, number) if isinstance(got, WorkerDied) else got


@pytest.mark.parametrize("fault", ["crash", "hang", "assert"])
async def test_a_dead_worker_is_replaced_and_only_what_ran_in_it_is_told(fault: str) -> None:
    async with serving() as service:
        before = service.worker_pid
        # Four run; the four behind them have not begun.
        bad = asyncio.create_task(answer(service, fault, steps=20))
        beside = [asyncio.create_task(answer(service, "fine", n, steps=20)) for n in range(3)]
        behind = [asyncio.create_task(answer(service, "fine", n, steps=20)) for n in range(3, 7)]
        assert isinstance(await bad, WorkerDied)
        assert all(isinstance(one, WorkerDied) for one in await asyncio.gather(*beside))
        assert service.status.detail == "starting the model again"
        assert all(isinstance(one, Img2ImgResult) for one in await asyncio.gather(*behind))
        assert service.status.state is ServiceState.READY
        assert service.worker_pid != before


ENDINGS = ("crash once", "hang once", "assert once")
INSIDE = ("memory", "nan", "black")


async def inject(service: LocalService, endings: int, inside: int) -> int:
    """So many faults of each sort, in rounds, with everybody else's pictures among them."""
    injected = 0
    for number in range(max(endings, inside // 12)):
        prompts = ["fine"] * 6
        wrong = min(12, inside - 12 * number)
        prompts += [INSIDE[n % 3] for n in range(wrong)]
        if number < endings:
            prompts.append(ENDINGS[number % 3])
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


async def test_two_hundred_faults_cost_one_retry_at_most_and_nobody_else_s_picture(
    tmp_path: Path,
) -> None:
    async with serving(folder=tmp_path) as service:
        assert await inject(service, endings=9, inside=192) >= 200


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_two_hundred_faults_that_end_the_worker_each_cost_one_retry_at_most(
    tmp_path: Path,
) -> None:
    async with serving(folder=tmp_path) as service:
        assert await inject(service, endings=200, inside=200) == 400


async def test_the_worker_is_back_within_ten_seconds() -> None:
    """The stand-in engine loads torch and nothing else: what is left is the house's own time."""
    async with serving() as service:
        start = time.monotonic()
        await answer(service, "crash")
        await service.wait_ready()
        assert time.monotonic() - start < 10


async def test_three_deaths_in_a_row_end_it_and_the_operator_is_told_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving("dies_at_once", ready=False) as service:
        waiting = asyncio.create_task(answer(service, "fine"))
        with pytest.raises(ModelUnavailable, match=r"3 times in a row.*SIGSEGV"):
            await service.wait_failed()
        assert isinstance(await waiting, ModelUnavailable)
        assert isinstance(await answer(service, "fine"), ModelUnavailable)
        assert service.status.state is ServiceState.FAILED
    assert [r.message for r in caplog.records if r.levelno == logging.CRITICAL] == [
        service.status.detail
    ]


async def test_a_finished_request_in_between_keeps_the_service_going() -> None:
    async with serving() as service:
        for number in range(3):
            assert isinstance(await answer(service, "assert", number), WorkerDied)
            assert isinstance(await answer(service, "fine", number), Img2ImgResult)


@pytest.mark.parametrize(
    ("factory", "reason"), [("unavailable", "look at MODEL"), ("raises", "KeyError: 'unet'")]
)
async def test_why_a_model_cannot_be_loaded_is_told(factory: str, reason: str) -> None:
    async with serving(factory, ready=False) as service:
        with pytest.raises(ModelUnavailable, match=reason):
            await service.wait_ready()


async def test_a_worker_that_stopped_reading_does_not_stop_its_parent() -> None:
    """More megabytes than any pipe holds are sent to a process that is frozen."""
    async with serving(step_deadline=1.0) as service:
        assert service.worker_pid is not None
        os.kill(service.worker_pid, signal.SIGSTOP)
        side = 512
        large = {"width": side, "height": side, "pixels": bytes(side * side * 3)}
        tasks = [asyncio.create_task(answer(service, "fine", n, **large)) for n in range(8)]
        worst = 0.0
        while not all(task.done() for task in tasks):
            before = time.monotonic()
            await asyncio.sleep(0.01)
            worst = max(worst, time.monotonic() - before)
        assert all(isinstance(task.result(), Img2ImgResult) for task in tasks)
        assert worst < 0.9


async def test_a_hang_is_seen_though_nobody_waits_for_what_hangs_any_more() -> None:
    async with serving() as service:
        hanging = asyncio.Event()
        task = asyncio.create_task(
            service.generate(request("h", prompt="hang", steps=4), lambda _: hanging.set())
        )
        await hanging.wait()
        await asyncio.sleep(0.1)  # into the step that never ends
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await answer(service, "fine"), Img2ImgResult)


async def test_a_request_cancelled_while_waiting_or_running_stops(tmp_path: Path) -> None:
    async with serving() as service:
        running = asyncio.Event()
        heard: list[Progress] = []

        def hear(progress: Progress) -> None:
            heard.append(progress)
            running.set()

        first = asyncio.create_task(
            service.generate(request("first", prompt="x", steps=100_000), hear)
        )
        await running.wait()
        others = [
            asyncio.create_task(service.generate(request(f"o{n}", prompt="x", steps=100_000), hear))
            for n in range(6)
        ]
        await asyncio.sleep(0)
        for task in (first, *others):
            task.cancel()
        await asyncio.wait({first, *others})
        count = len(heard)
        # The way is free for the next one at once, and nothing more is heard of the others.
        assert isinstance(await answer(service, "fine"), Img2ImgResult)
        assert len(heard) == count


async def test_a_mistake_in_the_caller_s_progress_function_comes_back_to_the_caller() -> None:
    def wrong(_: Progress) -> None:
        raise ZeroDivisionError

    async with serving() as service:
        with pytest.raises(ZeroDivisionError):
            await service.generate(request("x"), wrong)
        assert isinstance(await answer(service, "fine"), Img2ImgResult)


async def test_requests_sent_while_loading_are_answered_once_it_is_done() -> None:
    async with serving(ready=False) as service:
        assert service.status.state is ServiceState.LOADING
        assert isinstance(await answer(service, "fine"), Img2ImgResult)


@pytest.mark.parametrize(
    ("factory", "prompt", "most"),
    [("build_engine", "fine", 2.0), ("build_engine", "hang", 7.0), ("never_ready", "fine", 2.0)],
)
async def test_stopping_ends_what_runs_with_a_word_and_leaves_no_process(
    factory: str, prompt: str, most: float
) -> None:
    async with serving(factory, step_deadline=60, ready=factory == "build_engine") as service:
        task = asyncio.create_task(answer(service, prompt, steps=100_000))
        while (pid := service.worker_pid) is None:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        start = time.monotonic()
    assert time.monotonic() - start < most
    assert isinstance(await task, ServiceStopped)
    assert not psutil.pid_exists(pid)


async def test_a_stop_signal_to_the_whole_group_does_not_lose_a_request() -> None:
    """A service manager signals every process; the parent alone decides when the worker ends."""
    async with serving() as service:
        assert service.worker_pid is not None
        began = asyncio.Event()
        task = asyncio.create_task(
            service.generate(request("x", prompt="fine", steps=300), lambda _: began.set())
        )
        await began.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            os.kill(service.worker_pid, number)
        assert isinstance(await task, Img2ImgResult)


@pytest.mark.parametrize("factory", ["build_engine", "never_ready"])
def test_a_worker_does_not_outlive_its_parent_even_a_killed_one(factory: str) -> None:
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
        psutil.Process(int(parent.stdout)).wait(timeout=5)


async def test_the_worker_does_not_see_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "a secret")
    async with serving("tells_environment", ready=False) as service:
        with pytest.raises(ModelUnavailable, match="no token here"):
            await service.wait_ready()
