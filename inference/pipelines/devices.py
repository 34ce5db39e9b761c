"""Chooses the device and the precision. `python -m inference.pipelines.devices` prints them."""

from __future__ import annotations

import json
import os
import sys
import time

import torch

from inference.errors import DeviceNotFound


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first available one of cuda, mps and cpu.

    Raises:
        DeviceNotFound: torch finds no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(each for each, found in available.items() if found)
    elif not available[name]:
        raise DeviceNotFound(
            f"torch finds no device {name} on this machine: either there is none, or its driver "
            "or the torch build for it is not installed."
        )
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The dtype of that name; `auto` is float16 on a GPU, and on a CPU the faster of bfloat16 and
    float32."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type in ("cuda", "mps"):
        return torch.float16
    return torch.bfloat16 if _bfloat16_is_faster() else torch.float32


def memory_bytes(device: torch.device) -> int:
    """The device's total memory in bytes; for a CPU and for Apple's GPU, the machine's memory."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# Error texts of the CPU allocator, of Apple's GPU and of cuBLAS. CUDA has an exception class.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device ran out of memory; it remains usable after memory was freed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


def free_memory() -> None:
    """Release the memory that torch's allocator keeps cached."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _bfloat16_is_faster() -> bool:
    """Time a convolution of the UNet's kind in both precisions. Without hardware support, bfloat16
    is 50 to 100 times slower than float32."""

    def seconds(dtype: torch.dtype) -> float:
        layer = torch.nn.Conv2d(64, 64, 3, padding=1).to(dtype)
        inputs = torch.randn(2, 64, 32, 32, dtype=dtype)
        times = []
        with torch.no_grad():
            for _ in range(4):
                start = time.perf_counter()
                layer(inputs)
                times.append(time.perf_counter() - start)
        return min(times)

    return seconds(torch.bfloat16) < 0.8 * seconds(torch.float32)


def main() -> None:
    """Print a JSON object; on an error print one sentence to stderr and exit with 1."""
    try:
        device = choose_device(sys.argv[1])
    except DeviceNotFound as error:
        sys.exit(str(error))
    dtype = str(choose_dtype(sys.argv[2], device)).removeprefix("torch.")
    memory = memory_bytes(device) / 2**30
    print(json.dumps({"device": device.type, "dtype": dtype, "memory_gib": memory}))  # noqa: T201


if __name__ == "__main__":
    main()
