"""Measures what moderation adds to a request, and its false alarms on harmless pictures.

    python -m tests.benchmarks.moderation --requests 100

The real checks with the real classifier process and a database: 50 prompt rules, 100 blocked
pictures, and for each request one source and one result of 512 × 512 pixels. False alarms are
counted over the pictures of this repository, of scikit-image and of the tests' generator. Prints
one line of JSON; all times in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import skimage.data
from PIL import Image

from bot.images.picture import Picture
from bot.moderation.cases import ModerationCases
from bot.moderation.detectors.classifier import ClassifierProcess
from bot.moderation.detectors.picture_hash import PictureHash
from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.lists import ModerationLists
from bot.moderation.model import EVERYWHERE, Place
from bot.moderation.moderation import Moderation
from bot.store.store import Store
from tests.support.moderation.pictures import as_picture
from tests.support.pictures import photo

ROOT = Path(__file__).parents[2]
PLACE = Place(1, 2)
RULES, BLOCKED = 50, 100
GENERATED = 200
# The operator's default, and the line below which the model's authors call a picture safe.
THRESHOLD, SAFE = 0.5, 0.2
HIGHEST = 9
SIDE = 512
LAG_SECONDS = 0.01
PROMPT = "a red fox in the snow, oil painting, golden hour, highly detailed"


def harmless() -> Iterator[tuple[str, Picture]]:
    """Every harmless picture at hand, with its name."""
    folders = (
        ROOT / "docs",
        ROOT / "inference",
        ROOT / "tests",
        Path(skimage.data.__file__).parent,
    )
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".png", ".jpg", ".webp"):
                with Image.open(path) as image:
                    yield path.name, as_picture(image)
    # Depth maps and backgrounds: hardly any content.
    gradients = {"linear": Image.linear_gradient("L"), "radial": Image.radial_gradient("L")}
    for name, gradient in gradients.items():
        for turn in range(0, 360, 90):
            yield f"{name} gradient, {turn}°", as_picture(gradient.rotate(turn))
    for level in range(0, 256, 15):
        yield f"grey {level}", as_picture(Image.new("L", (SIDE, SIDE), level))
    for seed in range(GENERATED):
        yield f"generated {seed}", as_picture(photo(256 + seed % 5 * 64, 256, seed=seed))


async def measure_lag(late: list[float]) -> None:
    """Record how late the event loop wakes a sleeping task."""
    while True:
        began = time.perf_counter()
        await asyncio.sleep(LAG_SECONDS)
        late.append((time.perf_counter() - began - LAG_SECONDS) * 1000)


def percentile(values: list[float], share: float) -> float:
    """The value that the given share of the values does not exceed."""
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 1)


async def measure(requests: int) -> dict[str, object]:
    """Run the requests one after the other, then score the harmless pictures."""
    with tempfile.TemporaryDirectory() as folder:
        async with Store.open(Path(folder)) as store, ClassifierProcess("open-nsfw") as classifier:
            lists = ModerationLists(store.database)
            moderation = Moderation(
                lists=lists,
                cases=ModerationCases(store.database),
                ledger=store.ledger,
                classifier=classifier,
                threshold=THRESHOLD,
                age_restricted_threshold=0.8,
            )
            for number in range(RULES):
                await lists.add_rule(EVERYWHERE, RuleKind.WORD, f"forbidden{number}")
            for seed in range(BLOCKED):
                blocked = PictureHash.of(as_picture(photo(128, 96, seed=10_000 + seed)))
                await lists.block(EVERYWHERE, blocked.bits)
            await classifier.score(as_picture(photo(SIDE, SIDE)))
            pictures = [as_picture(photo(SIDE, SIDE, seed=seed)) for seed in range(2 * requests)]
            late: list[float] = []
            meter = asyncio.create_task(measure_lag(late))
            added = []
            for source, result in zip(pictures[::2], pictures[1::2], strict=True):
                began = time.perf_counter()
                await moderation.users.check(PLACE, 3, [])
                await moderation.check_prompt(PLACE, 3, PROMPT, [PROMPT, ""])
                await moderation.check_source(PLACE, 3, PROMPT, source)
                await moderation.check_result(
                    PLACE, 3, PROMPT, "job", sources=[source], result=result
                )
                # Again when the answer is built, from memory.
                await moderation.check_upload(PLACE, result)
                added.append((time.perf_counter() - began) * 1000)
            meter.cancel()
            scores = [(name, await classifier.score(picture)) for name, picture in harmless()]
    scores.sort(key=lambda scored: -scored[1])
    return {
        "requests": requests,
        "added_p50": percentile(added, 0.5),
        "added_p95": percentile(added, 0.95),
        "lag_p99": percentile(late, 0.99),
        "harmless": len(scores),
        "false_alarms": sum(score > THRESHOLD for _, score in scores),
        "above_0.2": sum(score > SAFE for _, score in scores),
        "highest_scores": {name: round(score, 3) for name, score in scores[:HIGHEST]},
    }


def main() -> None:
    """Parse the arguments and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100)
    print(json.dumps(asyncio.run(measure(parser.parse_args().requests))))


if __name__ == "__main__":
    main()
