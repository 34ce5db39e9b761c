"""The main function of the worker process: load the model, run the engine, exchange messages.

The worker is a spawned child process for three reasons: a device fault leaves the whole process
unusable, a thread that hangs cannot be ended, and torch holds the interpreter lock for longer than
an event loop can wait. It is not forked, because CUDA does not survive a fork.
`inference.worker.supervisor` watches it.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import psutil

from inference.errors import ModelUnavailable
from inference.worker.environment import device_environment
from inference.worker.logs import LogSender
from inference.worker.messages import (
    Active,
    Command,
    Engine,
    LoadFailed,
    ModelStates,
    Ready,
    WorkerConfig,
    WorkerFault,
)

log = logging.getLogger(__name__)

ACTIVITY_SECONDS = 1.0
# The least CPU seconds and bytes read within ACTIVITY_SECONDS that count as activity. Waiting
# threads use less.
ACTIVITY = (0.02, 100_000)


EngineFactory = Callable[[WorkerConfig, Callable[[Any], None]], tuple[Engine, Ready]]


def main(pipe: Connection, config: WorkerConfig) -> None:
    """Run the worker. Returns never: the process exits when it is told to, on a fault, or when its
    parent process ends."""
    for name, value in config.environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    os.environ |= device_environment(config.device, os.environ)
    # Read when transformers is imported; it would warn about torchvision, which is not needed.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Read when huggingface_hub is imported; it prints each retry twice. `HubUnreachable`
    # reports a download that fails in the end.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    # Ctrl-C and a service manager's SIGTERM reach every process of the group. The parent decides
    # when the worker ends, so that a running request can finish.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    logging.basicConfig(level=config.log_level, handlers=[LogSender(messages.put)])
    # Started before the model is loaded, so that the process also exits if its parent ends then.
    threading.Thread(target=_read_commands, args=(pipe, commands), daemon=True).start()
    # A thread of its own, so that pickling a result does not delay the engine.
    writer = threading.Thread(target=_write_messages, args=(pipe, messages), daemon=True)
    writer.start()
    threading.Thread(target=_report_activity, args=(messages,), daemon=True).start()
    try:
        module, function = config.factory.split(":")
        factory: EngineFactory = getattr(importlib.import_module(module), function)
        engine, ready = factory(config, partial(_report, messages))
    except ModelUnavailable as error:
        messages.put(LoadFailed(error))
    except Exception as error:
        log.exception("the model cannot be started")
        messages.put(WorkerFault(_first_line(error)))
    else:
        threading.Thread(target=_dispatch_commands, args=(commands, engine), daemon=True).start()
        messages.put(ready)
        try:
            engine.run()
        except Exception as error:
            log.exception("the engine ended with an error")
            messages.put(WorkerFault(_first_line(error)))
    messages.put(None)
    writer.join(timeout=5)
    # With a faulty device the interpreter's own shutdown can hang; it has nothing left to do here.
    os._exit(0)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _read_commands(pipe: Connection, commands: queue.SimpleQueue[Command]) -> None:
    while True:
        try:
            commands.put(pipe.recv())
        except (EOFError, OSError):
            # The parent process has ended.
            os._exit(0)


def _report_activity(messages: queue.SimpleQueue[Any]) -> None:
    """Send `Active` while the process works, so that slow loading differs from a hang."""
    process = psutil.Process()
    before = _work_done(process)
    while True:
        time.sleep(ACTIVITY_SECONDS)
        now = _work_done(process)
        if any(new - old > least for new, old, least in zip(now, before, ACTIVITY, strict=True)):
            messages.put(Active())
        before = now


def _work_done(process: psutil.Process) -> tuple[float, float]:
    times = process.cpu_times()
    # macOS has no counter of bytes read.
    read = process.io_counters().read_bytes if hasattr(process, "io_counters") else 0
    return times.user + times.system, read


def _dispatch_commands(commands: queue.SimpleQueue[Command], engine: Engine) -> None:
    while True:
        engine.post(commands.get())


def _report(messages: queue.SimpleQueue[Any], message: object) -> None:
    """Send a message. One about models is waited for: if loading a model ends this process, the
    supervisor must know which one it was."""
    messages.put(message)
    if isinstance(message, ModelStates):
        written = threading.Event()
        messages.put(written)
        written.wait()


def _write_messages(pipe: Connection, messages: queue.SimpleQueue[Any]) -> None:
    while (message := messages.get()) is not None:
        if isinstance(message, threading.Event):
            message.set()
            continue
        try:
            pipe.send(message)
        except OSError:
            return
