"""What the runner stores of the engine's results, and the progress that it shows of them."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bot.images.compose import tinted
from bot.images.picture import Picture
from bot.jobs.job import Job, JobProgress, JobState, Variant
from bot.runner import runner as runner_module
from inference import ImageRequest, ImageResult, Preview, Progress
from tests.support.bots.running_bot import Engine, RunningBot, open_running_bot

# Not square, so that width and height cannot be confused.
WIDTH, HEIGHT = 16, 8
SOURCE = Picture(bytes(range(128)) * 3, WIDTH, HEIGHT)
DEPTH = bytes(range(128))
LEFT_HALF = bytes([255] * 8 + [0] * 8) * HEIGHT
DEVICE_SECONDS = 2.5
PREVIEW = Preview(pixels=bytes(3), width=1, height=1)


@dataclass
class DepthEngine(Engine):
    """Returns a depth map and a mask with every picture. The pictures of each call differ."""

    calls: int = 0

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        result = await super().generate(request, on_progress)
        self.calls += 1
        return replace(
            result,
            timings=replace(result.timings, device=DEVICE_SECONDS),
            pixels=made_in(self.calls).pixels,
            depth=DEPTH if request.return_depth else None,
            mask=LEFT_HALF if request.return_mask else None,
        )


def made_in(call: int) -> Picture:
    """The picture of a call of `DepthEngine`."""
    return Picture(bytes([call]) + SOURCE.pixels[1:], WIDTH, HEIGHT)


async def wide_job(running_bot: RunningBot, **changes: Any) -> Job:
    job = await running_bot.job(1)
    await running_bot.bot.store.discard(job.sources[0])
    source = await running_bot.bot.store.pictures.put(SOURCE)
    return replace(job, source=source, width=WIDTH, height=HEIGHT, **changes)


async def finished(running_bot: RunningBot, job: Job) -> Job:
    await running_bot.bot.runner.accept(job)
    await running_bot.idle()
    after = await running_bot.state(job)
    assert after.state is JobState.DELIVERED
    return after


async def test_the_depth_map_is_stored_as_a_grey_picture_of_the_same_size(tmp_path: Path) -> None:
    async with open_running_bot(tmp_path, DepthEngine()) as running_bot:
        after = await finished(running_bot, await wide_job(running_bot))
        pictures = running_bot.bot.store.pictures
        assert after.depth is not None
        grey = bytes(value for value in DEPTH for _ in "rgb")
        assert await pictures.get(after.depth) == Picture(grey, WIDTH, HEIGHT)
        assert after.variants[0].result is not None
        assert await pictures.get(after.variants[0].result) == made_in(1)


@pytest.mark.parametrize("layout", ["part", "pictures"])
async def test_only_a_shown_part_is_tinted_where_it_would_be_redrawn(
    tmp_path: Path, layout: str
) -> None:
    async with open_running_bot(tmp_path, DepthEngine()) as running_bot:
        after = await finished(running_bot, await wide_job(running_bot, layout=layout))
        assert after.variants[0].result is not None
        result = await running_bot.bot.store.pictures.get(after.variants[0].result)
    assert result == (tinted(made_in(1), LEFT_HALF) if layout == "part" else made_in(1))


async def test_a_picture_whose_depth_map_does_not_fit_the_disk_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No file of the first attempt stays."""
    monkeypatch.setattr(runner_module, "FIRST_STORAGE_PAUSE", 0.01)
    files = 0

    def failpoint(name: str) -> None:
        nonlocal files
        files += name == "picture written"
        if name == "picture written" and files == 4:
            raise OSError(errno.ENOSPC, "No space left on device")

    engine = DepthEngine()
    async with open_running_bot(tmp_path, engine, failpoint=failpoint) as running_bot:
        # Files 1 and 2 are the sources, 3 is the result and 4 its depth map.
        after = await finished(running_bot, await wide_job(running_bot))
    assert engine.calls == 2
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == after.pictures
    assert "the disk is full: jobs wait; next try in 0.01 s" in caplog.text


async def test_the_pauses_of_a_full_disk_double_and_begin_again_after_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner_module, "FIRST_STORAGE_PAUSE", 0.01)
    failures = 0

    def failpoint(name: str) -> None:
        nonlocal failures
        if name == "picture written" and failures:
            failures -= 1
            raise OSError(errno.ENOSPC, "No space left on device")

    async with open_running_bot(tmp_path, DepthEngine(), failpoint=failpoint) as running_bot:
        for number in (2, 1):
            job = await wide_job(running_bot)
            failures = number
            await finished(running_bot, job)
        metrics = running_bot.bot.runner._metrics
    pauses = [record.args for record in caplog.records if "jobs wait" in record.msg]
    assert pauses == [(0.01,), (0.02,), (0.01,)]
    assert metrics.registry.get_sample_value("redraw_storage_full_total") == 3.0


async def test_no_job_is_started_during_the_pause_of_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "FIRST_STORAGE_PAUSE", 3600.0)
    full = False

    def failpoint(name: str) -> None:
        if full and name == "picture written":
            raise OSError(errno.ENOSPC, "No space left on device")

    engine = DepthEngine()
    async with open_running_bot(tmp_path, engine, failpoint=failpoint) as running_bot:
        runner = running_bot.bot.runner
        jobs = [await wide_job(running_bot) for _ in range(2)]
        full = True
        await runner.accept(jobs[0])
        async with asyncio.timeout(60):
            while runner._resume is None:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
        await runner.accept(jobs[1])
        for _ in range(8):
            await asyncio.sleep(0)
        assert [job.id for job in runner.queue.order()] == [job.id for job in jobs]
        assert runner.running == ()
    assert engine.calls == 1


async def test_a_made_job_has_its_duration_and_is_counted(tmp_path: Path) -> None:
    engine = DepthEngine()
    engine.gate.clear()
    async with open_running_bot(tmp_path, engine) as running_bot:
        job = await wide_job(running_bot, model="noise")
        await running_bot.bot.runner.accept(job)
        await engine.until(lambda: len(engine.inside) == 1)
        began = time.monotonic()
        await asyncio.sleep(0.01)
        least = time.monotonic() - began
        engine.gate.set()
        await running_bot.idle()
        after = await running_bot.state(job)
        metrics = running_bot.bot.runner._metrics
    assert after.seconds is not None
    assert after.seconds >= least
    labels = {"model": "noise", "outcome": "made"}
    counted = metrics.registry.get_sample_value("redraw_device_seconds_total", labels)
    assert counted == DEVICE_SECONDS


@dataclass
class PreviewEngine(Engine):
    """Takes the request's steps; only the first step of the first picture has a preview."""

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        assert on_progress is not None
        total = int(request.steps * request.strength)
        for step in range(1, total + 1):
            preview = PREVIEW if request.preview and step == 1 else None
            on_progress(Progress(id=request.id, step=step, total=total, preview=preview))
        return await super().generate(request, None)


async def test_progress_counts_the_steps_of_all_variants_and_keeps_the_last_preview(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[JobProgress] = []
    engine = PreviewEngine()
    # One at a time, so that the order of the reports is known.
    engine.status = replace(engine.status, slots=1)
    async with open_running_bot(tmp_path, engine) as running_bot:
        job = await wide_job(
            running_bot,
            steps=4,
            variants=(Variant(seed=1, strength=0.5), Variant(seed=2, strength=1.0)),
        )
        monkeypatch.setattr(
            running_bot.bot.delivery, "show_running", lambda _, progress: shown.append(progress)
        )
        await finished(running_bot, job)
    # The steps of the second variant are known before it begins.
    assert [(progress.step, progress.total) for progress in shown] == [
        (step, 2 + 4) for step in range(1, 7)
    ]
    assert [progress.preview for progress in shown] == [PREVIEW] * 6
