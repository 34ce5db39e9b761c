"""What the operator can do about each error of the model: the settings that it concerns."""

from __future__ import annotations

from inference import (
    DeviceNotFound,
    DiskFull,
    FullPrecisionMissing,
    HubUnreachable,
    InferenceError,
    InvalidModel,
    ModelGated,
    ModelNotOnHub,
    ModelTooLarge,
    ModelUnavailable,
    UnknownModel,
    WorkerFailed,
)

REMEDIES: dict[type[ModelUnavailable], str] = {
    UnknownModel: "Set MODEL to one of these names, or to the path of a save_pretrained folder.",
    ModelNotOnHub: "Check MODEL. For a private repository, set HF_TOKEN to your access token.",
    ModelGated: (
        "Accept the terms on the repository's page at https://huggingface.co, then set HF_TOKEN "
        "to your access token."
    ),
    HubUnreachable: "Connect this machine to the internet for the first start.",
    DiskFull: "Free some space, then start again.",
    InvalidModel: "Delete the model's files and start again, or choose another MODEL.",
    FullPrecisionMissing: "Connect this machine to the internet, and start again.",
    ModelTooLarge: "Close other programs that use this memory, or choose a smaller MODEL.",
    DeviceNotFound: "Set DEVICE=auto, or install the driver and the torch build for the device.",
    WorkerFailed: "The log above has the details. `python -m bot check` tests the installation.",
}


def explain(error: InferenceError) -> str:
    """The error's sentence and, where there is a remedy, what to do, with the setting's name."""
    remedy = REMEDIES.get(type(error)) if isinstance(error, ModelUnavailable) else None
    return f"{error} {remedy}" if remedy else str(error)
