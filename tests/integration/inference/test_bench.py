"""The benchmark's command on a small load: its counted figures and its table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bot.intake.decoding.geometry import fit
from inference.bench.load import SOURCES, Canvas, requests
from inference.bench.occupancy import count
from inference.models import find_model


def test_the_benchmark_counts_the_work_of_every_method_and_prints_a_table(tmp_path: Path) -> None:
    options = {"model": "tiny", "dtype": "float32", "rows": "16", "requests": "4", "rounds": "1"}
    done = subprocess.run(
        [
            *(sys.executable, "-m", "inference.bench", "--json", tmp_path / "figures.json"),
            *(part for name, value in options.items() for part in (f"--{name}", value)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "torchvision" not in done.stderr
    baseline, fixed, engine = (
        figures[0] for figures in json.loads((tmp_path / "figures.json").read_text())["rounds"]
    )
    wanted = requests(4, Canvas(pixels=64 * 64, multiple=64), 0)
    steps = [int(one.steps * one.strength) for one in wanted]
    rows = [2 if one.guidance_scale > 1 else 1 for one in wanted]
    assert baseline["unet_calls"] == sum(steps)
    work = sum(a * b for a, b in zip(steps, rows, strict=True))
    assert baseline["unet_rows"] == fixed["unet_rows"] == engine["unet_rows"] == work
    assert engine["unet_calls"] < fixed["unet_calls"]
    assert all(len(one["latencies"]) == len(wanted) for one in (baseline, fixed, engine))
    methods = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line[:1] == "|"]
    assert methods == ["method", "---", "baseline", "fixed batches of 8 at most", "this engine"]


SD2 = find_model("sd2-depth")
CANVAS = Canvas(pixels=SD2.pixels, multiple=SD2.multiple, sizes=SD2.sizes)


def test_the_load_has_25_sources_with_the_sizes_that_the_bot_gives_them() -> None:
    assert len({source for source, _ in SOURCES}) == 25
    for source, _ in SOURCES:
        fitted = fit(*source, SD2.pixels, SD2.multiple, SD2.sizes)
        if fitted in SD2.sizes or CANVAS.fit(source) in SD2.sizes:
            assert CANVAS.fit(source) == fitted


def test_with_25_sources_and_64_waiting_requests_the_calls_are_nearly_full() -> None:
    rows, sizes = count(CANVAS, 25, 32)
    print(f"25 sources: {sizes} sizes, {rows:.1f} rows a call")
    assert rows >= 24


@pytest.mark.parametrize(("sources", "least"), [(1, 30), (2, 28), (4, 28)])
def test_with_few_sources_the_calls_are_full(sources: int, least: float) -> None:
    assert count(CANVAS, sources, 32)[0] >= least
