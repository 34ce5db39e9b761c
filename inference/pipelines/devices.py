"""Chooses the device and the precision. `python -m inference.pipelines.devices` prints them."""

from __future__ import annotations

import gc
import itertools
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable

import psutil
import torch

from inference.errors import DeviceNotFound
from inference.worker.environment import device_environment

log = logging.getLogger(__name__)

TORCH_WITH_CUDA = "install the CUDA build of torch, see https://pytorch.org/get-started/locally"
# Instructions of x86 processors for bfloat16 products. Without them bfloat16 is 50 to 100 times
# slower than float32. Arm processors use float32: their bfloat16 was not measured.
BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first available one of cuda, mps and cpu.

    `cuda:N` is the only CUDA device that torch sees, see `inference.worker.environment`. If `auto`
    falls back to the CPU although the machine has an NVIDIA GPU, the reason is logged as a warning.

    Raises:
        DeviceNotFound: torch finds no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    kind = name.partition(":")[0]
    if kind == "auto":
        kind = next(each for each, found in available.items() if found)
        if kind == "cpu" and (reason := unused_gpu()):
            log.warning("%s", reason)
    elif not available[kind]:
        # For `cuda:N` the number may be wrong: the other devices are hidden.
        reason = unused_gpu() if name == "cuda" else None
        raise DeviceNotFound(reason or f"torch finds no device {name} on this machine.")
    return torch.device(kind)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of that name; `auto` is float16 on a GPU, and on a CPU bfloat16 if the processor
    has instructions for it, else float32. The choice depends on the hardware only, so that a seed
    gives the same image after every start."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type in ("cuda", "mps"):
        return torch.float16
    capabilities = torch.cpu.get_capabilities()
    fast = any(capabilities.get(each, False) for each in BFLOAT16_INSTRUCTIONS)
    return torch.bfloat16 if fast else torch.float32


def unused_gpu() -> str | None:
    """Why torch cannot use the machine's NVIDIA GPU, and what to do; None if there is no GPU, if
    it works, or if `CUDA_VISIBLE_DEVICES` hides it."""
    if torch.cuda.is_available() or (gpu := _nvidia_gpu()) is None:
        return None
    if torch.version.cuda is None:
        return (
            f"The {gpu} is not used, because torch {torch.__version__} is built without CUDA: "
            f"{TORCH_WITH_CUDA}."
        )
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        return f"The {gpu} is not used, because CUDA_VISIBLE_DEVICES is {hidden!r}."
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
    else:
        reason = "torch does not find it"
    return (
        f"The {gpu} is not used, because its driver does not work with torch {torch.__version__} "
        f"({reason}): update the NVIDIA driver, or install a torch build for an older CUDA version."
    )


def _nvidia_gpu() -> str | None:
    """The name of the first NVIDIA GPU as its driver reports it; None without GPU or driver."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None
    try:
        listed = subprocess.run(  # noqa: S603 - a fixed command
            [command, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    names = listed.stdout.strip().splitlines()
    return names[0] if names else None


def cpu_count() -> int:
    """The number of CPU cores that this process may use. macOS and Windows have no
    `sched_getaffinity`; there it is the number of cores."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def total_memory(device: torch.device) -> int:
    """The device's total memory in bytes; for a CPU and for Apple's GPU, the machine's memory."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return int(psutil.virtual_memory().total)


def available_memory(device: torch.device) -> int:
    """The device's free memory in bytes; for a CPU and for Apple's GPU, the memory that the machine
    can provide without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def weights_on(device: torch.device, components: Iterable[object]) -> int:
    """The size of the components' weights that are in the device's memory, in bytes."""
    modules = [each for each in components if isinstance(each, torch.nn.Module)]
    tensors = {
        tensor.data_ptr(): tensor.nbytes
        for module in modules
        for tensor in itertools.chain(module.parameters(), module.buffers())
        if tensor.device.type == device.type
    }
    return sum(tensors.values())


# Error texts of the CPU allocator, of Apple's GPU and of cuBLAS. CUDA has an exception class.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device ran out of memory; it remains usable after memory was freed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


# How torch names a fault of the device, its driver or its libraries in a plain RuntimeError.
DEVICE_FAULTS = ("CUDA error", "CUDA driver error", "CUDNN_STATUS_", "CUBLAS_STATUS_", "HIP error")


def is_device_fault(error: Exception) -> bool:
    """Whether torch reports that the device, its driver or its context is broken, so that only a
    new process helps. Every other error concerns the request that caused it."""
    if is_out_of_memory(error):
        return False
    if isinstance(error, torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in DEVICE_FAULTS)


def free_memory() -> None:
    """Release the memory that torch's allocator keeps cached."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def release_memory() -> None:
    """Release models that no object uses. Hooks, compiled functions and the objects of a failed
    loading refer to their modules in cycles."""
    gc.collect()
    free_memory()


def main() -> None:
    """Print a JSON object; on an error print one sentence to stderr and exit with 1."""
    name, dtype = sys.argv[1:3]
    os.environ |= device_environment(name, os.environ)
    logging.disable()
    try:
        device = choose_device(name)
    except DeviceNotFound as error:
        sys.exit(str(error))
    found = {
        "device": device.type,
        "dtype": str(choose_dtype(dtype, device)).removeprefix("torch."),
        "memory_gib": total_memory(device) / 2**30,
        "warning": unused_gpu() if name == "auto" and device.type == "cpu" else None,
    }
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main()
