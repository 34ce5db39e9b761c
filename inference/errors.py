"""What can go wrong with a request or with the model.

    InferenceError
    ├── ModelUnavailable      the model cannot be loaded; says why and what to do
    ├── ServiceStopped        the service is closing; the request did not run and may be sent again
    ├── WorkerDied            the worker process died or hung while this request was in it
    ├── OutOfMemory           the request does not fit the device, not even alone
    ├── NotANumber            the model produced no valid picture, not even decoded in float32
    └── DeadlineExceeded      the request's deadline passed before it was prepared

A cancelled request raises `asyncio.CancelledError`, as everything in asyncio does.
Every message is a sentence that a person may read. All of them survive pickling.
"""


class InferenceError(Exception):
    """Base of this package's errors."""


class ModelUnavailable(InferenceError):
    """The model cannot be loaded: no network, no disk, gated, out of memory, not a model."""


class ServiceStopped(InferenceError):
    """The service is closing; the request did not run to its end and may be sent again."""


class WorkerDied(InferenceError):
    """The worker process died or hung while this request was running in it."""


class OutOfMemory(InferenceError):
    """The request does not fit the device's memory, not even alone."""


class NonFiniteOutput(InferenceError):
    """The model's output was not a number, also when decoded again in float32."""


class DeadlineExceeded(InferenceError):
    """The request's deadline passed before it was prepared."""
