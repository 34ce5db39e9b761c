"""Errors of single requests: what is raised again, what is reported."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from inference.errors import InferenceError, OutOfMemory
from inference.pipelines.devices import free_memory, is_device_fault, is_out_of_memory
from inference.types import ImageRequest

log = logging.getLogger(__name__)

T = TypeVar("T")


def attempt(call: Callable[[], T]) -> T | Exception:
    """The result of `call`, or the exception that it raised.

    After an out-of-memory error unused memory is released, including the tensors of the failed
    call, which the exception's traceback would keep.

    Raises:
        Exception: a device fault is not returned but raised.
    """
    try:
        return call()
    except Exception as error:
        if is_out_of_memory(error):
            failure = error.with_traceback(None)
        elif is_device_fault(error):
            raise
        else:
            return error
    free_memory()
    return failure


def failure_of(request: ImageRequest, error: Exception) -> InferenceError:
    """The error to report for a request; an unexpected one is logged with its traceback."""
    if is_out_of_memory(error):
        return OutOfMemory("This picture is too large for the device's memory.")
    if isinstance(error, InferenceError):
        return error
    log.error("a request failed", exc_info=error, extra={"request": request.id})
    return InferenceError("The model cannot make this picture.")
