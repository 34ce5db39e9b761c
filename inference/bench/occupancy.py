"""Counts the rows of the UNet's calls under a constant load: `python -m inference.bench.occupancy`.

The real engine and policy run on a model that computes nothing; 64 requests always wait.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Hashable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from inference.bench.load import SOURCES, Canvas, request
from inference.engine.loop import SteppedEngine
from inference.engine.policy import BatchPolicy
from inference.engine.protocols import WithoutTiles
from inference.models import find_model
from inference.types import ImageRequest, ImageResult, Preview
from inference.worker.messages import Event, Submit

WAITING = 64
TURNS = 3000
WARM_UP_TURNS = 400


@dataclass(slots=True)
class Counted:
    """A running request that only counts its steps."""

    request: ImageRequest
    step: int = 0
    must_restart: bool = False
    ignored_prompt: str = ""

    @property
    def total_steps(self) -> int:
        """As in `inference.families.sampling_state`."""
        return max(1, int(self.request.steps * self.request.strength))


class Immediate:
    """A transfer that has arrived."""

    ready = True

    def result(self) -> bytes:
        """No bytes."""
        return b""


class CountingModel(WithoutTiles):
    """A `StepModel` that computes nothing and records the rows of each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.keys: set[Hashable] = set()

    def batch_key(self, request: ImageRequest) -> Hashable:
        """One size, one key, as in the depth-to-image family."""
        return request.width, request.height

    def rows(self, request: ImageRequest) -> int:
        """Two with guidance."""
        return 2 if request.guidance_scale > 1 else 1

    def row_tokens(self, request: ImageRequest) -> int:
        """1: all rows count alike."""
        return 1

    def load_inputs(self, request: ImageRequest) -> ImageRequest:
        """The request itself."""
        return request

    def prepare(self, batch: Sequence[ImageRequest]) -> list[Counted]:
        """Running states at step 0."""
        return [Counted(request) for request in batch]

    def predict(self, batch: Sequence[Counted], tiles: Sequence[int] = ()) -> None:
        """Record the call and count the steps."""
        self.calls.append(sum(self.rows(one.request) for one in batch))
        self.keys.add(self.batch_key(batch[0].request))
        for one in batch:
            one.step += 1

    def decode(self, running: Counted) -> Immediate:
        """No picture."""
        return Immediate()

    def preview(self, running: Counted) -> Any:
        """Never asked for."""
        return Preview(pixels=b"", width=0, height=0)

    def extra_outputs(self, running: Counted) -> dict[str, Any]:
        """None."""
        return {}


class SameThread(Executor):
    """Runs calls at once, so that the count does not depend on threads."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A finished future."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def count(canvas: Canvas, sources: int, row_limit: int, seed: int = 0) -> tuple[float, int]:
    """The mean rows of a call and the number of sizes, for so many of the most common sources."""
    model = CountingModel()
    policy = BatchPolicy(row_limit=row_limit, request_limit=4 * row_limit, admission_limit=4)
    finished = 0

    def report(event: Event) -> None:
        nonlocal finished
        finished += isinstance(event, ImageResult)

    engine = SteppedEngine(model, report, policy, SameThread())
    rng = random.Random(seed)  # noqa: S311 - a load is no secret
    submitted = 0
    for _ in range(TURNS):
        # Every request that has been submitted waits, runs or is finished.
        while submitted - finished - len(policy.running) < WAITING:
            engine.post(Submit(request(submitted, canvas, rng, SOURCES[:sources])))
            submitted += 1
        engine.turn()
    return statistics.mean(model.calls[WARM_UP_TURNS:]), len(model.keys)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.bench.occupancy", description=__doc__
    )
    parser.add_argument("--model", default="sd2-depth", help="a catalogue name")
    parser.add_argument("--rows", type=int, default=32)
    options = parser.parse_args()
    entry = find_model(options.model)
    sys.stdout.write("| sources | preferred sizes: sizes | rows a call | computed sizes: sizes |")
    sys.stdout.write(" rows a call |\n|--:|--:|--:|--:|--:|\n")
    for sources in (1, 2, 4, 8, 25):
        cells = []
        for sizes in (entry.sizes, ()):
            canvas = Canvas(pixels=entry.pixels, multiple=entry.multiple, sizes=sizes)
            rows, keys = count(canvas, sources, options.rows)
            cells.append(f"{keys} | {rows:.1f}")
        sys.stdout.write(f"| {sources} | {' | '.join(cells)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
