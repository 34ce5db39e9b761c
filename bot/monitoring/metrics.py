"""Prometheus metrics of the bot. `bot.monitoring.endpoints` serves them.

Names and units follow https://prometheus.io/docs/practices/naming/. Labels never hold ids of
users, servers or jobs: their number would grow without a limit.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from bot.jobs.budgets import Charge
from bot.jobs.job import Job
from bot.jobs.queue import FairQueue
from bot.monitoring.collector import ServiceCollector
from inference import ImageResult, InferenceService, ServiceState

# Discord ends an interaction that is not acknowledged within 3 s.
ACKNOWLEDGEMENT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
# From a fast GPU with an empty queue to an hour's wait.
ANSWER_BUCKETS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Metrics:
    """All metrics, in a registry of their own. The methods are called where the events happen."""

    def __init__(self) -> None:
        # Without a second series for the start time of each.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._acknowledgement = Histogram(
            "redraw_acknowledgement_seconds",
            "From an interaction's creation, by Discord's clock, to its acknowledgement.",
            buckets=ACKNOWLEDGEMENT_BUCKETS,
            registry=registry,
        )
        self._answer = Histogram(
            "redraw_answer_seconds",
            "From a job's acceptance to its answer.",
            ["outcome"],
            buckets=ANSWER_BUCKETS,
            registry=registry,
        )
        self._pictures = Counter("redraw_pictures", "Pictures that were made.", registry=registry)
        self._steps = Counter(
            "redraw_denoising_steps", "Denoising steps of all pictures.", registry=registry
        )
        self._inference = Counter(
            "redraw_inference_seconds",
            "Seconds that requests spent in the engine, by phase; requests of one batch overlap.",
            ["phase"],
            registry=registry,
        )
        self._device = Counter(
            "redraw_device_seconds",
            "Device seconds that were charged, by model and by what became of the picture: made, "
            "refused by the image check, or cancelled.",
            ["model", "outcome"],
            registry=registry,
        )
        self._refused = Counter(
            "redraw_requests_refused",
            "Requests that were refused with a sentence, by the error's name.",
            ["reason"],
            registry=registry,
        )
        self._failed = Counter(
            "redraw_jobs_failed",
            "Accepted jobs that ended without a picture, by the failure's name.",
            ["reason"],
            registry=registry,
        )
        self._discord_errors = Counter(
            "redraw_discord_errors",
            "Errors of Discord while answers were delivered, by HTTP status and error code.",
            ["status", "code"],
            registry=registry,
        )
        self._discord_replies = Counter(
            "redraw_discord_http_responses",
            "Discord's HTTP responses by status. 10,000 of 401, 403 and 429 in ten minutes ban the "
            "address.",
            ["status"],
            registry=registry,
        )
        self._storage_full = Counter(
            "redraw_storage_full", "Writes that found no space on the disk.", registry=registry
        )
        self._lag = Histogram(
            "redraw_event_loop_lag_seconds",
            "How late the event loop runs a task that is due.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )

    def watch(
        self,
        *,
        queue: FairQueue,
        service: InferenceService,
        connected: Callable[[], bool],
        data_dir: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Add the metrics that are read from the running bot when they are collected."""

        def oldest() -> float:
            return max((clock() - job.created_at for job in queue.order()), default=0.0)

        gauges: dict[str, tuple[str, Callable[[], float]]] = {
            "redraw_jobs_waiting": ("Jobs that wait.", lambda: len(queue)),
            "redraw_jobs_running": ("Jobs that run.", lambda: len(queue.running)),
            "redraw_oldest_waiting_job_age_seconds": ("Age of the oldest waiting job.", oldest),
            "redraw_batch_slots": (
                "Requests that fill the engine's batch.",
                lambda: service.status.slots,
            ),
            "redraw_gateway_connected": ("1 if connected to Discord's gateway.", connected),
            "redraw_data_free_bytes": (
                "Free space on the disk with the jobs and pictures.",
                lambda: shutil.disk_usage(data_dir).free,
            ),
        }
        for name, (text, read) in gauges.items():
            Gauge(name, text, registry=self.registry).set_function(read)
        self._model_state = Enum(
            "redraw_model_state",
            "State of the inference service.",
            states=[str(state) for state in ServiceState],
            registry=self.registry,
        )
        self._service = service
        self.registry.register(ServiceCollector(service))

    def acknowledged(self, seconds: float) -> None:
        """An interaction was acknowledged after so many seconds."""
        self._acknowledgement.observe(seconds)

    def answered(self, job: Job, now: float) -> None:
        """A job's user was answered at `now`, in seconds since the epoch."""
        self._answer.labels(outcome=job.state).observe(max(0.0, now - job.created_at))

    def picture_made(self, result: ImageResult) -> None:
        """The engine returned a picture."""
        self._pictures.inc()
        self._steps.inc(result.steps_run)
        timings = result.timings
        for phase in ("prepare", "steps", "decode"):
            self._inference.labels(phase=phase).inc(getattr(timings, phase))

    def device_used(
        self, model: str, outcome: Literal["made", "refused", "cancelled"], charge: Charge
    ) -> None:
        """A picture of the model was charged."""
        self._device.labels(model=model, outcome=outcome).inc(charge.seconds)

    def request_refused(self, error: Exception) -> None:
        """A request was refused with the error's sentence."""
        self._refused.labels(reason=type(error).__name__).inc()

    def refusals(self) -> dict[str, int]:
        """The name of an error → how many requests it refused since the start."""
        return {
            sample.labels["reason"]: int(sample.value)
            for metric in self._refused.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }

    def job_failed(self, failure: Exception) -> None:
        """An accepted job ended without a picture."""
        self._failed.labels(reason=type(failure).__name__).inc()

    def discord_error(self, status: int, code: int) -> None:
        """Discord answered an attempt to deliver with an error."""
        self._discord_errors.labels(status=str(status), code=str(code)).inc()

    def discord_replied(self, status: int) -> None:
        """Discord replied to an HTTP request."""
        self._discord_replies.labels(status=str(status)).inc()

    def storage_full(self) -> None:
        """A write found no space on the disk."""
        self._storage_full.inc()

    def event_loop_lag(self, seconds: float) -> None:
        """A task ran so many seconds after it was due."""
        self._lag.observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format.

        https://prometheus.io/docs/instrumenting/exposition_formats/
        """
        self._model_state.state(str(self._service.status.state))
        return generate_latest(self.registry)
