"""The counts of the inference service as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from inference import InferenceService, ModelState, ReplicaSnapshot, ServiceState


class ServiceCollector(Collector):
    """The counts of the inference service, read when the metrics are collected."""

    def __init__(self, service: InferenceService) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """One sample for each metric."""
        status = self._service.status
        counts = {
            "redraw_worker_restarts": ("Workers that replaced another one.", status.restarts),
            "redraw_denoiser_calls": ("Calls of the denoising network.", status.denoiser_calls),
            "redraw_denoiser_rows": ("Rows in these calls.", status.denoiser_rows),
        }
        for name, (text, value) in counts.items():
            yield CounterMetricFamily(name, text, value=value)
        yield GaugeMetricFamily(
            "redraw_worker_resident_memory_bytes",
            "Resident memory of the worker process; 0 without one.",
            value=_resident_memory(status.worker_pid),
        )
        loads = CounterMetricFamily(
            "redraw_model_loads", "How often a model was loaded.", labels=["model"]
        )
        loaded = GaugeMetricFamily(
            "redraw_model_loaded",
            "1 if the model is in memory; of a fleet, in that of any replica.",
            labels=["model"],
        )
        seconds = GaugeMetricFamily(
            "redraw_model_load_seconds", "How long the last loading took.", labels=["model"]
        )
        for model in status.models:
            loads.add_metric([model.name], model.loads)
            loaded.add_metric([model.name], model.state is ModelState.LOADED)
            if model.load_seconds is not None:
                seconds.add_metric([model.name], model.load_seconds)
        yield from (loads, loaded, seconds)
        yield from _of_replicas(status.replicas)


def _resident_memory(pid: int | None) -> int:
    if pid is None:
        return 0
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        # The process has just ended.
        return 0


def _of_replicas(replicas: Sequence[ReplicaSnapshot]) -> Iterator[Metric]:
    """The metrics by replica; without replicas they have no samples."""
    gauges: dict[str, tuple[str, Callable[[ReplicaSnapshot], float]]] = {
        "redraw_replica_ready": (
            "1 if the replica serves requests.",
            lambda replica: replica.state is ServiceState.READY,
        ),
        "redraw_replica_batch_slots": (
            "Requests that fill the replica's batch.",
            lambda replica: replica.slots,
        ),
        "redraw_replica_requests": (
            "Requests of the replica.",
            lambda replica: replica.running,
        ),
        "redraw_replica_step_seconds": (
            "Mean duration of a step in the replica's newest results; 0 before the first one.",
            lambda replica: replica.step_seconds,
        ),
        "redraw_replica_resident_memory_bytes": (
            "Resident memory of the replica's worker process; 0 without one.",
            lambda replica: replica.resident_bytes,
        ),
    }
    counters: dict[str, tuple[str, Callable[[ReplicaSnapshot], float]]] = {
        "redraw_replica_worker_restarts": (
            "Workers of the replica that replaced another one.",
            lambda replica: replica.restarts,
        ),
        "redraw_replica_denoiser_calls": (
            "Calls of the replica's denoising network.",
            lambda replica: replica.denoiser_calls,
        ),
        "redraw_replica_denoiser_rows": (
            "Rows in these calls.",
            lambda replica: replica.denoiser_rows,
        ),
    }
    for kind, metrics in ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters)):
        for name, (text, read) in metrics.items():
            family = kind(name, text, labels=["replica", "device"])
            for replica in replicas:
                family.add_metric([replica.name, replica.device], read(replica))
            yield family
    loaded = GaugeMetricFamily(
        "redraw_replica_model_loaded",
        "1 for each model in the replica's memory.",
        labels=["replica", "device", "model"],
    )
    for replica in replicas:
        for model in replica.models:
            loaded.add_metric([replica.name, replica.device, model], 1)
    yield loaded
