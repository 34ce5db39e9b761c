"""The benchmark's command on a small load: its counted figures and its table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from inference.bench.methods import load


def test_the_benchmark_counts_the_work_of_every_method_and_prints_a_table(tmp_path: Path) -> None:
    options = {"model": "tiny", "dtype": "float32", "rows": "16", "requests": "6", "rounds": "1"}
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
    wanted = load(6, 64, 64, 0)
    steps = [int(one.steps * one.strength) for one in wanted]
    rows = [2 if one.guidance_scale > 1 else 1 for one in wanted]
    assert baseline["unet_calls"] == sum(steps)
    work = sum(a * b for a, b in zip(steps, rows, strict=True))
    assert baseline["unet_rows"] == fixed["unet_rows"] == engine["unet_rows"] == work
    assert engine["unet_calls"] < fixed["unet_calls"]
    assert all(len(one["latencies"]) == len(wanted) for one in (baseline, fixed, engine))
    methods = [line.split("|")[1].strip() for line in done.stdout.splitlines() if line[:1] == "|"]
    assert methods == ["method", "---", "baseline", "fixed batches of 8 at most", "this engine"]
