"""HTTP endpoints for the operator's monitoring: `/metrics`, `/healthz` and `/readyz`.

They have no access control and are off by default; by default they listen on loopback only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from bot.errors import StartError
from bot.monitoring.metrics import Metrics
from inference import InferenceService, ServiceState

LAG_INTERVAL_SECONDS = 0.5


@asynccontextmanager
async def open_monitoring(
    metrics: Metrics,
    service: InferenceService,
    connected: Callable[[], bool],
    *,
    host: str,
    port: int,
) -> AsyncIterator[int]:
    """Serve the endpoints until the block is left; gives the port (a free one for port 0).

    Raises:
        StartError: the address is in use or does not exist.
    """

    async def show_metrics(_request: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def alive(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def ready(_request: web.Request) -> web.Response:
        missing = []
        if not connected():
            missing.append("not connected to Discord")
        if service.status.state is not ServiceState.READY:
            missing.append(f"model: {service.status.detail}")
        return web.Response(
            text="\n".join(missing or ["ok"]) + "\n", status=503 if missing else 200
        )

    application = web.Application()
    application.router.add_get("/metrics", show_metrics)
    application.router.add_get("/healthz", alive)
    application.router.add_get("/readyz", ready)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    lag = asyncio.create_task(_measure_lag(metrics), name="event loop lag")
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise StartError(
                f"METRICS_HOST {host} with METRICS_PORT {port} cannot be used: {error.strerror}."
            ) from error
        yield runner.addresses[0][1]
    finally:
        lag.cancel()
        await asyncio.gather(lag, return_exceptions=True)
        await runner.cleanup()


async def _measure_lag(metrics: Metrics) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_INTERVAL_SECONDS
        await asyncio.sleep(LAG_INTERVAL_SECONDS)
        metrics.event_loop_lag(max(0.0, loop.time() - due))
