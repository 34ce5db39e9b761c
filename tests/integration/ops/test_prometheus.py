"""The alerts and the dashboard use metrics that the bot has, and Prometheus accepts them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.services import ScriptedService
from tests.support.simulated_discord import open_simulated_discord

OPS = Path(__file__).parents[3] / "ops"
PROMETHEUS = OPS / "prometheus"
SUFFIXES = re.compile(r"_(bucket|count|sum)$")


def used_metrics(text: str) -> set[str]:
    return {SUFFIXES.sub("", name) for name in re.findall(r"\b(?:redraw|process)_\w+", text)}


@pytest.fixture
async def exported(tmp_path: Path) -> set[str]:
    """The names of all metrics of a bot; a counter's with `_total`."""
    async with open_simulated_discord(tmp_path, ScriptedService()) as discord_sim:
        text = discord_sim.bot.metrics.text().decode()
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


async def test_every_metric_of_the_dashboard_exists(exported: set[str]) -> None:
    dashboard = json.loads((OPS / "grafana.json").read_text())
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    used = used_metrics("\n".join(expressions))
    assert used
    assert used <= exported


async def test_every_metric_of_the_alerts_exists(exported: set[str]) -> None:
    # `redraw_model_state` is also the name of that metric's label.
    used = used_metrics(re.sub(r"{.*?}", "", (PROMETHEUS / "alerts.yml").read_text()))
    assert used
    assert used <= exported


async def test_the_dashboard_shows_every_metric_of_the_bot(exported: set[str]) -> None:
    shown = used_metrics((OPS / "grafana.json").read_text())
    assert {name for name in exported if name.startswith("redraw_")} <= shown


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (Debian: prometheus)")
@pytest.mark.parametrize(
    "check",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_accepts_the_files(check: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *check], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
