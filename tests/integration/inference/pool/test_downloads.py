"""Models whose files are not on the disk: the other models are served during their download."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from inference.errors import FullPrecisionMissing, HubUnreachable, ModelNotLoaded
from inference.families import build
from inference.model_entry import ModelEntry
from inference.models import find_model
from inference.pipelines import random_tiny
from inference.pool.build import build_engine
from inference.pool.pool import ModelPool
from inference.service import DownloadProgress, ModelState, ModelStatus
from inference.types import ImageResult
from inference.worker.excluded import RETRY_SECONDS
from inference.worker.messages import Failed, ModelStates, Stop, Submit, WorkerConfig
from tests.integration.inference.pool.conftest import Pool
from tests.support.hub.fake_hub import REPOSITORY, FakeHub
from tests.support.requests import request

PROGRESS = DownloadProgress(files=1, total_files=4, bytes=1, total_bytes=4, seconds_left=30.0)


class HeldExecutor(Executor):
    """Runs a call when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - raised by `Future.result`
                future.set_exception(error)

        self.calls.append(run)
        return future

    def run_next(self) -> None:
        self.calls.pop(0)()


class Files:
    """The files of the models a, b and c; `errors` are those of the next downloads."""

    def __init__(self, *local: str) -> None:
        self.local = set(local)
        self.errors: list[Exception] = []

    def are_local(self, entry: ModelEntry) -> bool:
        return entry.name in self.local

    def download(self, entry: ModelEntry, report: Callable[[DownloadProgress], None]) -> None:
        report(PROGRESS)
        if self.errors:
            raise self.errors.pop(0)
        self.local.add(entry.name)


def pool_with(files: Files, executor: Executor) -> Pool:
    pool = Pool(files=files, downloader=executor)
    pool.pool.start()
    return pool


def status(pool: Pool, name: str) -> ModelStatus:
    return next(each for each in pool.models() if each.name == name)


def test_loaded_models_are_served_while_another_one_is_downloaded() -> None:
    executor = HeldExecutor()
    pool = pool_with(Files("a"), executor)
    pool.submit("b1", "a1", "a2", "a3")
    pool.run("a1", "a2", "a3")
    assert pool.loaded == ["a"]
    assert status(pool, "b").state is ModelState.DOWNLOADING
    executor.run_next()
    pool.run("b1")
    assert pool.loaded == ["a", "b"]
    assert status(pool, "b").download is None


def test_the_progress_of_a_download_is_reported() -> None:
    executor = HeldExecutor()
    pool = pool_with(Files("a"), executor)
    pool.submit("b1")
    pool.turns(1)
    executor.run_next()
    pool.run("b1")
    seen = [each.models[1] for each in pool.reports if isinstance(each, ModelStates)]
    assert [each.download for each in seen if each.state is ModelState.DOWNLOADING] == [
        None,
        PROGRESS,
    ]


def test_a_download_that_fails_ends_only_the_requests_of_its_model() -> None:
    executor, files = HeldExecutor(), Files("a")
    files.errors = [HubUnreachable("The hub cannot be reached.")]
    pool = pool_with(files, executor)
    pool.submit("b1", "a1", "b2")
    pool.run("a1")
    executor.run_next()
    pool.submit("a2")
    pool.run("b1", "b2", "a2")
    assert pool.results == ["a1", "a2"]
    assert isinstance(pool.failures["b1"], ModelNotLoaded)
    assert str(pool.failures["b2"]) == "b cannot be loaded: The hub cannot be reached."
    assert status(pool, "b").state is ModelState.FAILED
    pool.submit("b3")
    pool.run("b3")
    assert not executor.calls, "it was tried again at once"
    pool.now += RETRY_SECONDS
    pool.submit("b4")
    pool.turns(1)
    assert status(pool, "b").state is ModelState.DOWNLOADING
    executor.run_next()
    pool.run("b4")
    assert pool.results == ["a1", "a2", "b4"]


def test_a_download_that_ends_during_a_turn_is_not_started_again_in_it() -> None:
    executor, files = HeldExecutor(), Files("a")
    files.errors = [HubUnreachable("The hub cannot be reached.")]
    pool = pool_with(files, executor)
    pool.submit("c1")
    pool.turns(1)
    # The pool asks for the files of b before it looks at c.
    are_local = files.are_local

    def end_download(entry: ModelEntry) -> bool:
        if entry.name == "b" and len(executor.calls) == 1:
            executor.run_next()
        return are_local(entry)

    files.are_local = end_download  # type: ignore[method-assign]
    pool.submit("b1")
    pool.turns(1)
    assert len(executor.calls) == 1, "the download of b only"


def test_an_unexpected_error_of_a_download_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    executor, files = HeldExecutor(), Files("a")
    files.errors = [KeyError("tree")]
    pool = pool_with(files, executor)
    pool.submit("b1")
    pool.turns(1)
    executor.run_next()
    pool.run("b1")
    assert str(pool.failures["b1"]) == "b cannot be loaded: an unexpected error."
    assert "KeyError: 'tree'" in caplog.text


def test_downloads_follow_one_another() -> None:
    executor = HeldExecutor()
    pool = pool_with(Files("a"), executor)
    pool.submit("c1", "b1", "b2")
    pool.turns(1)
    assert {name: state for name, state in pool.states().items() if name != "a"} == {
        "b": ModelState.DOWNLOADING,
        "c": ModelState.DOWNLOADING,
    }
    assert len(executor.calls) == 2
    executor.run_next()
    executor.run_next()
    pool.run("c1", "b1", "b2")
    assert not executor.calls


def test_a_model_on_the_disk_starts_the_worker_while_the_default_is_downloaded() -> None:
    executor = HeldExecutor()
    pool = pool_with(Files("b"), executor)
    assert pool.loaded == ["b"]
    assert status(pool, "a").state is ModelState.DOWNLOADING
    pool.submit("a1", "b1")
    pool.run("b1")
    executor.run_next()
    pool.run("a1")
    assert pool.results == ["b1", "a1"]


def test_without_a_model_on_the_disk_the_default_is_loaded_first() -> None:
    """Its factory downloads it: there is no other model to serve."""
    executor = HeldExecutor()
    pool = pool_with(Files(), executor)
    assert pool.loaded == ["a"]
    assert not executor.calls


def in_full_precision(pool: Pool, files: Files, *names: str) -> None:
    """The first loading of these models finds that they need files that are not on the disk."""
    for name in names:
        pool.errors[name] = [FullPrecisionMissing("It is invalid in half precision.")]
    lacking = set(names)

    def remove(name: str, _report: object) -> None:
        if name in lacking:
            lacking.remove(name)
            files.local.remove(name)

    pool.on_load = remove


def test_files_in_full_precision_are_downloaded_while_other_models_are_served() -> None:
    executor, files = HeldExecutor(), Files("a", "b")
    pool = pool_with(files, executor)
    in_full_precision(pool, files, "b")
    pool.submit("b1")
    pool.turns(2)
    assert status(pool, "b").state is ModelState.DOWNLOADING
    pool.submit("a1", "a2")
    pool.run("a1", "a2")
    executor.run_next()
    pool.run("b1")
    assert pool.results == ["a1", "a2", "b1"]


def test_the_next_model_starts_the_worker_if_the_default_needs_other_files() -> None:
    executor, files = HeldExecutor(), Files("a", "b")
    pool = Pool(files=files, downloader=executor)
    in_full_precision(pool, files, "a")
    pool.pool.start()
    assert pool.loaded == ["b"]
    assert status(pool, "a").state is ModelState.DOWNLOADING


def test_without_another_model_the_factory_downloads_the_other_files() -> None:
    executor, files = HeldExecutor(), Files("a", "b", "c")
    pool = Pool(files=files, downloader=executor)
    in_full_precision(pool, files, "a", "b", "c")
    pool.pool.start()
    assert pool.loaded == ["a"]
    assert not executor.calls


class Running:
    """A pool with real models that runs in a thread, and the end of each request."""

    def __init__(self, hub: FakeHub, folder: Path, dtype: str) -> None:
        self.hub = hub
        self.pool: ModelPool
        self.states: list[ModelStatus] = []
        self._ended: dict[str, asyncio.Future[ImageResult]] = {}
        self._loop = asyncio.get_running_loop()
        self._config = WorkerConfig(
            entry=find_model("noise"),
            others=(find_model(REPOSITORY),),
            device="cpu",
            dtype=dtype,
            cache_dir=folder,
            factory_options={"model_factory": "inference.families.build:build_engine"},
        )

    def build(self) -> None:
        self.pool, _ = build_engine(self._config, self._report)

    def _report(self, event: object) -> None:
        match event:
            case ModelStates(models=models):
                self.states.append(models[1])
            case ImageResult(id=id_):
                self._loop.call_soon_threadsafe(self._ended[id_].set_result, event)
            case Failed(id=id_, error=error):
                self._loop.call_soon_threadsafe(self._ended[id_].set_exception, error)

    def state(self) -> ModelState:
        """The state of the model on the hub."""
        return self.states[-1].state

    async def reached(self, state: ModelState) -> None:
        """Wait until the newest state of the model on the hub is this one."""
        while self.state() is not state:  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.005)

    def submit(self, id_: str, model: str) -> asyncio.Future[ImageResult]:
        self._ended[id_] = self._loop.create_future()
        self.pool.post(Submit(replace(request(id_), model=model, steps=2)))
        return self._ended[id_]


@pytest.fixture
async def running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Running]:
    """The random model, and a model that is on a hub only, whose files are held back.

    A parameter is the precision. Half precision has files of its own.
    """
    dtype = getattr(request, "param", "float32")
    folder = random_tiny.save(tmp_path / "repository")
    if dtype != "float32":
        random_tiny.build().to(torch.float16).save_pretrained(folder, variant="fp16")
    hub = FakeHub(folder, held=asyncio.Event())
    async with hub.open():
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{repo_id}")
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "".join(template[1:])
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        made = Running(hub, tmp_path / "data", dtype)
        await asyncio.to_thread(made.build)
        thread = asyncio.create_task(asyncio.to_thread(made.pool.run))
        yield made
        assert hub.held is not None
        hub.held.set()
        made.pool.post(Stop())
        await thread


async def test_a_slow_hub_delays_only_the_requests_of_its_model(running: Running) -> None:
    waiting = running.submit("downloaded", REPOSITORY)
    for number in range(3):
        assert (await running.submit(f"noise {number}", "noise")).steps_run == 1
    assert running.state() is ModelState.DOWNLOADING
    assert not waiting.done()
    assert running.hub.held is not None
    running.hub.held.set()
    assert (await waiting).steps_run == 1
    assert running.state() is ModelState.LOADED


@pytest.mark.parametrize("running", ["bfloat16"], indirect=True)
async def test_a_slow_download_in_full_precision_delays_only_the_requests_of_its_model(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = running.hub.held
    assert held is not None
    loop = asyncio.get_running_loop()

    def only_in_float32(model: Any, _pixels: int) -> bool:
        # The files in full precision are held back, too.
        loop.call_soon_threadsafe(held.clear)
        return bool(model.dtype == torch.float32)

    monkeypatch.setattr(build, "gives_finite_values", only_in_float32)
    waiting = running.submit("downloaded", REPOSITORY)
    held.set()
    await running.reached(ModelState.LOADING)
    await running.reached(ModelState.DOWNLOADING)
    assert (await running.submit("noise", "noise")).steps_run == 1
    assert not waiting.done()
    held.set()
    assert (await waiting).steps_run == 1
    assert any("fp16" in name for name in running.hub.downloaded)
    assert "unet/diffusion_pytorch_model.safetensors" in running.hub.downloaded


async def test_a_refusal_of_the_hub_fails_only_the_requests_of_its_model(running: Running) -> None:
    running.hub.refuse = (404, "RepoNotFound")
    waiting = running.submit("downloaded", REPOSITORY)
    assert (await running.submit("noise", "noise")).steps_run == 1
    assert running.hub.held is not None
    running.hub.held.set()
    with pytest.raises(ModelNotLoaded, match="no repository some/model, or it is private"):
        await waiting
    assert (await running.submit("noise again", "noise")).steps_run == 1
