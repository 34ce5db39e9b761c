"""Loading a model: from folders and from a fake hub, and every way in which it can fail."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from aiohttp import web

from inference import (
    DiskFull,
    HubUnreachable,
    Img2ImgResult,
    InvalidModel,
    LocalService,
    ModelGated,
    ModelNotOnHub,
    ModelTooLarge,
    ModelUnavailable,
    UnknownModel,
)
from inference.models import MODELS, ModelEntry, find_model
from inference.pipelines import random_tiny
from inference.pipelines.load import load_pipeline
from tests.support.requests import request as make_request

CPU = torch.device("cpu")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_tiny.save(tmp_path_factory.mktemp("saved"))


def load(folder: Path, cache: Path) -> Any:
    return load_pipeline(find_model(str(folder)), CPU, torch.float32, cache, lambda _: None)


async def test_a_folder_serves_as_a_model(saved: Path, tmp_path: Path) -> None:
    async with LocalService(
        model=str(saved), dtype="float32", device="cpu", cache_dir=tmp_path
    ) as service:
        result = await service.generate(make_request(preview=True, return_depth=True))
        assert isinstance(result, Img2ImgResult)
        assert (service.status.device, service.status.dtype) == ("cpu", "float32")
        assert service.status.slots == 1


@pytest.mark.parametrize(("batch_rows", "slots"), [(0, 4), (6, 3)])
async def test_on_a_cpu_the_catalogue_or_batch_rows_decides_how_many_run_at_once(
    tmp_path: Path, batch_rows: int, slots: int
) -> None:
    assert find_model("pocket").cpu_requests == 4
    async with LocalService(
        model="pocket", dtype="float32", device="cpu", batch_rows=batch_rows, cache_dir=tmp_path
    ) as service:
        await service.wait_ready()
        assert service.status.slots == slots


@pytest.mark.filterwarnings("ignore")
def test_an_old_index_with_a_class_that_no_longer_exists_still_loads(
    saved: Path, tmp_path: Path
) -> None:
    """The public mirror of Stable Diffusion 2 depth has such an index."""
    old = shutil.copytree(saved, tmp_path / "old")
    index = json.loads((old / "model_index.json").read_text())
    index["feature_extractor"] = ["transformers", "DPTFeatureExtractor"]
    (old / "model_index.json").write_text(json.dumps(index))
    path = old / "feature_extractor" / "preprocessor_config.json"
    config = json.loads(path.read_text())
    del config["image_processor_type"]
    path.write_text(json.dumps(config | {"feature_extractor_type": "DPTFeatureExtractor"}))
    assert type(load(old, tmp_path).feature_extractor).__name__.startswith("DPTImageProcessor")


def test_the_catalogue_s_scheduler_replaces_the_one_in_the_folder(
    saved: Path, tmp_path: Path
) -> None:
    entry = dataclasses.replace(find_model("sd2-depth"), source=str(saved))
    pipe = load_pipeline(entry, CPU, torch.float32, tmp_path, lambda _: None)
    assert type(pipe.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert pipe.scheduler.config.use_karras_sigmas
    assert pipe.scheduler.config.beta_schedule == "scaled_linear"


def damage_folder(damage: str, folder: Path) -> None:
    match damage:
        case "no safetensors":
            for path in folder.rglob("*.safetensors"):
                torch.save({}, path.with_suffix(".bin"))
                path.unlink()
        case "no unet":
            shutil.rmtree(folder / "unet")
        case "half a file":
            path = folder / "unet" / "diffusion_pytorch_model.safetensors"
            path.write_bytes(path.read_bytes()[:1000])
        case "not image-to-image":
            index = json.loads((folder / "model_index.json").read_text())
            index["_class_name"] = "AudioLDMPipeline"
            (folder / "model_index.json").write_text(json.dumps(index))
        case "an index that is no JSON":
            (folder / "model_index.json").write_text("{")
        case "code of its own":
            index = json.loads((folder / "model_index.json").read_text())
            index["_class_name"] = ["pipeline", "Own"]
            (folder / "model_index.json").write_text(json.dumps(index))
            (folder / "pipeline.py").write_text("raise SystemExit('ran')")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no safetensors", "safetensors"),
        ("no unet", "cannot be loaded"),
        ("half a file", "damaged"),
        ("not image-to-image", "not an image-to-image pipeline"),
        ("an index that is no JSON", "cannot be loaded"),
        ("code of its own", "not an image-to-image pipeline"),
    ],
)
def test_a_folder_that_does_not_load_gives_one_sentence(
    saved: Path, tmp_path: Path, damage: str, message: str
) -> None:
    folder = shutil.copytree(saved, tmp_path / "model")
    damage_folder(damage, folder)
    with pytest.raises(InvalidModel, match=message) as error:
        load(folder, tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("x"), RuntimeError("out of memory")])
def test_a_model_too_large_for_the_device_is_reported(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def out_of_memory(*_: object) -> None:
        raise error

    monkeypatch.setattr("diffusers.StableDiffusionDepth2ImgPipeline.to", out_of_memory)
    with pytest.raises(ModelTooLarge, match="does not fit the free memory"):
        load(saved, tmp_path)


def test_the_error_for_an_unknown_name_lists_the_catalogue() -> None:
    with pytest.raises(UnknownModel, match=r"neither.*sd2-depth"):
        find_model("sd3-depth")


class FakeHub:
    """A model hub with one repository: the routes that huggingface_hub uses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commit = COMMIT
        self.refuse: tuple[int, str] | None = None
        self.requests: list[str] = []
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{name}/tree/{commit}", self._tree)
        app.router.add_get("/api/models/{owner}/{name}{rest:.*}", self._info)
        app.router.add_get("/{owner}/{name}/resolve/{commit}/{path:.+}", self._file)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server: Any = site._server
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    def _refusal(self) -> web.Response | None:
        if self.refuse is None:
            return None
        status, code = self.refuse
        return web.Response(status=status, headers={"X-Error-Code": code}, text=code)

    async def _info(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        files = [p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*.*")]
        siblings = [{"rfilename": name} for name in sorted(files)]
        return self._refusal() or web.json_response(
            {"id": "some/model", "modelId": "some/model", "sha": self.commit, "siblings": siblings}
        )

    async def _tree(self, request: web.Request) -> web.Response:
        self.requests.append(request.path)
        entries = [
            {
                "type": "file",
                "path": path.relative_to(self.folder).as_posix(),
                "size": path.stat().st_size,
                "oid": f"{abs(hash(path)):x}",
            }
            for path in sorted(self.folder.rglob("*.*"))
        ]
        return web.json_response(entries)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path)
        path = self.folder / request.match_info["path"]
        if not path.is_file():
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{abs(hash(path)):x}"', "X-Repo-Commit": self.commit}
        return self._refusal() or web.Response(body=path.read_bytes(), headers=headers)


@pytest.fixture
async def hub(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[FakeHub]:
    hub = FakeHub(saved)
    async with hub.open():
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
        yield hub


@asynccontextmanager
async def serving_from_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LocalService]:
    entry = ModelEntry(name="some", source="some/model", licence="MIT", pixels=64 * 64)
    monkeypatch.setitem(MODELS, "some", entry)
    async with LocalService(
        model="some", dtype="float32", device="cpu", cache_dir=tmp_path / "data"
    ) as service:
        yield service


async def test_a_model_is_downloaded_once_and_its_revision_kept(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    details = set()
    async with serving_from_hub(tmp_path, monkeypatch) as service:
        ready = asyncio.create_task(service.wait_ready())
        while not ready.done():
            details.add(service.status.detail)
            await asyncio.sleep(0.02)
        await ready
    assert details >= {"loading the model", "downloading some/model"}
    kept = json.loads((tmp_path / "data" / "revisions.json").read_text())
    assert kept == {"some/model": COMMIT}
    # The repository gets a new commit, but the stored one is used, without asking the hub.
    hub.commit = "f" * 40
    hub.requests.clear()
    async with serving_from_hub(tmp_path, monkeypatch) as service:
        await service.wait_ready()
        assert isinstance(await service.generate(make_request()), Img2ImgResult)
    assert hub.requests == []


@pytest.mark.parametrize(
    ("refuse", "error_type"),
    [
        ((403, "GatedRepo"), ModelGated),
        ((404, "RepoNotFound"), ModelNotOnHub),
    ],
)
async def test_a_refusal_of_the_hub_has_an_error_class(
    hub: FakeHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refuse: tuple[int, str],
    error_type: type[ModelUnavailable],
) -> None:
    hub.refuse = refuse
    async with serving_from_hub(tmp_path, monkeypatch) as service:
        with pytest.raises(error_type):
            await service.wait_ready()


@pytest.mark.parametrize("offline", [True, False])
async def test_the_first_start_without_a_network_is_reported(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, offline: bool
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HF_HUB_OFFLINE", str(int(offline)))
    async with serving_from_hub(tmp_path, monkeypatch) as service:
        with pytest.raises(HubUnreachable, match="cannot be reached"):
            await service.wait_ready()


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("inference.pipelines.load._folder", full)
    with pytest.raises(DiskFull, match="disk is full"):
        load_pipeline(find_model("sd15"), CPU, torch.float32, tmp_path, print)
