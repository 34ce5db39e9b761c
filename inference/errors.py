"""The errors of this package.

    InferenceError
    ├── ModelUnavailable        the model cannot be used; starting again does not help
    │   ├── UnknownModel        neither a name in the catalogue nor a pipeline folder
    │   ├── ModelNotOnHub       the hub has no such repository, or it is private
    │   ├── ModelGated          the repository asks for its terms to be accepted first
    │   ├── HubUnreachable      not downloaded yet, and the hub does not answer
    │   ├── DiskFull            no room for the model's files
    │   ├── InvalidModel        damaged files, or a pipeline that this package cannot run
    │   ├── FullPrecisionMissing  half precision is invalid, and the other files are not here
    │   ├── ModelTooLarge       the model does not fit the memory of the device
    │   ├── DeviceNotFound      the requested device is not on this machine
    │   └── WorkerFailed        the worker process ended several times in a row
    ├── ModelNotConfigured      the request names a model that the service does not run
    ├── ModelNotLoaded          one of several models cannot be loaded; the others run
    ├── ServiceStopped          the service is closing; the request may be sent again later
    ├── WorkerDied              the worker process ended while it worked on this request
    ├── OutOfMemory             the request does not fit the device's memory, not even alone
    ├── TaskNotSupported        the loaded pipeline cannot do what the request asks
    ├── FlatDepthMap            the depth map has no near and far part to choose from
    ├── NonFiniteOutput         the model's output has NaN or infinite values, also in float32
    └── DeadlineExceeded        the request's deadline passed before it was prepared

A cancelled request raises `asyncio.CancelledError`. Each message is one sentence in English that
says what is wrong; it names no setting of the program that uses this package. All errors can be
pickled.
"""


class InferenceError(Exception):
    """Base class of this package's errors."""


class ModelUnavailable(InferenceError):
    """The model cannot be used; starting again does not help."""


class UnknownModel(ModelUnavailable):
    """The name is neither in the catalogue nor the path of a pipeline folder."""


class ModelNotOnHub(ModelUnavailable):
    """The hub has no repository of that name, or it is private."""


class ModelGated(ModelUnavailable):
    """The repository's terms must be accepted before its files can be downloaded."""


class HubUnreachable(ModelUnavailable):
    """The model has not been downloaded yet, and the hub does not answer."""


class DiskFull(ModelUnavailable):
    """The disk has no room for the model's files."""


class InvalidModel(ModelUnavailable):
    """The model's files are damaged, or not a pipeline that this package can run."""


class FullPrecisionMissing(ModelUnavailable):
    """The model gives invalid values in half precision, and its files in full precision are not on
    this machine. The pool downloads them while other models are served."""


class ModelTooLarge(ModelUnavailable):
    """The model does not fit the memory of the device."""


class DeviceNotFound(ModelUnavailable):
    """The requested device is not on this machine, or torch cannot use it."""


class WorkerFailed(ModelUnavailable):
    """The worker process ended several times in a row without a finished request."""


class ModelNotConfigured(InferenceError):
    """The request names a model that the service does not run."""


class ModelNotLoaded(InferenceError):
    """One of several models cannot be loaded; the requests of the others are not concerned."""


class ServiceStopped(InferenceError):
    """The service is closing; the request did not finish and may be sent again later."""


class WorkerDied(InferenceError):
    """The worker process ended, or was stopped as hung, while it worked on this request."""


class OutOfMemory(InferenceError):
    """The request does not fit the device's memory, not even alone."""


class TaskNotSupported(InferenceError):
    """The loaded pipeline cannot do what the request asks, such as to redraw a picture."""


class FlatDepthMap(InferenceError):
    """The depth map is flat: it cannot be divided into a foreground and a background."""


class NonFiniteOutput(InferenceError):
    """The model's output has NaN or infinite values, also when decoded again in float32."""


class DeadlineExceeded(InferenceError):
    """The request's deadline passed before it was prepared."""
