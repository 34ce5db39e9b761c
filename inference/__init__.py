"""Pictures in, pictures out: depth-to-image on one device. Knows nothing of Discord.

These names are the public ones; `bot` and `cogs` import nothing deeper. None of them imports
torch: the model lives in a child process of its own.
"""

from inference.errors import (
    DeadlineExceeded,
    InferenceError,
    ModelUnavailable,
    NonFiniteOutput,
    OutOfMemory,
    ServiceStopped,
    WorkerDied,
)
from inference.models import MODELS, POCKET, ModelEntry, find_model
from inference.service import InferenceService, ServiceState, ServiceStatus
from inference.types import Img2ImgRequest, Img2ImgResult, Preview, Progress, Timings
from inference.worker.supervisor import LocalService

__all__ = [
    "MODELS",
    "POCKET",
    "DeadlineExceeded",
    "Img2ImgRequest",
    "Img2ImgResult",
    "InferenceError",
    "InferenceService",
    "LocalService",
    "ModelEntry",
    "ModelUnavailable",
    "NonFiniteOutput",
    "OutOfMemory",
    "Preview",
    "Progress",
    "ServiceState",
    "ServiceStatus",
    "ServiceStopped",
    "Timings",
    "WorkerDied",
    "find_model",
]
