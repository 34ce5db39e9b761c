"""Ends the remaining processes of a Ray cluster after its driver has ended or was killed.

Ray's own processes notice a killed driver within seconds, except some agents that live on for over
a minute. This module runs as a script in a process of its own and imports nothing of the package:

    python reaper.py DRIVER_PROCESS_ID < file with the session's name
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import psutil

# Ray's own processes end within seconds; some of its agents do not notice that it ended.
REAP_SECONDS = 3.0


def reap(session: str) -> int:
    """End the processes of the session that are still alive; how many could not be ended."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _belongs_to(session, process):
                process.kill()
                left.append(process)
    _, alive = psutil.wait_procs(left, timeout=REAP_SECONDS)
    return len(alive)


def _belongs_to(session: str, process: psutil.Process) -> bool:
    command = process.cmdline()
    if any(session in part for part in command):
        return True
    # Ray's agents and workers replace their command line by a title. Their logs are in the
    # session's folder.
    titled = bool(command) and command[0].startswith("ray::")
    return titled and any(session in file.path for file in process.open_files())


def reap_after_this_process(session: str) -> None:
    """Start a process that calls `reap` when this one has ended, even if it was killed."""
    # Its own session: Ctrl-C in the terminal reaches the driver only. The name goes through a pipe,
    # because `reap` looks for it in command lines.
    process = subprocess.Popen(  # noqa: S603 - a fixed script, without input of users
        [sys.executable, str(Path(__file__)), str(os.getpid())],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(session.encode())
    process.stdin.close()


def main() -> None:
    """Wait for the end of the driver, then end the rest of its session."""
    session = sys.stdin.read()
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(sys.argv[1])).wait()
    if session:
        reap(session)


if __name__ == "__main__":
    main()
