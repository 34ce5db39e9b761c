"""The worker process: loads the model, turns the engine's loop, talks to its parent over a pipe.

Runs in a child of its own (spawned, never forked: CUDA does not survive a fork), because a fault of
the device poisons the whole process, a hang cannot be ended in a thread, and torch holding the
interpreter lock would make Discord's three seconds late. `inference.worker.supervisor` watches it.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any

from inference.errors import ModelUnavailable
from inference.worker.messages import CannotLoad, Faulty, WorkerConfig

log = logging.getLogger(__name__)

# The worker needs none of the bot's secrets.
SECRETS = ("DISCORD_TOKEN",)


def main(pipe: Connection, config: WorkerConfig) -> None:
    """The child's whole life. Ends when told to, when the model breaks, or with its parent."""
    for name in SECRETS:
        os.environ.pop(name, None)
    # Heard at import: it would complain of torchvision, which is not needed.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    # Ctrl-C and a service manager's SIGTERM reach every process of the bot; the parent decides
    # when this one ends, so that a request under way is not lost to a stop.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(
        level=config.log_level, format="{levelname:<7} worker: {message}", style="{"
    )
    inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # From the first moment on: a parent that goes while the model loads takes this process along.
    threading.Thread(target=_listen, args=(pipe, inbox), daemon=True).start()
    # Pickling and writing a picture must not hold up the device's thread.
    writer = threading.Thread(target=_write, args=(pipe, outbox), daemon=True)
    writer.start()
    try:
        module, function = config.factory.split(":")
        engine, ready = getattr(importlib.import_module(module), function)(config, outbox.put)
    except ModelUnavailable as error:
        outbox.put(CannotLoad(error))
    except Exception as error:
        log.exception("the model cannot be started")
        outbox.put(Faulty(_in_one_line(error)))
    else:
        threading.Thread(target=_pass_on, args=(inbox, engine), daemon=True).start()
        outbox.put(ready)
        try:
            engine.run()
        except Exception as error:
            log.exception("the worker cannot go on")
            outbox.put(Faulty(_in_one_line(error)))
    outbox.put(None)
    writer.join(timeout=5)
    # A broken device can hang the interpreter's own ending; nothing here is worth that.
    os._exit(0)


def _in_one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _listen(pipe: Connection, inbox: queue.SimpleQueue[tuple[str, Any]]) -> None:
    while True:
        try:
            inbox.put(pipe.recv())
        except (EOFError, OSError):
            # The parent is gone, perhaps killed; nobody waits for anything here.
            os._exit(0)


def _pass_on(inbox: queue.SimpleQueue[tuple[str, Any]], engine: Any) -> None:
    while True:
        what, value = inbox.get()
        match what:
            case "submit":
                engine.submit(value)
            case "cancel":
                engine.cancel(value)
            case "stop":
                engine.stop()


def _write(pipe: Connection, outbox: queue.SimpleQueue[Any]) -> None:
    while (message := outbox.get()) is not None:
        try:
            pipe.send(message)
        except OSError:
            return
