"""Loads one of several models, so that its errors do not end the others."""

from __future__ import annotations

import logging
from collections.abc import Callable

from inference.errors import ModelUnavailable
from inference.pipelines.devices import is_device_fault, is_out_of_memory, release_memory
from inference.worker.messages import Ready

log = logging.getLogger(__name__)


def try_to_load(name: str, load: Callable[[], Ready]) -> Ready | Exception:
    """Load a model; the error if that fails. What a failed loading has left in memory is released.

    Raises:
        Exception: a device fault is not returned but raised.
    """
    loaded: Ready | Exception
    try:
        loaded = load()
    except Exception as error:
        if is_device_fault(error):
            raise
        if not (isinstance(error, ModelUnavailable) or is_out_of_memory(error)):
            log.exception("%s cannot be loaded", name)
        # The frames of its traceback refer to the parts that were loaded.
        error.__cause__ = error.__context__ = None
        loaded = error.with_traceback(None)
    release_memory()
    return loaded
