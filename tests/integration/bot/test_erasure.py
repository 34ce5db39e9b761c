"""`/privacy delete` leaves no byte of a user on the disk, also after refused requests."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot.images.picture import Picture
from bot.jobs.job import JobState
from tests.support.pictures import file_of, photo
from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_simulated_discord
from tests.support.simulated_users import delete_data

MINE, OTHERS = file_of(photo(160, 128)), file_of(photo(128, 160))
WORDS = ("zebra crossing", "purple haze", "very private words")


@pytest.fixture
def service() -> ScriptedService:
    service = ScriptedService()
    service.gate.clear()
    return service


@pytest_asyncio.fixture
async def discord_sim(tmp_path: Path, service: ScriptedService) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(
        tmp_path, service, queue_limit_per_user=2, bugs_expected=1
    ) as opened:
        yield opened
        # The bot's end waits for what is being drawn.
        service.gate.set()


async def contents(folder: Path) -> bytes:
    """The bytes and names of all files, read in another process: closing the database's file here
    would release SQLite's lock on it."""
    script = (
        "import sys, pathlib\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).rglob('*')):\n"
        "    sys.stdout.buffer.write(str(path).encode())\n"
        "    if path.is_file(): sys.stdout.buffer.write(path.read_bytes())\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(folder)), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return out


async def test_no_byte_of_an_erased_user_stays_on_the_disk(
    discord_sim: SimulatedDiscord, service: ScriptedService, tmp_path: Path
) -> None:
    async def ask(user: Any, prompt: str, **options: Any) -> None:
        await user.slash(discord_sim.channel, "img2img", prompt=prompt, **options)

    alice, bob = discord_sim.alice, discord_sim.bob
    mine, others = ("my-holiday.png", MINE), ("others.png", OTHERS)
    # Refused before and after the source was decoded; then accepted; then over the limit.
    await ask(alice, WORDS[0], image=mine, style="no such style")
    await ask(alice, WORDS[0], image=("my-holiday.png", MINE[:100]))
    for words in WORDS:
        await ask(alice, words, image=mine)
    # Elsewhere: edits of one channel would have to wait for each other.
    elsewhere = discord_sim.env.guild.create_text_channel("elsewhere")
    await bob.slash(elsewhere, "img2img", prompt="others", image=others)
    folder = tmp_path / "data"
    secrets = [
        *(text.encode() for text in (*WORDS, "my-holiday.png", str(alice.id))),
        # SQLite stores integers with the most significant byte first.
        alice.id.to_bytes(8, "big"),
    ]
    before = await contents(folder)
    assert secrets[0] in before
    assert secrets[-1] in before
    await delete_data(alice, discord_sim.channel)
    service.gate.set()
    await discord_sim.settled()
    after = await contents(folder)
    assert [text for text in secrets if text in after] == []
    assert bob.id.to_bytes(8, "big") in after
    # Source, result and depth map of the other user.
    assert len(list((folder / "pictures").iterdir())) == 3


async def test_a_result_that_was_being_written_when_its_user_erased_their_data_is_deleted(
    discord_sim: SimulatedDiscord,
    service: ScriptedService,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    alice, store = discord_sim.alice, discord_sim.bot.services.store
    await alice.slash(discord_sim.channel, "img2img", prompt="x", image=("a.png", MINE))
    (job,) = await store.jobs_of(alice.id)
    writing, go_on = threading.Event(), threading.Event()
    put = store.pictures._put

    def slow(picture: Picture) -> str:
        writing.set()
        go_on.wait()
        return put(picture)

    monkeypatch.setattr(store.pictures, "_put", slow)
    service.gate.set()
    await asyncio.to_thread(writing.wait)
    erasure = asyncio.create_task(discord_sim.bot.services.runner.erase(alice.id))
    while (await store.job(job.id) or job).state is not JobState.CANCELLED:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    go_on.set()
    await erasure
    assert list((tmp_path / "data" / "pictures").iterdir()) == []


async def test_a_request_that_fails_after_its_source_was_stored_leaves_no_file(
    discord_sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cogs.requests import request

    def broken(*_: object) -> int:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(request, "weight_of", broken)
        with contextlib.suppress(Exception):
            await discord_sim.alice.slash(
                discord_sim.channel, "img2img", prompt="x", image=("a.png", MINE)
            )
    assert list((tmp_path / "data" / "pictures").iterdir()) == []


async def test_a_request_without_a_place_is_refused_before_its_file_is_fetched(
    discord_sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake = discord_sim.bot.services.intake
    decoded: list[int] = []
    from_bytes = intake.from_bytes

    async def counting(data: bytes, **options: Any) -> Any:
        decoded.append(len(data))
        return await from_bytes(data, **options)

    monkeypatch.setattr(intake, "from_bytes", counting)
    results = [
        await discord_sim.alice.slash(
            discord_sim.channel, "img2img", prompt="x", image=("a.png", MINE)
        )
        for _ in range(5)
    ]
    assert len(decoded) == 2
    texts = [str(reply.content) for result in results[2:] for reply in result.followups]
    assert len(texts) == 3
    assert all("2 pictures waiting or being drawn, and at most 2" in text for text in texts)
