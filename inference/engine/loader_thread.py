"""The thread that loads the inputs of waiting requests on the host."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch


def loader_thread() -> ThreadPoolExecutor:
    """One thread, in which torch computes without further threads.

    With OpenMP each thread that computes has its own team. Two teams have more threads than the
    processor has cores, and OpenMP then puts idle threads to sleep between two operations: on two
    cores each denoiser call of the bundled model took 1.5 times as long.
    """
    threads = torch.get_num_threads()
    executor = ThreadPoolExecutor(1, thread_name_prefix="load-inputs")
    executor.submit(_compute_alone).result()
    # `set_num_threads` also sets the number for threads that have not computed yet.
    torch.set_num_threads(threads)
    return executor


def _compute_alone() -> None:
    torch.set_num_threads(1)
    # A thread takes the common number at its first operation, or here.
    torch.get_num_threads()
