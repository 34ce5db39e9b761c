"""From a name in the catalogue to a model: folders, a hub on loopback, and each way it can fail."""

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

from inference import Img2ImgResult, LocalService, ModelUnavailable
from inference.models import MODELS, ModelEntry, find_model
from inference.pipelines import random_tiny
from inference.pipelines.load import load_pipeline
from tests.support.requests import request

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
        result = await service.generate(request(preview=True, return_depth=True))
        assert isinstance(result, Img2ImgResult)
        assert (service.status.device, service.status.dtype) == ("cpu", "float32")
        assert service.status.slots == 1


@pytest.mark.parametrize(("batch_rows", "slots"), [(0, 4), (6, 3)])
async def test_on_a_cpu_as_many_run_at_once_as_the_catalogue_or_the_operator_says(
    tmp_path: Path, batch_rows: int, slots: int
) -> None:
    assert find_model("pocket").cpu_requests == 4
    async with LocalService(
        model="pocket", dtype="float32", device="cpu", batch_rows=batch_rows, cache_dir=tmp_path
    ) as service:
        await service.wait_ready()
        assert service.status.slots == slots


@pytest.mark.filterwarnings("ignore")
def test_an_old_index_that_names_a_class_long_gone_still_loads(saved: Path, tmp_path: Path) -> None:
    """As the public mirror of Stable Diffusion 2 depth has it."""
    old = shutil.copytree(saved, tmp_path / "old")
    index = json.loads((old / "model_index.json").read_text())
    index["feature_extractor"] = ["transformers", "DPTFeatureExtractor"]
    (old / "model_index.json").write_text(json.dumps(index))
    path = old / "feature_extractor" / "preprocessor_config.json"
    config = json.loads(path.read_text())
    del config["image_processor_type"]
    path.write_text(json.dumps(config | {"feature_extractor_type": "DPTFeatureExtractor"}))
    assert type(load(old, tmp_path).feature_extractor).__name__.startswith("DPTImageProcessor")


def test_the_catalogue_s_scheduler_takes_the_place_of_the_one_in_the_folder(
    saved: Path, tmp_path: Path
) -> None:
    entry = dataclasses.replace(find_model("sd2-depth"), source=str(saved))
    pipe = load_pipeline(entry, CPU, torch.float32, tmp_path, lambda _: None)
    assert type(pipe.scheduler).__name__ == "DPMSolverMultistepScheduler"
    assert pipe.scheduler.config.use_karras_sigmas
    assert pipe.scheduler.config.beta_schedule == "scaled_linear"


def broken_by(damage: str, folder: Path) -> None:
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
        case "not a pipeline that redraws":
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
    ("damage", "said"),
    [
        ("no safetensors", "safetensors"),
        ("no unet", "cannot be loaded"),
        ("half a file", "damaged"),
        ("not a pipeline that redraws", "not a pipeline"),
        ("an index that is no JSON", "cannot be loaded"),
        ("code of its own", "not a pipeline"),
    ],
)
def test_a_folder_that_does_not_load_is_told_in_one_sentence(
    saved: Path, tmp_path: Path, damage: str, said: str
) -> None:
    folder = shutil.copytree(saved, tmp_path / "model")
    broken_by(damage, folder)
    with pytest.raises(ModelUnavailable, match=said) as told:
        load(folder, tmp_path)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("x"), RuntimeError("out of memory")])
def test_a_model_too_large_for_the_device_is_told(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def no_room(*_: object) -> None:
        raise error

    monkeypatch.setattr("diffusers.StableDiffusionDepth2ImgPipeline.to", no_room)
    with pytest.raises(ModelUnavailable, match="does not fit the memory"):
        load(saved, tmp_path)


def test_a_name_that_is_nothing_is_told_with_the_catalogue() -> None:
    with pytest.raises(ModelUnavailable, match=r"neither.*sd2-depth"):
        find_model("sd3-depth")


class Hub:
    """A model hub of one repository, as far as its client asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commit = COMMIT
        self.refuse: tuple[int, str] | None = None
        self.asked: list[str] = []
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

    async def _info(self, asked: web.Request) -> web.Response:
        self.asked.append(asked.path)
        files = [p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*.*")]
        siblings = [{"rfilename": name} for name in sorted(files)]
        return self._refusal() or web.json_response(
            {"id": "some/model", "modelId": "some/model", "sha": self.commit, "siblings": siblings}
        )

    async def _tree(self, asked: web.Request) -> web.Response:
        self.asked.append(asked.path)
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

    async def _file(self, asked: web.Request) -> web.StreamResponse:
        self.asked.append(asked.path)
        path = self.folder / asked.match_info["path"]
        if not path.is_file():
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{abs(hash(path)):x}"', "X-Repo-Commit": asked.match_info["commit"]}
        return self._refusal() or web.Response(body=path.read_bytes(), headers=headers)


@pytest.fixture
async def hub(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    hub = Hub(saved)
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
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    # The repository moves on; then the hub is gone. The model stays what it was.
    hub.commit = "f" * 40
    hub.asked.clear()
    async with serving_from_hub(tmp_path, monkeypatch) as service:
        await service.wait_ready()
        assert isinstance(await service.generate(request()), Img2ImgResult)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("refuse", "said"),
    [
        ((403, "GatedRepo"), "gated.*HF_TOKEN"),
        ((404, "RepoNotFound"), "not there"),
    ],
)
async def test_what_the_hub_refuses_is_told_with_what_to_do(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refuse: tuple[int, str],
    said: str,
) -> None:
    hub.refuse = refuse
    async with serving_from_hub(tmp_path, monkeypatch) as service:
        with pytest.raises(ModelUnavailable, match=said):
            await service.wait_ready()


@pytest.mark.parametrize("offline", [True, False])
async def test_without_a_network_the_first_start_says_so(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, offline: bool
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("HF_HUB_OFFLINE", str(int(offline)))
    async with serving_from_hub(tmp_path, monkeypatch) as service:
        with pytest.raises(ModelUnavailable, match="cannot be reached"):
            await service.wait_ready()


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("inference.pipelines.load._folder", full)
    with pytest.raises(ModelUnavailable, match="disk is full"):
        load_pipeline(find_model("sd15"), CPU, torch.float32, tmp_path, print)
