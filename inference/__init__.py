"""Image-to-image inference, usable without Discord.

The names below are the public interface; `bot` and `cogs` import nothing else of this package.
They do not import torch: the model runs in a child process.
"""

from inference.downloads import (
    LocalModel,
    download_description,
    find_local_model,
    hub_cache,
    remove_model,
)
from inference.errors import (
    DeadlineExceeded,
    DeviceNotFound,
    DiskFull,
    FlatDepthMap,
    FullPrecisionMissing,
    HubUnreachable,
    InferenceError,
    InvalidModel,
    ModelGated,
    ModelNotConfigured,
    ModelNotLoaded,
    ModelNotOnHub,
    ModelTooLarge,
    ModelUnavailable,
    NonFiniteOutput,
    OutOfMemory,
    ServiceStopped,
    TaskNotSupported,
    UnknownModel,
    WorkerDied,
    WorkerFailed,
)
from inference.fleet.config import FleetConfig
from inference.fleet.service import RayService
from inference.model_entry import ALL_OPTIONS, ExtraRepository, MemoryNeeds, ModelEntry
from inference.models import MODELS, POCKET, find_model, find_models
from inference.service import (
    DownloadProgress,
    InferenceService,
    ModelState,
    ModelStatus,
    ReplicaSnapshot,
    ServiceState,
    ServiceStatus,
)
from inference.tile_grid import tile_count
from inference.types import (
    ImageRequest,
    ImageResult,
    Option,
    Part,
    Picture,
    Preview,
    Progress,
    Task,
    Timings,
)
from inference.vocabulary import unknown_words
from inference.worker.download import DOWNLOAD_ONLY
from inference.worker.local import LocalService

__all__ = [
    "ALL_OPTIONS",
    "DOWNLOAD_ONLY",
    "MODELS",
    "POCKET",
    "DeadlineExceeded",
    "DeviceNotFound",
    "DiskFull",
    "DownloadProgress",
    "ExtraRepository",
    "FlatDepthMap",
    "FleetConfig",
    "FullPrecisionMissing",
    "HubUnreachable",
    "ImageRequest",
    "ImageResult",
    "InferenceError",
    "InferenceService",
    "InvalidModel",
    "LocalModel",
    "LocalService",
    "MemoryNeeds",
    "ModelEntry",
    "ModelGated",
    "ModelNotConfigured",
    "ModelNotLoaded",
    "ModelNotOnHub",
    "ModelState",
    "ModelStatus",
    "ModelTooLarge",
    "ModelUnavailable",
    "NonFiniteOutput",
    "Option",
    "OutOfMemory",
    "Part",
    "Picture",
    "Preview",
    "Progress",
    "RayService",
    "ReplicaSnapshot",
    "ServiceState",
    "ServiceStatus",
    "ServiceStopped",
    "Task",
    "TaskNotSupported",
    "Timings",
    "UnknownModel",
    "WorkerDied",
    "WorkerFailed",
    "download_description",
    "find_local_model",
    "find_model",
    "find_models",
    "hub_cache",
    "remove_model",
    "tile_count",
    "unknown_words",
]
