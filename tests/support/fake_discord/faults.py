"""Faults of the network and error responses, on request."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from aiohttp import web

from tests.support.fake_discord.objects import Refusal

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Fault(Enum):
    """What can happen to a request on the network."""

    LOST = auto()
    """The connection breaks before Discord has read it."""
    RESET = auto()
    """The request is carried out, then the connection breaks."""
    HALF = auto()
    """The request is carried out, then half of the response arrives."""
    NO_JSON = auto()
    """The request is carried out, but the response is the page of a proxy."""
    BAD_GATEWAY = auto()
    """The request is carried out, but a proxy responds with 502."""


@dataclass
class Faults:
    """`faults` maps "METHOD /route" to a `Fault` or a `Refusal` for each of the next requests.

    `requests` counts the requests by route.
    """

    faults: dict[str, list[Fault | Refusal]] = field(default_factory=lambda: defaultdict(list))
    requests: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @web.middleware
    async def faulty(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turn refusals into error responses, and apply faults."""
        resource = request.match_info.route.resource
        route = f"{request.method} {resource.canonical if resource else request.path}"
        self.requests[route] += 1
        fault = self.faults[route].pop(0) if self.faults.get(route) else None
        try:
            if isinstance(fault, Refusal):
                raise fault
            if fault is Fault.LOST:
                return _hang_up(request)
            response = await handler(request)
        except ConnectionError:
            # The bot was killed while it was sending.
            return _hang_up(request)
        except Refusal as refusal:
            response = json_response(
                {"code": refusal.code, "message": refusal.message}, status=refusal.status
            )
            response.headers.update(refusal.headers)
            return response
        match fault:
            case Fault.RESET:
                return _hang_up(request)
            case Fault.HALF:
                assert isinstance(response, web.Response)
                assert isinstance(response.body, bytes)
                half = response.body[: len(response.body) // 2]
                return web.Response(body=half, content_type="application/json")
            case Fault.NO_JSON:
                return web.Response(text="<html>", content_type="text/html")
            case Fault.BAD_GATEWAY:
                return web.Response(text="<html>", content_type="text/html", status=502)
        return response


def json_response(data: Any, status: int = 200) -> web.Response:
    """A JSON response without a charset, as Discord sends it and discord.py requires it."""
    body = json.dumps(data).encode()
    return web.Response(body=body, status=status, content_type="application/json")


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
