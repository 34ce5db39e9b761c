"""Several models in one worker: one thread, one engine for each loaded model, loaded on demand.

The thread owns the device. It gives each loaded engine with work one turn after the other (a
denoiser call, or a whole pipeline call), holds the requests of the other models back, and executes
the decisions of `inference.pool.switching`.

A model that moves out is deleted from memory, and loaded again from its files when it is needed.
safetensors files are mapped into memory, so that the system keeps them in its cache while no other
program needs that memory. A copy of the weights in main memory would need a budget of its own.
A model that is not on the disk is downloaded in another thread, while the others are served.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial

from inference.errors import DeviceNotFound, FullPrecisionMissing, ModelTooLarge, OutOfMemory
from inference.model_entry import ModelEntry
from inference.pipelines.devices import is_out_of_memory, release_memory
from inference.pool.downloads import NO_DOWNLOADS, DownloadNews, ModelDownloads, ModelFiles
from inference.pool.loading import try_to_load
from inference.pool.member import PooledModel
from inference.pool.sizes import model_size
from inference.pool.switching import ModelSize, Switch, SwitchPolicy
from inference.types import ImageResult
from inference.worker.excluded import ExcludedModel
from inference.worker.messages import (
    Cancel,
    Command,
    Event,
    Failed,
    Loading,
    ModelEngine,
    ModelStates,
    Ready,
    Started,
    Statistics,
    Stop,
    Submit,
)

log = logging.getLogger(__name__)

Report = Callable[[Event | Loading | ModelStates], None]
Load = Callable[[ModelEntry, Report], tuple[ModelEngine, Ready]]


class ModelPool:
    """An engine that runs requests of several models; the first of `entries` is the default.

    `load` builds a model's engine, which then reports to the given function; `clock` gives seconds.
    The `excluded` models count as models that could not be loaded. `files` tells which models are
    on the disk, and downloads the others; `downloader` runs the downloads.
    """

    def __init__(
        self,
        entries: tuple[ModelEntry, ...],
        load: Load,
        policy: SwitchPolicy,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
        excluded: Sequence[ExcludedModel] = (),
        files: ModelFiles = NO_DOWNLOADS,
        downloader: Executor | None = None,
    ) -> None:
        self.policy = policy
        self._load = load
        self._report = report
        self._clock = clock
        self._models = {entry.name: PooledModel(entry) for entry in entries}
        self._default = entries[0].name
        self._inbox: queue.SimpleQueue[tuple[float, Command | DownloadNews]] = queue.SimpleQueue()
        self._downloads = ModelDownloads(
            files, lambda news: self._inbox.put((clock(), news)), downloader
        )
        # Replaced, not changed, because `post` reads it in other threads.
        self._engines: tuple[ModelEngine, ...] = ()
        # Models that move out as soon as their engines are idle.
        self._leaving: tuple[str, ...] = ()
        self._ended_statistics = Statistics()
        self._stopping = False
        for each in excluded:
            model = self._models[each.name]
            model.failure, model.retry_at = each.failure, clock() + each.retry_seconds

    def post(self, command: Command) -> None:
        """Accept a command. May be called from any thread and never blocks."""
        self._inbox.put((self._clock(), command))
        if not isinstance(command, Submit):
            # A turn may take long; an engine notices these during its turn.
            for engine in self._engines:
                engine.post(command)

    def start(self) -> Ready:
        """Load the default model or, if that fails, the next one that can be loaded. An excluded
        model is loaded only if all are excluded, and one that must be downloaded first, or again
        in full precision, only if no other one can be loaded.

        Raises:
            DeviceNotFound: by the first model.
            Exception: none can be loaded; the first error of a loading. Or a device fault.
        """
        first: Exception | None = None
        models = list(self._models.values())
        usable = [each for each in models if not each.failure] or models
        usable.sort(key=lambda each: not self._downloads.are_local(each.entry))
        for model in usable:
            loaded = try_to_load(model.entry.name, partial(self._load_model, model))
            if isinstance(loaded, Ready):
                if not models[0].failure:
                    self._is_downloading(models[0])
                return loaded
            if isinstance(loaded, DeviceNotFound):
                raise loaded
            self._loading_failed(model, loaded)
            if isinstance(loaded, FullPrecisionMissing):
                usable.append(model)
            else:
                first = first or loaded
        assert first is not None
        raise first

    def run(self) -> None:
        """Serve until stopped. Raises the error of a device fault."""
        try:
            while not self._stopping:
                self.turn()
        finally:
            self._downloads.close()
            for engine in self._engines:
                engine.close()

    def turn(self) -> None:
        """Handle commands, switch models if it is time, and give each engine one turn."""
        self._receive()
        if self._stopping:
            return
        self._switch()
        for model in self._models.values():
            self._forward(model)
            if model.engine is not None and not model.engine.idle:
                model.engine.turn()

    @property
    def _idle(self) -> bool:
        """Whether there is nothing to do before the next command."""
        return not any(
            model.is_busy or (model.waiting and not model.downloading)
            for model in self._models.values()
        )

    def _receive(self) -> None:
        block = self._idle
        while True:
            try:
                arrived_at, command = self._inbox.get(block=block)
            except queue.Empty:
                return
            block = False
            match command:
                case Submit(request=request):
                    name = request.model or self._default
                    self._models[name].waiting.append((arrived_at, request))
                case Cancel(id=request_id):
                    for model in self._models.values():
                        model.cancel(request_id)
                case DownloadNews(model=name):
                    self._handle_download(self._models[name], command)
                case Stop():
                    self._stopping = True
                    return

    def _forward(self, model: PooledModel) -> None:
        """Give waiting requests to the model's engine, as many as it runs at once."""
        if model.engine is None or model.entry.name in self._leaving:
            return
        while model.waiting and len(model.in_engine) < model.slots:
            arrived_at, request = model.waiting.popleft()
            model.in_engine[request.id] = arrived_at, request
            model.engine.post(Submit(request))

    def _switch(self) -> None:
        now = self._clock()
        waiting = {}
        for name, model in self._models.items():
            if model.waiting and model.failure and now < model.retry_at:
                model.fail_waiting(self._report)
            elif model.waiting and not self._is_downloading(model):
                waiting[name] = model.waiting[0][0]
        running = [name for name, model in self._models.items() if model.is_busy]
        switch = self.policy.next_switch(waiting, running, now)
        self._leaving = switch.unload if switch is not None else ()
        if switch is not None and switch.ready:
            self._perform(switch)

    def _is_downloading(self, model: PooledModel) -> bool:
        """Whether the model has to be downloaded first. Its end counts when the news arrived."""
        if model.engine is not None:
            return False
        if not model.downloading and self._downloads.is_running(model.entry):
            model.downloading, model.failure = True, ""
            self._report_states()
        return model.downloading

    def _handle_download(self, model: PooledModel, news: DownloadNews) -> None:
        model.downloading, model.download = news.progress is not None, news.progress
        if news.error is not None:
            self._set_failed(model, news.error)
        self._report_states()

    def _perform(self, switch: Switch) -> None:
        for name in switch.unload:
            self._unload(self._models[name])
        self._leaving, model = (), self._models[switch.load]
        # What the allocator keeps would count as used when the free memory is measured.
        release_memory()
        failure = try_to_load(model.entry.name, partial(self._load_model, model))
        if not isinstance(failure, Ready):
            self._loading_failed(model, failure)

    def _loading_failed(self, model: PooledModel, error: Exception) -> None:
        memory = isinstance(error, ModelTooLarge) or is_out_of_memory(error)
        if isinstance(error, FullPrecisionMissing):
            log.warning("%s", error)
            self._downloads.need_other_files(model.entry)
        elif memory and self.policy.loaded:
            # It may fit alone: it is loaded again when all others have moved out.
            self.policy.set_size(model.entry.name, ModelSize(weights=self.policy.budget))
        else:
            self._set_failed(model, error)
        self._report_states()

    def _load_model(self, model: PooledModel) -> Ready:
        name = model.entry.name
        model.loading_since, model.failure = self._clock(), ""
        self._report_states()
        try:
            engine, ready = self._load(model.entry, partial(self._handle, model))
            seconds = (now := self._clock()) - model.loading_since
        finally:
            model.loading_since = None
        model.engine, model.slots = engine, ready.slots
        model.loads += 1
        self._engines = (*self._engines, engine)
        size = model_size(model.entry, ready.device, ready.dtype != "float32", ready.weights)
        self.policy.set_size(name, size)
        self.policy.was_loaded(name, seconds=seconds, now=now)
        log.info("%s was loaded in %.1f s", name, seconds)
        self._report_states()
        return ready

    def _unload(self, model: PooledModel) -> None:
        log.info("%s moves out of memory", model.entry.name)
        self._ended_statistics += model.unload()
        self._engines = tuple(each.engine for each in self._models.values() if each.engine)
        self.policy.was_unloaded(model.entry.name)

    def _set_failed(self, model: PooledModel, error: Exception) -> None:
        model.set_failed(error, self._clock())
        model.fail_waiting(self._report)

    def _handle(self, model: PooledModel, event: Event | Loading | ModelStates) -> None:
        """Pass on what the model's engine reports."""
        match event:
            case Failed(id=request_id, error=OutOfMemory()) if self._make_room(model, request_id):
                return
            case Started():
                self.policy.was_used(model.entry.name, self._clock())
            case ImageResult(id=request_id) | Failed(id=request_id):
                model.request_ended(request_id)
            case Loading(download=download) if download is not None:
                model.loading_since = self._clock()
            case Statistics():
                model.statistics = event
                event = sum(
                    (each.statistics for each in self._models.values()), self._ended_statistics
                )
        self._report(event)

    def _make_room(self, model: PooledModel, request_id: str) -> bool:
        """Unload the idle models for a request that lacks memory, and try it once more."""
        idle = [each for each in self._models.values() if each is not model and each.is_idle]
        if not idle or not model.retry(request_id):
            return False
        for each in idle:
            self._unload(each)
        release_memory()
        self._report_states()
        return True

    def _report_states(self) -> None:
        seconds = self.policy.load_seconds
        states = [model.status(seconds(name)) for name, model in self._models.items()]
        self._report(ModelStates(tuple(states)))
