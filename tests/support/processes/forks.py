"""Child processes without the seconds that their imports take."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver, resource_tracker
from typing import Any

import psutil

from inference.worker import process

FORKS = multiprocessing.get_context("forkserver")
"""Each process is forked from one that has imported what bots and workers import.

`multiprocessing` has one such process for each test process. It has the environment that the tests
had when it was first used.
"""
FORKS.set_forkserver_preload(
    ["tests.support.bots.bot_process", "tests.support.processes.worker_imports"]
)


def fork_workers() -> None:
    """Fork the workers of this process, too, which is one of `FORKS`."""
    server: Any = forkserver._forkserver
    # This process knows the address of the one that it was forked from, and would start another.
    server.ensure_running = resource_tracker.ensure_running
    # `process.CONTEXT` has the type of the context that starts workers outside of tests.
    vars(process)["CONTEXT"] = FORKS


def stop_fork_server() -> None:
    """End the process that forks the others, and wait for its end, at which it writes its coverage
    data. By itself it ends some time after the tests."""
    server: Any = forkserver._forkserver
    if server._forkserver_pid is None:
        return
    # It does not end before its children do. Those that a test has left end with the test process.
    if not psutil.Process(server._forkserver_pid).children():
        server._stop()
