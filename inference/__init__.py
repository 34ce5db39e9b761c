"""Image-to-image inference, usable without Discord.

The names below are the public interface; `bot` and `cogs` import nothing else of this package.
They do not import torch: the model runs in a child process.
"""

from inference.errors import (
    DeadlineExceeded,
    DeviceNotFound,
    DiskFull,
    HubUnreachable,
    InferenceError,
    InvalidModel,
    ModelGated,
    ModelNotOnHub,
    ModelTooLarge,
    ModelUnavailable,
    NonFiniteOutput,
    OutOfMemory,
    ServiceStopped,
    UnknownModel,
    WorkerDied,
    WorkerFailed,
)
from inference.models import MODELS, POCKET, ModelEntry, find_model
from inference.service import DownloadProgress, InferenceService, ServiceState, ServiceStatus
from inference.types import Img2ImgRequest, Img2ImgResult, Preview, Progress, Timings
from inference.worker.supervisor import LocalService

__all__ = [
    "MODELS",
    "POCKET",
    "DeadlineExceeded",
    "DeviceNotFound",
    "DiskFull",
    "DownloadProgress",
    "HubUnreachable",
    "Img2ImgRequest",
    "Img2ImgResult",
    "InferenceError",
    "InferenceService",
    "InvalidModel",
    "LocalService",
    "ModelEntry",
    "ModelGated",
    "ModelNotOnHub",
    "ModelTooLarge",
    "ModelUnavailable",
    "NonFiniteOutput",
    "OutOfMemory",
    "Preview",
    "Progress",
    "ServiceState",
    "ServiceStatus",
    "ServiceStopped",
    "Timings",
    "UnknownModel",
    "WorkerDied",
    "WorkerFailed",
    "find_model",
]
