"""Starts or joins the Ray cluster, and leaves nothing of it behind."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections.abc import Iterator

import psutil
import ray
from ray import serve

log = logging.getLogger(__name__)

# Ray's own processes end within seconds; some of its agents do not notice that it ended.
REAP_SECONDS = 3.0


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
    serve.start(proxy_location="Disabled")
    try:
        yield
    finally:
        ray.shutdown()
        if address is None:
            _reap(session)


def _reap(session: str) -> None:
    """End the processes of the session that are still alive."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(session in part for part in process.cmdline()):
                process.kill()
                left.append(process)
    _, alive = psutil.wait_procs(left, timeout=REAP_SECONDS)
    if alive:
        log.warning("%d processes of Ray could not be ended", len(alive))
