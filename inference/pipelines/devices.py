"""Chooses the device and the precision; `python -m inference.pipelines.devices` prints them."""

from __future__ import annotations

import json
import os
import sys
import time

import torch

from inference.errors import ModelUnavailable


def choose_device(wanted: str) -> torch.device:
    """`auto`: cuda, then mps, then cpu.

    Raises:
        ModelUnavailable: a device was named that this machine does not have.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        wanted = next(name for name, there in present.items() if there)
    elif not present[wanted]:
        raise ModelUnavailable(
            f"DEVICE is {wanted}, but torch finds no such device here: set DEVICE=auto, or install "
            "the driver and the torch build for it."
        )
    return torch.device(wanted)


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`auto`: half precision on a GPU; on a CPU whatever a short probe finds faster."""
    if wanted != "auto":
        dtype: torch.dtype = getattr(torch, wanted)
        return dtype
    if device.type in ("cuda", "mps"):
        return torch.float16
    return torch.bfloat16 if _bfloat16_is_faster() else torch.float32


def memory_bytes(device: torch.device) -> int:
    """The device's memory in all; the machine's own for a CPU and for Apple's shared memory."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


# How the allocators of the CPU, of Apple's GPU and of cuBLAS say it; CUDA has a class of its own.
OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: Exception) -> bool:
    """Whether the device had no room; after freeing some, it can go on."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY)


def free_memory() -> None:
    """Give back what torch's allocator keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _bfloat16_is_faster() -> bool:
    """A convolution as the UNet makes them, in both precisions. Processors without hardware
    bfloat16 products are 50 to 100 times slower in it, so that a few tries tell."""

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
    """Print one JSON object, or one sentence on stderr and exit with 1."""
    try:
        device = choose_device(sys.argv[1])
    except ModelUnavailable as error:
        sys.exit(str(error))
    dtype = str(choose_dtype(sys.argv[2], device)).removeprefix("torch.")
    memory = memory_bytes(device) / 2**30
    print(json.dumps({"device": device.type, "dtype": dtype, "memory_gib": memory}))  # noqa: T201


if __name__ == "__main__":
    main()
