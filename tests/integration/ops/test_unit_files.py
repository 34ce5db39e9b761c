"""The container files and the systemd unit satisfy their own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = Path(sys.executable).parent
UNIT = ROOT / "ops/redraw.service"
SYSTEMD = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd")
# systemd's own scale: 0 is the least exposed, 10 the most.
MAX_EXPOSURE = 3.0


def test_the_containerfile_has_no_lint() -> None:
    subprocess.run([TOOLS / "hadolint", "ops/Containerfile"], cwd=ROOT, check=True)


def test_the_compose_file_has_no_serious_lint() -> None:
    subprocess.run([TOOLS / "compose-lint", "compose.yaml"], cwd=ROOT, check=True)


@SYSTEMD
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """The checkout in /opt is not there in a test, so the unit is given one that is."""
    program = tmp_path / ".venv/bin/python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/redraw", str(tmp_path)))
    done = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@SYSTEMD
def test_the_unit_exposes_little() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", UNIT],
        capture_output=True,
        text=True,
        check=True,
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None
    assert float(found[1]) <= MAX_EXPOSURE
