"""Shows in the terminal how the model is loaded: phases, and the progress of a download."""

from __future__ import annotations

import asyncio

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from inference import InferenceService, ServiceState

REFRESH_SECONDS = 0.2
# Between two lines about the same download where the output is no terminal.
LINE_SECONDS = 10.0


async def wait_ready(service: InferenceService, console: Console) -> None:
    """Wait until the service is ready and show its progress on `console` meanwhile.

    Raises:
        ModelUnavailable: the service has failed.
    """
    ready = asyncio.create_task(service.wait_ready())
    try:
        await (_show_bar if console.is_terminal else _print_lines)(service, console, ready)
        await ready
    finally:
        ready.cancel()


async def _show_bar(service: InferenceService, console: Console, ready: asyncio.Task[None]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=16), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        while not ready.done():
            status = service.status
            download = status.download
            bar.update(
                task,
                description=_sentence(status.detail),
                total=download.total_bytes if download else None,
                completed=download.bytes if download else 0,
                refresh=True,
            )
            await asyncio.wait({ready}, timeout=REFRESH_SECONDS)


async def _print_lines(
    service: InferenceService, console: Console, ready: asyncio.Task[None]
) -> None:
    loop = asyncio.get_running_loop()
    printed, next_line = "", 0.0
    while not ready.done():
        status = service.status
        phase = status.detail.partition(":")[0]
        if status.state is ServiceState.READY:
            break
        if phase != printed or (status.download is not None and loop.time() >= next_line):
            printed, next_line = phase, loop.time() + LINE_SECONDS
            console.print(_sentence(status.detail), soft_wrap=True, highlight=False)
        await asyncio.wait({ready}, timeout=REFRESH_SECONDS)


def _sentence(detail: str) -> str:
    return detail[:1].upper() + detail[1:]
