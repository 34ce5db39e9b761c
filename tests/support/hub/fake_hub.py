"""A fake model hub on the loopback interface: the HTTP routes that huggingface_hub uses."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "some/model"
CHUNK = 64 * 1024


@dataclass
class FakeHub:
    """A hub with one repository, `some/model`, whose files are those of `folder`.

    `others` maps the names of further repositories to the folders of their files; `served` are the
    files that were requested as (repository, name).

    `refuse` is a status and an error code for every request. `cut` maps a file to the number of
    bytes after which the connection breaks, once; `broken` is a file whose connection always
    breaks. `chunk_seconds` slows every file down; every answer waits for `held`, the content of a
    file for its event in `gates`. `listed` maps a file to a size in the listing that differs from
    the file's.
    """

    folder: Path
    commit: str = COMMIT
    refuse: tuple[int, str] | None = None
    cut: dict[str, int] = field(default_factory=dict)
    broken: str | None = None
    chunk_seconds: float = 0.0
    held: asyncio.Event | None = None
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    ranges: dict[str, list[str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    url: str = ""
    others: dict[str, Path] = field(default_factory=dict)
    served: set[tuple[str, str]] = field(default_factory=set)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        app = web.Application(middlewares=[self._hold])
        app.router.add_get("/api/models/{owner}/{name}/tree/{commit}", self._tree)
        app.router.add_get("/api/models/{owner}/{name}{rest:.*}", self._info)
        app.router.add_get("/{owner}/{name}/resolve/{commit}/{path:.+}", self._file)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server: Any = site._server
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    @property
    def downloaded(self) -> set[str]:
        """The files whose content was requested."""
        return set(self.ranges)

    @web.middleware
    async def _hold(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self.held is not None:
            await self.held.wait()
        response: web.StreamResponse = await handler(request)
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        self.requests.append(request.path)
        if token := request.headers.get("Authorization"):
            self.tokens.add(token.removeprefix("Bearer "))
        if self.refuse is None:
            return None
        status, code = self.refuse
        return web.Response(status=status, headers={"X-Error-Code": code}, text=code)

    def _folder(self, request: web.Request) -> Path:
        return self.others.get(_repository(request), self.folder)

    def _commit(self, request: web.Request) -> str:
        name = _repository(request)
        if name not in self.others:
            return self.commit
        return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()

    def _files(self, request: web.Request) -> dict[str, Path]:
        folder = self._folder(request)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path for path in paths}

    async def _info(self, request: web.Request) -> web.Response:
        siblings = [{"rfilename": name} for name in self._files(request)]
        return self._refusal(request) or web.json_response(
            {
                "id": REPOSITORY,
                "modelId": REPOSITORY,
                "sha": self._commit(request),
                "siblings": siblings,
            }
        )

    async def _tree(self, request: web.Request) -> web.Response:
        entries = [
            {
                "type": "file",
                "path": name,
                "size": self.listed.get(name, path.stat().st_size),
                "oid": _etag(path),
            }
            for name, path in self._files(request).items()
        ]
        return self._refusal(request) or web.json_response(entries)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        if (refusal := self._refusal(request)) is not None:
            return refusal
        name = request.match_info["path"]
        path = self._folder(request) / name
        if not path.is_file():
            return web.Response(status=404, headers={"X-Error-Code": "EntryNotFound"})
        content = path.read_bytes()
        headers = {"ETag": f'"{_etag(path)}"', "X-Repo-Commit": self._commit(request)}
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(content))})
        begin = 0
        if match := re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", "")):
            begin = int(match[1])
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        self.served.add((_repository(request), name))
        self.ranges.setdefault(name, []).append(request.headers.get("Range", ""))
        response = web.StreamResponse(status=206 if begin else 200, headers=headers)
        response.content_length = len(content) - begin
        await response.prepare(request)
        if gate := self.gates.get(name):
            await gate.wait()
        end = 0 if name == self.broken else self.cut.pop(name, len(content))
        for position in range(begin, end, CHUNK):
            await response.write(content[position : min(position + CHUNK, end)])
            await asyncio.sleep(self.chunk_seconds)
        if end < len(content):
            assert request.transport is not None
            request.transport.close()
        return response


def _repository(request: web.Request) -> str:
    return f"{request.match_info['owner']}/{request.match_info['name']}"


def _etag(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
