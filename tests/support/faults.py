"""A fake model with faults on demand, for the real engine in a real worker process.

A request's prompt names its fault: `crash` kills the process with SIGKILL, `hang` never returns,
`assert` raises what torch raises for a faulty device, `memory` runs out of memory, `nan` gives
non-finite output, `black` gives a black image. `prepare` and `decode` stop that phase: a file in
the cache folder says that it has begun, and another one lets it go on. Every other request gives an
image of one colour, which follows from its seed. A fault followed by `once` happens only the first
time; a file in the cache folder records it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.engine.protocols import WithoutTiles
from inference.engine.transfers import PendingTransfer
from inference.errors import ModelNotOnHub, ModelUnavailable, NonFiniteOutput
from inference.service import DownloadProgress
from inference.types import ImageRequest, Preview
from inference.worker.messages import Engine, Event, Loading, Ready, WorkerConfig

Report = Callable[[Event | Loading], None]

# The files in the cache folder, if there is one, that say that the next step will hang, and that a
# step hangs. A new worker removes the first.
NEXT_STEP_HANGS = "next step hangs"
HANGING = "hanging"
FIRST_COLOURS = {"noise": 1, "pocket": 50, "sd15": 100}


def phase_files(folder: Path, phase: str, request_id: str) -> tuple[Path, Path]:
    """The file that says that a request's phase has begun, and the one that lets it go on."""
    return folder / f"{phase} {request_id}", folder / f"go on with {phase} {request_id}"


@dataclass
class FakeDenoising:
    """A request that only counts its steps."""

    request: ImageRequest
    step: int = 0
    ignored_prompt: str = ""
    must_restart: bool = False

    @property
    def total_steps(self) -> int:
        return self.request.steps


class FaultyModel(WithoutTiles):
    """Replaces `Depth2ImgModel`; see the module's docstring."""

    def __init__(self, folder: Path, step_seconds: float = 0.001, *, first_colour: int = 1) -> None:
        self.folder = folder
        self.step_seconds = step_seconds
        self.first_colour = first_colour
        self._will_hang: set[str] = set()

    def _fault_of(self, one: FakeDenoising) -> str:
        fault, _, once = one.request.prompt.partition(" ")
        mark = self.folder / one.request.id
        if once and mark.exists() and one.request.id not in self._will_hang:
            return ""
        if one.step == one.request.steps // 2 - 1 and fault == "hang":
            # The worker may be ended at any time once the mark below gives it a short limit.
            self._will_hang.add(one.request.id)
            if once:
                mark.touch()
            self._mark(NEXT_STEP_HANGS)
        if one.step != one.request.steps // 2:
            return ""
        if once:
            mark.touch()
        return fault

    def _mark(self, name: str) -> None:
        if self.folder.is_dir():
            (self.folder / name).touch()

    def batch_key(self, request: ImageRequest) -> Hashable:
        return request.width, request.height

    def rows(self, request: ImageRequest) -> int:
        return 2

    def row_tokens(self, request: ImageRequest) -> int:
        return 1

    def load_inputs(self, request: ImageRequest) -> ImageRequest:
        return request

    def prepare(self, batch: Sequence[ImageRequest]) -> list[FakeDenoising]:
        self._wait("prepare", batch)
        return [FakeDenoising(request) for request in batch]

    def predict(self, batch: Sequence[FakeDenoising], tiles: Sequence[int] = ()) -> None:
        for one in batch:
            match self._fault_of(one):
                case "crash":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "hang":
                    self._mark(HANGING)
                    threading.Event().wait()
                case "assert":
                    raise torch.AcceleratorError("CUDA error: device-side assert triggered")
                case "memory":
                    raise torch.OutOfMemoryError("CUDA out of memory.")
        time.sleep(self.step_seconds)
        for one in batch:
            one.step += 1

    def decode(self, one: FakeDenoising) -> PendingTransfer[bytes]:
        self._wait("decode", [one.request])
        return PendingTransfer(torch.empty(0), lambda _: self._pixels(one.request))

    def _wait(self, phase: str, batch: Sequence[ImageRequest]) -> None:
        for request in batch:
            if request.prompt == phase:
                begun, go_on = phase_files(self.folder, phase, request.id)
                begun.touch()
                while not go_on.exists():
                    time.sleep(0.02)

    def _pixels(self, request: ImageRequest) -> bytes:
        if request.prompt == "nan":
            raise NonFiniteOutput("The output has NaN values.")
        colour = 0 if request.prompt == "black" else request.seed % 255 + self.first_colour
        return bytes([colour]) * (request.width * request.height * 3)

    def preview(self, one: FakeDenoising) -> PendingTransfer[Preview]:
        return PendingTransfer(
            torch.empty(0), lambda _: Preview(pixels=bytes(3), width=1, height=1)
        )

    def extra_outputs(self, one: FakeDenoising) -> dict[str, PendingTransfer[bytes]]:
        return {}


def build_engine(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """A factory that is ready as soon as torch is imported."""
    (config.cache_dir / NEXT_STEP_HANGS).unlink(missing_ok=True)
    policy = BatchPolicy(row_limit=8, request_limit=64)
    engine = SteppedEngine(FaultyModel(config.cache_dir), report, policy)
    return engine, Ready(slots=4, device="cpu", dtype="float32")


def slow_engine(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """As `build_engine`, with steps that take 50 ms."""
    policy = BatchPolicy(row_limit=8, request_limit=64)
    engine = SteppedEngine(FaultyModel(config.cache_dir, 0.05), report, policy)
    return engine, Ready(slots=4, device="cpu", dtype="float32")


def several_models(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """As `slow_engine`, with colours that also follow from the model."""
    first = FIRST_COLOURS[config.entry.name]
    model = FaultyModel(config.cache_dir, 0.05, first_colour=first)
    engine = SteppedEngine(model, report, BatchPolicy(row_limit=8, request_limit=64))
    return engine, Ready(slots=4, device="cpu", dtype="float32", weights=100)


def dies_at_once(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """A factory that ends the process at once."""
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def raises(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """A factory with a bug."""
    raise KeyError("unet")


def never_ready(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """A factory that never returns."""
    threading.Event().wait()
    raise AssertionError


def busy(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """A factory that uses some CPU time again and again for four seconds before it is ready."""
    report(Loading("working"))
    end = time.monotonic() + 4
    while time.monotonic() < end:
        pause = time.process_time() + 0.02
        while time.process_time() < pause:
            pass
        time.sleep(0.08)
    return build_engine(config, report)


def downloading(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """A factory that reports a download for four seconds and otherwise sleeps."""
    for number in range(40):
        report(_downloaded(number))
        time.sleep(0.1)
    return build_engine(config, report)


def half_downloaded(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """A factory that reports half a download and goes on when the file `go on` exists."""
    report(_downloaded(35))
    while not (config.cache_dir / "go on").exists():
        time.sleep(0.02)
    return build_engine(config, report)


def _downloaded(part: int) -> Loading:
    """So many of 70 parts of a download are done."""
    progress = DownloadProgress(
        files=part // 10, total_files=7, bytes=part * 10**8, total_bytes=7 * 10**9
    )
    return Loading("downloading some/model", progress)


def unavailable(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """A factory whose model is not available."""
    raise ModelNotOnHub("There is no such model.")


def reports_environment(
    config: WorkerConfig, report: Callable[[Any], None]
) -> tuple[Engine, Ready]:
    """A factory whose error holds the environment variables of the worker that start with X_."""
    found = {name: value for name, value in os.environ.items() if name.startswith("X_")}
    raise ModelUnavailable(f"{sorted(found.items())}")


def kills_for_sd15(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """As `build_engine`, but loading the model sd15 kills the process."""
    return _unless_sd15(config, report, _killed)


def hangs_for_sd15(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """As `build_engine`, but loading the model sd15 never ends."""
    return _unless_sd15(config, report, never_ready)


def fails_for_sd15(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    """As `build_engine`, but the model sd15 is not available."""
    return _unless_sd15(config, report, unavailable)


def _killed(config: WorkerConfig, report: Report) -> tuple[Engine, Ready]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _unless_sd15(
    config: WorkerConfig,
    report: Report,
    fault: Callable[[WorkerConfig, Report], tuple[Engine, Ready]],
) -> tuple[Engine, Ready]:
    return (fault if config.entry.name == "sd15" else build_engine)(config, report)
