"""The container files and the systemd unit satisfy their own tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

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


@pytest.mark.parametrize("status", [200, 503])
def test_the_image_has_a_health_check_that_reads_the_answer(status: int) -> None:
    text = (ROOT / "ops/Containerfile").read_text(encoding="utf-8")
    assert re.search(r"METRICS_PORT=\d+", text)
    assert f"- {health_check()}\n" in (ROOT / "compose.yaml").read_text(encoding="utf-8")
    with answering(status) as port:
        assert is_healthy(port) == (status == 200)


def test_a_container_without_the_endpoints_is_not_called_unhealthy() -> None:
    """As with `--env-file .env`, where .env is a copy of .env.example."""
    assert is_healthy(0)


def health_check() -> str:
    """The program that the image runs to check the bot."""
    text = (ROOT / "ops/Containerfile").read_text(encoding="utf-8")
    python, option, code = json.loads(
        text.split("HEALTHCHECK")[1].split("CMD ", 1)[1].splitlines()[0]
    )
    assert (python, option) == ("python", "-c")
    return str(code)


def is_healthy(port: int) -> bool:
    """Whether the check passes where METRICS_PORT is `port`."""
    command = [sys.executable, "-c", health_check()]
    environment = {"METRICS_PORT": str(port)}
    return not subprocess.run(command, env=environment, capture_output=True, check=False).returncode


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server on loopback that answers with this status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        yield server.server_port
        thread.join()


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
