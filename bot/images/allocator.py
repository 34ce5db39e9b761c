"""Settings of the C library's allocator for a process that runs for months."""

from __future__ import annotations

import ctypes

# From glibc's <malloc.h>. Blocks of at least so many bytes come from the system directly, and go
# back to it when they are freed. glibc raises the threshold, up to 32 MiB, when such a block is
# freed; pictures then lie between small objects in the heap of each thread, which stays large.
# Setting it keeps it: https://man7.org/linux/man-pages/man3/mallopt.3.html
M_MMAP_THRESHOLD = -3
MMAP_THRESHOLD = 128 * 1024


def return_freed_pictures() -> bool:
    """Have the memory of pictures returned to the system as soon as it is freed; False where the C
    library has no such setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD))
