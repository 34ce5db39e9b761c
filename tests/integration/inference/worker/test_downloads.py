"""Downloads of a model from a fake hub by a real worker process, and every way they can fail.

Longer than 300 lines: the downloads share the hub and the start of the worker.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inference import (
    DOWNLOAD_ONLY,
    DiskFull,
    DownloadProgress,
    HubUnreachable,
    ImageResult,
    InvalidModel,
    LocalService,
    ModelGated,
    ModelNotOnHub,
    ModelUnavailable,
    ServiceState,
)
from inference.download_counter import REPORT_SECONDS
from inference.families.build import build_engine
from inference.models import find_model
from inference.worker.messages import WorkerConfig
from tests.support.hub.fake_hub import COMMIT, REPOSITORY, FakeHub
from tests.support.hub.in_process import use_hub
from tests.support.hub.model_repositories import copy_of, save_old_layout
from tests.support.requests import request

# The hub's client reads its environment when it is imported.
pytestmark = pytest.mark.usefixtures("spawned_workers")

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def old_layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_old_layout(tmp_path_factory.mktemp("old"))


@pytest.fixture
async def hub(old_layout: Path, tmp_path: Path) -> AsyncIterator[FakeHub]:
    hub = FakeHub(copy_of(old_layout, tmp_path / "repository"))
    async with hub.open():
        yield hub


Serve = Callable[..., Any]


@pytest.fixture
def serve(hub: FakeHub, tmp_path: Path) -> Serve:
    """A service whose worker uses the fake hub; by default the worker only downloads."""

    @asynccontextmanager
    async def service(
        model: str = REPOSITORY,
        *,
        dtype: str = "float32",
        factory: str = DOWNLOAD_ONLY,
        **environment: str,
    ) -> AsyncIterator[LocalService]:
        defaults: dict[str, str | None] = {
            "HF_ENDPOINT": hub.url,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path / "hub"),
            "HF_TOKEN": None,
        }
        async with LocalService(
            model=model,
            device="cpu",
            dtype=dtype,
            cache_dir=tmp_path / "data",
            factory=factory,
            environment=defaults | environment,
        ) as running:
            yield running

    return service


def revisions(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "data" / "revisions.json").read_text())


def weights(hub: FakeHub) -> set[str]:
    return {name for name in hub.downloaded if name.endswith((".safetensors", ".bin", ".ckpt"))}


@pytest.mark.filterwarnings("ignore")
async def test_the_old_layout_is_downloaded_loaded_and_used(
    serve: Serve, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A component without fp16 weights uses its ordinary ones."""
    for path in (hub.folder / "vae").glob("*.fp16.*"):
        path.unlink()
    async with serve(factory="inference.families.build:build_engine", dtype="bfloat16") as service:
        await service.wait_ready()
        assert service.status.dtype == "bfloat16"
        assert isinstance(await service.generate(request()), ImageResult)
    assert revisions(tmp_path) == {REPOSITORY: COMMIT}
    assert "vae/diffusion_pytorch_model.safetensors" in weights(hub)
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in weights(hub)
    assert len(weights(hub)) == 4
    # The repository gets a new commit, and then it disappears: the stored files are used.
    hub.commit = "f" * 40
    hub.refuse = (404, "RepoNotFound")
    hub.requests.clear()
    use_hub(hub, tmp_path / "hub/hub", monkeypatch)
    config = WorkerConfig(
        entry=find_model(REPOSITORY), device="cpu", dtype="bfloat16", cache_dir=tmp_path / "data"
    )
    _, ready = await asyncio.to_thread(build_engine, config, lambda _: None)
    assert ready.dtype == "bfloat16"
    assert hub.requests == []


async def test_half_precision_downloads_the_fp16_weights_only(
    serve: Serve, hub: FakeHub, tmp_path: Path
) -> None:
    sizes = {}
    for dtype in ("float32", "float16"):
        hub.ranges.clear()
        async with serve(dtype=dtype, HF_HOME=str(tmp_path / dtype)) as service:
            await service.wait_ready()
        assert len(weights(hub)) == 4
        sizes[dtype] = sum((hub.folder / name).stat().st_size for name in weights(hub))
        assert all((".fp16." in name) == (dtype == "float16") for name in weights(hub))
        assert all("/" in name or name == "model_index.json" for name in hub.downloaded)
    assert sizes["float16"] < 0.6 * sizes["float32"]


async def test_a_slow_download_shows_its_progress(serve: Serve, hub: FakeHub) -> None:
    weights = [path for path in hub.folder.glob("*/*.safetensors") if ".fp16." not in path.name]
    hub.gates = {path.relative_to(hub.folder).as_posix(): asyncio.Event() for path in weights}
    seen: list[DownloadProgress] = []

    async def release_files() -> None:
        """One at a time, each when the worker may report again."""
        for gate in hub.gates.values():
            while not seen:  # noqa: ASYNC110 - the loop below appends to it
                await asyncio.sleep(0.01)
            await asyncio.sleep(1.2 * REPORT_SECONDS)
            gate.set()

    async with serve() as service:
        releasing = asyncio.create_task(release_files())
        while service.status.state is ServiceState.LOADING:
            download = service.status.download
            if download is not None and (not seen or seen[-1] != download):
                seen.append(download)
                assert service.status.detail == f"downloading {REPOSITORY}: {download}"
            await asyncio.sleep(0.01)
        await service.wait_ready()
        await releasing
    assert len(hub.gates) == 4
    # The worker may be ready before the last report is seen.
    assert len(seen) >= 3
    assert [each.bytes for each in seen] == sorted(each.bytes for each in seen)
    assert seen[-1].bytes > seen[0].bytes
    total = sum((hub.folder / n).stat().st_size for n in hub.downloaded - {"model_index.json"})
    assert {each.total_bytes for each in seen} == {total}
    assert {each.total_files for each in seen} == {len(hub.downloaded) - 1}
    assert any(each.seconds_left is not None for each in seen)


async def test_a_broken_connection_resumes_the_file(
    serve: Serve, hub: FakeHub, tmp_path: Path
) -> None:
    """The client of the hub writes pieces of 10 MB."""
    (hub.folder / UNET).write_bytes(os.urandom(25_000_000))
    hub.cut[UNET] = 22_000_000
    async with serve() as service:
        await service.wait_ready()
    first, second = hub.ranges[UNET]
    assert first == ""
    assert int(second.removeprefix("bytes=").removesuffix("-")) >= 10_000_000
    (path,) = (tmp_path / "hub").glob(f"hub/models--*/snapshots/*/{UNET}")
    assert path.read_bytes() == (hub.folder / UNET).read_bytes()


async def test_a_killed_worker_continues_with_the_missing_files(
    serve: Serve, hub: FakeHub, tmp_path: Path
) -> None:
    hub.chunk_seconds = 0.5
    async with serve() as service:
        while service.status.download is None or service.status.download.files < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert service.worker_pid is not None
        os.kill(service.worker_pid, signal.SIGKILL)
        while service.status.state is not ServiceState.RESTARTING:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        hub.chunk_seconds = 0.0
        await service.wait_ready()
    repeated = {name for name, ranges in hub.ranges.items() if len(ranges) > 1}
    assert repeated
    assert len(repeated) < len(hub.ranges)
    assert revisions(tmp_path) == {REPOSITORY: COMMIT}


@pytest.mark.parametrize(
    ("refuse", "error_type"),
    [
        ((403, "GatedRepo"), ModelGated),
        ((404, "RepoNotFound"), ModelNotOnHub),
        ((401, "RepoNotFound"), ModelNotOnHub),
        ((404, "RevisionNotFound"), ModelNotOnHub),
    ],
)
async def test_a_refusal_of_the_hub_has_an_error_class(
    serve: Serve, hub: FakeHub, refuse: tuple[int, str], error_type: type[ModelUnavailable]
) -> None:
    hub.refuse = refuse
    async with serve() as service:
        with pytest.raises(error_type, match=REPOSITORY):
            await service.wait_ready()


async def test_a_repository_without_an_index_is_no_pipeline(serve: Serve, hub: FakeHub) -> None:
    (hub.folder / "model_index.json").unlink()
    async with serve() as service:
        with pytest.raises(InvalidModel, match=r"no model_index\.json"):
            await service.wait_ready()


@pytest.mark.parametrize("offline", [True, False])
async def test_the_first_start_without_a_network_is_reported(
    serve: Serve, *, offline: bool
) -> None:
    # A port that is taken, and at which nothing listens.
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        async with serve(
            HF_ENDPOINT=f"http://127.0.0.1:{port}", HF_HUB_OFFLINE=str(int(offline))
        ) as service:
            with pytest.raises(HubUnreachable, match="cannot be reached"):
                await service.wait_ready()


async def test_a_hub_that_fails_during_the_download_is_reported(serve: Serve, hub: FakeHub) -> None:
    hub.broken = UNET
    async with serve() as service:
        with pytest.raises(HubUnreachable, match=f"The download of {REPOSITORY} was interrupted"):
            await service.wait_ready()


async def test_too_little_space_is_noticed_before_the_download(
    serve: Serve, hub: FakeHub, tmp_path: Path
) -> None:
    hub.listed[UNET] = 10**18
    async with serve() as service:
        with pytest.raises(DiskFull, match=f"needs 1000000000.* GB in {tmp_path / 'hub'}"):
            await service.wait_ready()
    assert hub.downloaded == {"model_index.json"}


async def test_a_damaged_file_is_downloaded_again(
    serve: Serve, hub: FakeHub, tmp_path: Path
) -> None:
    async with serve() as service:
        await service.wait_ready()
    (path,) = (tmp_path / "hub").glob(f"hub/models--*/snapshots/*/{UNET}")
    whole = path.read_bytes()
    path.resolve().write_bytes(whole[:1000])
    hub.ranges.clear()
    async with serve() as service:
        await service.wait_ready()
    assert hub.downloaded == {UNET}
    assert path.read_bytes() == whole


async def test_the_second_start_works_offline(serve: Serve, hub: FakeHub) -> None:
    async with serve() as service:
        await service.wait_ready()
    hub.requests.clear()
    async with serve(HF_HUB_OFFLINE="1") as service:
        await service.wait_ready()
    assert hub.requests == []


async def test_the_token_reaches_the_hub(serve: Serve, hub: FakeHub) -> None:
    async with serve(HF_TOKEN="hf_secret") as service:
        await service.wait_ready()
    assert hub.tokens == {"hf_secret"}


async def test_a_commit_that_the_operator_chose_is_used(
    serve: Serve, hub: FakeHub, tmp_path: Path
) -> None:
    async with serve(f"{REPOSITORY}@{COMMIT}") as service:
        await service.wait_ready()
    assert all(COMMIT in path for path in hub.requests)
    assert not (tmp_path / "data" / "revisions.json").exists()


async def test_the_commit_of_a_branch_is_remembered(
    serve: Serve, hub: FakeHub, tmp_path: Path
) -> None:
    async with serve(f"{REPOSITORY}@other-branch") as service:
        await service.wait_ready()
    assert any("other-branch" in path for path in hub.requests)
    assert revisions(tmp_path) == {f"{REPOSITORY}@other-branch": COMMIT}
