"""The processes of a cluster end with its driver, also if the driver is killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from inference.fleet import reaper

DRIVER = """
import runpy, sys, time
reaper = runpy.run_path(sys.argv[1])
reaper["reap_after_this_process"](sys.argv[2])
print("started", flush=True)
time.sleep(60)
"""


def test_processes_of_the_session_end_after_a_killed_driver(tmp_path: Path) -> None:
    session = f"session-{tmp_path.name}"
    agent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", session])
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    script = Path(reaper.__file__)
    # The driver's own command line has no session's name.
    driver = subprocess.Popen(
        [
            sys.executable,
            "-c",
            DRIVER.replace("sys.argv[2]", repr(session[::-1]) + "[::-1]"),
            script,
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"started\n"
        assert agent.poll() is None
        driver.kill()
        driver.wait()
        assert agent.wait(20) != 0
        assert other.poll() is None
    finally:
        for process in (agent, other, driver):
            process.kill()
            process.communicate()


def test_a_process_that_only_logs_into_the_session_ends_too(tmp_path: Path) -> None:
    """Ray's agents replace their command line by a title."""
    session = f"session-{tmp_path.name}"
    log = tmp_path / session / "agent.log"
    log.parent.mkdir()
    code = "import time; log = open(input(), 'w'); print('open', flush=True); time.sleep(60)"
    started = [
        subprocess.Popen(
            # As a process with that title shows itself.
            [title, "-c", code],
            executable=sys.executable,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for title in ("ray::Agent", "python3")
    ]
    try:
        for process in started:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(f"{log}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "open\n"
        reaper.reap(session)
        agent, other = started
        agent.wait(20)
        assert other.poll() is None, "it is no process of Ray"
    finally:
        for process in started:
            process.kill()
            process.communicate()
