"""An engine that misbehaves on demand, standing where the real one begins, in a real worker.

A request's prompt says what happens to it: `crash` kills the process with SIGKILL, `hang` never
returns, `assert` raises what torch raises for a broken device, `memory`, `nan` and `black` are the
model's own troubles inside the real step loop; everything else is answered with its seed's colour.
With `once` behind it, a fault does not come back: a file in the cache folder remembers it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from inference.engine.loop import Engine
from inference.engine.transfers import PendingTransfer
from inference.errors import ModelUnavailable, NonFiniteOutput
from inference.types import Img2ImgRequest, Preview
from inference.worker.messages import Ready, WorkerConfig


@dataclass
class Marching:
    """A request that only counts its steps."""

    request: Img2ImgRequest
    step: int = 0
    rows: int = 2
    ignored_prompt: str = ""
    partially_stepped: bool = False

    @property
    def timesteps(self) -> list[int]:
        return list(range(self.request.steps))

    @property
    def finished(self) -> bool:
        return self.step == self.request.steps


class FaultyModel:
    """Where `Depth2ImgModel` stands; see the module's first lines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _fault_of(self, one: Marching) -> str:
        fault, _, once = one.request.prompt.partition(" ")
        if one.step != one.request.steps // 2:
            return ""
        if once:
            mark = self.folder / one.request.id
            if mark.exists():
                return ""
            mark.touch()
        return fault

    def prepare(self, request: Img2ImgRequest) -> Marching:
        return Marching(request)

    def predict(self, batch: Sequence[Marching]) -> None:
        for one in batch:
            match self._fault_of(one):
                case "crash":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "hang":
                    threading.Event().wait()
                case "assert":
                    raise torch.AcceleratorError("CUDA error: device-side assert triggered")
                case "memory":
                    raise torch.OutOfMemoryError("CUDA out of memory.")
        time.sleep(0.001)
        for one in batch:
            one.step += 1

    def decode(self, one: Marching) -> PendingTransfer[bytes]:
        return PendingTransfer(torch.empty(0), lambda _: self._pixels(one.request))

    def _pixels(self, request: Img2ImgRequest) -> bytes:
        if request.prompt == "nan":
            raise NonFiniteOutput("The model lost itself in this picture: try another seed.")
        colour = 0 if request.prompt == "black" else request.seed % 255 + 1
        return bytes([colour]) * (request.width * request.height * 3)

    def preview(self, one: Marching) -> PendingTransfer[Preview]:
        return PendingTransfer(
            torch.empty(0), lambda _: Preview(pixels=bytes(3), width=1, height=1)
        )

    def depth_picture(self, one: Marching) -> PendingTransfer[bytes]:
        size = one.request.width * one.request.height
        return PendingTransfer(torch.empty(0), lambda _: bytes(size))


def build_engine(config: WorkerConfig, report: Callable[[Any], None]) -> tuple[Engine, Ready]:
    """A worker's factory, ready as soon as torch is there."""
    engine = Engine(FaultyModel(config.cache_dir), report, row_limit=8)
    return engine, Ready(slots=4, device="cpu", dtype="float32")


def dies_at_once(config: WorkerConfig, report: Callable[[Any], None]) -> tuple[Engine, Ready]:
    """A factory that does not outlive its first line."""
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def raises(config: WorkerConfig, report: Callable[[Any], None]) -> tuple[Engine, Ready]:
    """A factory with a mistake in it."""
    raise KeyError("unet")


def never_ready(config: WorkerConfig, report: Callable[[Any], None]) -> tuple[Engine, Ready]:
    """A factory that loads for ever."""
    threading.Event().wait()
    raise AssertionError


def unavailable(config: WorkerConfig, report: Callable[[Any], None]) -> tuple[Engine, Ready]:
    """A factory whose model is not to be had."""
    raise ModelUnavailable("There is no such model: look at MODEL.")


def tells_environment(config: WorkerConfig, report: Callable[[Any], None]) -> tuple[Engine, Ready]:
    """A factory that says whether the bot's token came along."""
    raise ModelUnavailable("token" if "DISCORD_TOKEN" in os.environ else "no token here")
