"""Ray Serve's request router for the replicas: applies `inference.fleet.routing`."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from ray.serve.request_router import (
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from inference.fleet.routing import FleetLoad, RoutedRequest


class FleetRouter(RequestRouter):
    """Ranks the replicas for each request. Runs in the driver process, on Serve's own loop."""

    # How long Serve waits for a replica's queue length before it takes the next one. With its
    # default of 0.1 s a busy machine would move a request away from its model.
    queue_len_response_deadline_s = 1.0
    max_queue_len_response_deadline_s = 4.0

    def initialize_state(self, **options: Any) -> None:
        """Called by Ray Serve instead of a constructor, with the driver's `release`."""
        self._release: str = options["release"]
        self._load = FleetLoad()

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """Ranks of one replica each, best first; a full one is skipped by Ray Serve."""
        # Replicas of an earlier bot may run other models.
        candidate_replicas = [
            replica
            for replica in candidate_replicas
            if replica.routing_stats.get("release") == self._release
        ]
        by_id = {replica.replica_id.unique_id: replica for replica in candidate_replicas}
        self._load.keep(set(by_id))
        if pending_request is None:
            return [candidate_replicas]
        # Serve calls this again at once, and blocks its own loop, unless it may wait in between.
        pending_request.routing_context.should_backoff = True
        models = {name: replica.routing_stats["models"] for name, replica in by_id.items()}
        request = RoutedRequest.of(pending_request.args[0])
        ranked = self._load.rank(request, models)
        if ranked:
            # Counted now: others are routed before this request arrives at its replica.
            request_id = pending_request.metadata.internal_request_id
            self._load.start(ranked[0], request_id, request)
            pending_request.future.add_done_callback(partial(self._finish_if_cancelled, request_id))
        return [[by_id[name]] for name in ranked]

    def _finish_if_cancelled(self, request_id: str, future: asyncio.Future[Any]) -> None:
        if future.cancelled():
            self._load.finish(request_id)

    def on_request_routed(
        self, pending_request: PendingRequest, replica_id: ReplicaID, _result: Any
    ) -> None:
        """Called by Ray Serve when a replica has accepted a request."""
        self._load.start(
            replica_id.unique_id,
            pending_request.metadata.internal_request_id,
            RoutedRequest.of(pending_request.args[0]),
        )

    def on_request_completed(self, _replica_id: ReplicaID, internal_request_id: str) -> None:
        """Called by Ray Serve when a request ended, also by an error."""
        self._load.finish(internal_request_id)
