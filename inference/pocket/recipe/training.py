"""Shared by all stages: device, precision, time limit, weight average, checkpoints."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from inference.pocket.recipe.settings import Recipe

CHECKPOINT_SECONDS = 120.0
REPORT_STEPS = 25
WARMUP_STEPS = 50
# Processes that train together average their weights after this number of steps.
# Stich 2019, "Local SGD Converges Fast and Communicates Little".
AVERAGE_STEPS = 8


def device_of() -> torch.device:
    """CUDA if available, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 where the device supports it in hardware, else float32."""
    fast = device.type == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast)


def join() -> int:
    """Join the process group of `torchrun`; return this process's rank, 0 without a group.

    On a busy machine two processes with one thread each are faster than one process with two:
    threads synchronise in every operation, processes every few steps.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    return dist.get_rank()


class Average:
    """An exponential moving average of a module's weights, which is exported."""

    def __init__(self, module: torch.nn.Module, decay: float = 0.999) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        """Update the average; the decay is smaller in the first steps."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        parameters: list[torch.Tensor] = list(self.module.parameters())
        torch._foreach_lerp_(parameters, [p.detach() for p in module.parameters()], 1 - decay)


class Stage:
    """A stage with a time limit: step numbers, learning rate schedule, checkpoints."""

    def __init__(
        self,
        recipe: Recipe,
        name: str,
        minutes: float,
        modules: dict[str, torch.nn.Module],
        rate: float,
    ) -> None:
        self.path = recipe.cache / f"{name}.pt"
        self.name = name
        self.seconds = minutes * 60
        self.modules = modules
        self.averages = {key: Average(module) for key, module in modules.items()}
        self.parameters: list[torch.nn.Parameter] = [
            p for module in modules.values() for p in module.parameters()
        ]
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=rate, weight_decay=0.01, betas=(0.9, 0.99), fused=True
        )
        self.rate = rate
        self.rank = join()
        self.spent = 0.0
        self.step = 0
        self.losses: list[float] = []
        if self.path.exists():
            self._load()

    @property
    def done(self) -> bool:
        """Whether the time limit has been reached."""
        return self.spent >= self.seconds

    def steps(self) -> Iterator[int]:
        """Yield the number of each training step until the time limit; save checkpoints."""
        saved = last = time.monotonic()
        while not self.done:
            warmup = min(1.0, (self.step + 1) / WARMUP_STEPS)
            progress = min(1.0, self.spent / self.seconds)
            for group in self.optimizer.param_groups:
                group["lr"] = (
                    self.rate * warmup * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
                )
            yield self.step
            now = time.monotonic()
            self.spent = self._synchronised(self.spent + now - last)
            last = now
            self.step += 1
            if self.step % REPORT_STEPS == 0 and self.rank == 0:
                mean = sum(self.losses[-200:]) / len(self.losses[-200:])
                print(
                    f"{self.name} {self.spent / 60:.1f} min step {self.step} loss {mean:.4f}",
                    flush=True,
                )
            if now - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = now
        self.save()

    def descend(self, loss: torch.Tensor) -> None:
        """Take one optimiser step on this loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        if dist.is_initialized() and (self.step + 1) % AVERAGE_STEPS == 0:
            self._average_weights()
        self.losses.append(float(loss.detach()))
        for key, module in self.modules.items():
            self.averages[key].update(module)

    def average(self, key: str) -> torch.nn.Module:
        """The averaged weights of one of the modules."""
        return self.averages[key].module

    def save(self) -> None:
        """Write a checkpoint atomically."""
        if self.rank != 0:
            return
        state = {
            "modules": {key: module.state_dict() for key, module in self.modules.items()},
            "averages": {key: a.module.state_dict() for key, a in self.averages.items()},
            "optimizer": self.optimizer.state_dict(),
            "spent": self.spent,
            "step": self.step,
        }
        part = self.path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.path)

    @torch.no_grad()
    def _average_weights(self) -> None:
        flat = torch.cat([p.reshape(-1) for p in self.parameters])
        dist.all_reduce(flat)
        flat /= dist.get_world_size()
        parts = torch.split(flat, [p.numel() for p in self.parameters])
        for p, part in zip(self.parameters, parts, strict=True):
            p.copy_(part.view_as(p))

    @staticmethod
    def _synchronised(seconds: float) -> float:
        if not dist.is_initialized():
            return seconds
        clock = torch.tensor([seconds], dtype=torch.float64)
        dist.broadcast(clock, 0)
        return float(clock)

    def _load(self) -> None:
        state = torch.load(self.path, weights_only=True)
        for key, module in self.modules.items():
            module.load_state_dict(state["modules"][key])
            self.averages[key].module.load_state_dict(state["averages"][key])
            self.averages[key].steps = state["step"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.spent, self.step = state["spent"], state["step"]


def averaged(recipe: Recipe, stage: str, key: str, module: torch.nn.Module) -> torch.nn.Module:
    """The module with the averaged weights of a stage's last checkpoint, in evaluation mode."""
    path: Path = recipe.cache / f"{stage}.pt"
    state = torch.load(path, weights_only=True)
    module.load_state_dict(state["averages"][key])
    return module.eval().requires_grad_(False)
