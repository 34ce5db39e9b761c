"""Models whose files are not on the disk: the other models are served during their download."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest

from inference.errors import FullPrecisionMissing, HubUnreachable, ModelNotLoaded
from inference.model_entry import ModelEntry
from inference.service import DownloadProgress, ModelState, ModelStatus
from inference.worker.excluded import RETRY_SECONDS
from inference.worker.messages import ModelStates
from tests.integration.inference.pool.conftest import Pool

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


def test_the_worker_starts_if_only_the_files_of_the_second_model_can_be_downloaded() -> None:
    executor, files = HeldExecutor(), Files("a", "b", "c")
    pool = Pool(files=files, downloader=executor)
    in_full_precision(pool, files, "a", "b", "c")
    pool.errors["a"].append(HubUnreachable("The hub does not answer."))
    pool.pool.start()
    assert pool.loaded == ["b"]
    assert status(pool, "a").state is ModelState.FAILED


def test_the_error_of_a_start_says_why_the_files_cannot_be_downloaded() -> None:
    pool = Pool(files=Files("a", "b", "c"), downloader=HeldExecutor())
    for name in "abc":
        pool.errors[name] = [FullPrecisionMissing(name), HubUnreachable(name)]
    with pytest.raises(HubUnreachable, match="a"):
        pool.pool.start()
