"""Content-Encoding is decoded as in browsers; the limits count what is decoded."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest

from bot.intake import DeadLink, FileTooLarge
from tests.support.intake.hostile_network import answer, served
from tests.support.intake.pictures import encoded, quarters

PICTURE = encoded(quarters(), "PNG")


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def members(data: bytes, size: int) -> bytes:
    return b"".join(gzip.compress(data[at : at + size]) for at in range(0, len(data), size))


async def decoded(body: bytes, *headers: str, chunk: int | None = None) -> bytes:
    lines = tuple(f"Content-Encoding: {header}" for header in headers)
    if chunk is None:
        reply = answer(body, headers=lines)
    else:
        reply = ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + "\r\n".join(lines)).encode()
        reply += b"\r\n\r\n"
        for at in range(0, len(body), chunk):
            piece = body[at : at + chunk]
            reply += f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
        reply += b"0\r\n\r\n"
    async with served(lambda *_: reply) as (intake, site):
        return await intake.fetch(f"{site}/")


@pytest.mark.parametrize("chunk", [None, 1, 7, 10_000])
@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("gzip", gzip.compress(PICTURE)),
        ("X-GZIP", gzip.compress(PICTURE)),
        ("deflate", zlib.compress(PICTURE)),
        ("deflate", raw_deflate(PICTURE)),
        ("deflate", gzip.compress(PICTURE)),
        ("gzip", members(PICTURE, 100)),
        ("gzip", members(PICTURE, 100) + bytes(30)),
        ("gzip", gzip.compress(b"") + gzip.compress(PICTURE) + b"<!-- cached -->"),
        ("gzip, deflate", raw_deflate(gzip.compress(PICTURE))),
        ("gzip, gzip", members(gzip.compress(PICTURE), 50)),
    ],
)
async def test_compressed_responses_are_decompressed(
    name: str, body: bytes, chunk: int | None
) -> None:
    assert await decoded(body, name, chunk=chunk) == PICTURE


@pytest.mark.parametrize(
    "name",
    ["aws-chunked", "utf-8", "UTF-8", "none", "binary", "identity", "", ",", "image/png, none"],
)
async def test_unknown_codings_are_ignored(name: str) -> None:
    assert await decoded(PICTURE, name) == PICTURE


@pytest.mark.parametrize(
    "names",
    [("aws-chunked, gzip",), ("gzip, binary",), ("utf-8", "gzip"), ("none", "GZIP", "identity")],
)
async def test_a_coding_in_a_list_is_decoded(names: tuple[str, ...]) -> None:
    assert await decoded(gzip.compress(PICTURE), *names) == PICTURE


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("br", b"x"),
        ("gzip, zstd", gzip.compress(PICTURE)),
        ("gzip", b"nope"),
        ("deflate", b"\xff\xff\xff"),
        ("gzip", gzip.compress(PICTURE)[:-8] + bytes(8)),
        (", ".join(["gzip"] * 6), gzip.compress(PICTURE)),
    ],
)
async def test_responses_that_cannot_be_decoded_are_dead_links(name: str, body: bytes) -> None:
    with pytest.raises(DeadLink):
        await decoded(body, name)


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": raw_deflate,
    "": bytes,
}


@pytest.mark.parametrize("packed", ["", "gzip", "deflate", "gzip, gzip"])
async def test_the_limit_of_bytes_is_exact(packed: str) -> None:
    def respond(path: str, _: dict[str, str]) -> bytes:
        body = bytes(int(path.strip("/")))
        for coding in packed.split(", "):
            body = CODERS[coding](body)
        return answer(body, headers=(f"Content-Encoding: {packed}",))

    async with served(respond, max_bytes=100_000) as (intake, site):
        assert len(await intake.fetch(f"{site}/100000")) == 100_000
        with pytest.raises(FileTooLarge):
            await intake.fetch(f"{site}/100001")
