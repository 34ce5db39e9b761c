"""What the terminal shows while a model is loaded."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from bot.cli import progress
from inference import DownloadProgress, ModelUnavailable, ServiceState, ServiceStatus
from tests.support.clocks.simulated_time import in_simulated_time
from tests.support.services import READY, ScriptedService


def downloading(done: int) -> ServiceStatus:
    download = DownloadProgress(
        files=1, total_files=4, bytes=done * 10**8, total_bytes=10**9, seconds_left=90
    )
    return ServiceStatus(
        state=ServiceState.LOADING, detail=f"downloading some/model: {download}", download=download
    )


LOADING = ServiceStatus(state=ServiceState.LOADING, detail="loading the model")


async def shown(statuses: list[ServiceStatus], *, terminal: bool) -> str:
    """The output while the service takes one status after the other, each for two seconds."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=140, color_system=None)
    service = ScriptedService(status=statuses[0])
    waiting = asyncio.create_task(progress.wait_ready(service, console))
    for status in statuses[1:]:
        await asyncio.sleep(2)
        service.status = status
    await waiting
    return out.getvalue()


@in_simulated_time
async def test_a_terminal_has_a_bar_that_moves() -> None:
    text = await shown([downloading(2), downloading(7), LOADING, READY], terminal=True)
    for part in ("0.2 of 1.0 GB (20 %), 2 min left", "0.7 of 1.0 GB (70 %)", "Loading the model"):
        assert part in text


@in_simulated_time
async def test_a_file_has_one_line_for_each_phase() -> None:
    text = await shown([downloading(2), downloading(7), LOADING, READY], terminal=False)
    assert text.splitlines() == [
        "Downloading some/model: 1 of 4 files, 0.2 of 1.0 GB (20 %), 2 min left",
        "Loading the model",
    ]


@in_simulated_time
async def test_a_file_has_a_line_about_a_download_every_ten_seconds() -> None:
    """A status every two seconds for half a minute."""
    text = await shown([*(downloading(done) for done in range(15)), READY], terminal=False)
    sizes = [line.split("files, ")[1].split(" of ")[0] for line in text.splitlines()]
    assert sizes == ["0.0", "0.5", "1.0"]


@pytest.mark.parametrize("terminal", [True, False])
@in_simulated_time
async def test_a_failure_is_raised(*, terminal: bool) -> None:
    failed = ServiceStatus(state=ServiceState.FAILED, detail="no network")
    with pytest.raises(ModelUnavailable, match="no network"):
        await shown([LOADING, failed], terminal=terminal)
