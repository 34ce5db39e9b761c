"""Child processes without the seconds that their imports take."""

from __future__ import annotations

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
"""Each process is forked from one that has imported what bots and workers import.

`multiprocessing` has one such process for each test process. It has the environment that the tests
had when it was first used.
"""
FORKS.set_forkserver_preload(
    ["tests.support.bots.bot_process", "tests.support.processes.worker_imports"]
)
