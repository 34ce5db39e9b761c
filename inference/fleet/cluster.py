"""Starts or joins the Ray cluster, and leaves nothing of it behind."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator

import ray
from ray import serve

from inference.fleet.reaper import reap, reap_after_this_process

log = logging.getLogger(__name__)


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Connect to the cluster; None starts one on this machine, which ends with the block.

    Raises:
        ConnectionError: there is no cluster at the address.
    """
    # Ray's processes inherit ignored signals, and could then not be ended by them.
    ignored = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        ray.init(
            # `local` also overrides RAY_ADDRESS.
            address=address or "local",
            namespace="redraw",
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
        )
    finally:
        signal.signal(signal.SIGTERM, ignored)
    session = ray.get_runtime_context().get_session_name()
    if address is None:
        reap_after_this_process(session)
    serve.start(proxy_location="Disabled")
    try:
        yield
    finally:
        ray.shutdown()
        if address is None and (alive := reap(session)):
            log.warning("%d processes of Ray could not be ended", alive)
