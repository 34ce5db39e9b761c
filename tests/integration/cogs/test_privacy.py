"""`/privacy export` sends everything; `/privacy delete` leaves nothing of the user on the disk."""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import discord
import numpy as np
import pytest
from PIL import Image

from tests.support.pictures import file_of
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    open_shared_discord,
    open_simulated_discord,
    text_of,
)
from tests.support.simulated_users import (
    CAT,
    delete_data,
    newest_job,
    press,
    redraw,
    reply_of,
    slash,
)


def noise(seed: int) -> tuple[str, bytes]:
    """A picture that does not compress."""
    pixels = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    return (f"noise-{seed}.png", file_of(Image.fromarray(pixels, "RGB")))


def limit_requests(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Call it once the bot is open: discord.py imports a cog's modules again at each load."""
    monkeypatch.setattr(importlib.import_module("cogs.privacy._cog"), "REQUEST_BYTES", size)


async def redraw_noise(sim: SimulatedDiscord, seed: int) -> None:
    await sim.alice.slash(sim.channel, "img2img", prompt=f"noise {seed}", image=noise(seed))
    await sim.settled()


async def archives(result: Any) -> list[zipfile.ZipFile]:
    files = [
        attachment
        for reply in [result.response, *result.followups]
        for attachment in reply.attachments
    ]
    return [zipfile.ZipFile(io.BytesIO(await attachment.read())) for attachment in files]


async def test_an_export_over_the_upload_limit_comes_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 300_000
    async with open_simulated_discord(tmp_path, ScriptedService()) as sim:
        limit_requests(monkeypatch, limit)
        for seed in range(4):
            await redraw_noise(sim, seed)
        result = await slash(sim.alice, sim.channel, "privacy export")
        parts = await archives(result)
        assert len(parts) > 1
        names = [name for part in parts for name in part.namelist()]
        jobs = await sim.bot.services.store.jobs_of(sim.alice.id)
        pictures = {f"pictures/{name}.png" for job in jobs for name in job.pictures}
        assert len(names) == len(set(names))
        assert set(names) == {"jobs.json", "settings.json"} | pictures
        records = json.loads(parts[0].read("jobs.json"))
        assert [record["prompt"] for record in records] == [job.prompt for job in jobs]
        assert "token" not in records[0]["destination"]
        for part in parts:
            assert part.fp is not None
            assert len(part.fp.read()) <= limit
            assert part.testzip() is None
        last = str(result.followups[-1].content)
        assert f"Files: {len(parts)}." in last
        assert "missing" not in last


@pytest.mark.usefixtures("within_one_day")
async def test_an_export_has_the_computing_time_of_the_day(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService(device_seconds=2.0)) as sim:
        await redraw(sim)
        (part,) = await archives(await slash(sim.alice, sim.channel, "privacy export"))
        [row] = json.loads(part.read("settings.json"))["computing time today"]
        assert (row["requests"], row["pictures"], row["seconds"]) == (1, 1, 2.0)


@pytest.mark.usefixtures("within_one_day")
async def test_an_export_has_what_is_left_after_an_erasure(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService(device_seconds=2.0)) as sim:
        services = sim.bot.services
        guild_id = sim.env.guild.id
        await services.store.guild_settings.change(guild_id, limits={0: {"cooldown_seconds": 60}})
        await redraw(sim)
        await delete_data(sim.alice, sim.channel)
        (part,) = await archives(await slash(sim.alice, sim.channel, "privacy export"))
        record = json.loads(part.read("settings.json"))
        assert [row["seconds"] for row in record["computing time today"]] == [2.0]
        assert list(record["times of last requests by server"]) == [str(guild_id)]
        # A user who never asked has no record.
        assert "nothing" in reply_of(await slash(sim.bob, sim.channel, "privacy export")).lower()


async def test_an_export_says_which_pictures_are_missing(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService()) as sim:
        job = await redraw(sim)
        (tmp_path / "data/pictures" / f"{job.source}.png").unlink()
        result = await slash(sim.alice, sim.channel, "privacy export")
        assert "too large to send: 1." in str(result.followups[-1].content)


async def test_an_export_is_not_cut_at_a_number_of_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService()) as sim:
        await redraw(sim)
        store = sim.bot.services.store
        limits = []
        real = store.jobs_of

        async def jobs_of(user_id: int, limit: int = 1000) -> Any:
            limits.append(limit)
            return await real(user_id, limit)

        monkeypatch.setattr(store, "jobs_of", jobs_of)
        await slash(sim.alice, sim.channel, "privacy export")
        assert min(limits) > 10**6


async def test_a_picture_larger_than_the_limit_is_counted_as_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService()) as sim:
        limit_requests(monkeypatch, 20_000)
        await redraw_noise(sim, 1)
        result = await slash(sim.alice, sim.channel, "privacy export")
        # The source and the result do not compress; the depth map is grey and smaller.
        assert "too large to send: " in str(result.followups[-1].content)
        (part,) = await archives(result)
        assert part.namelist()[0] == "jobs.json"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"style": "Cubism"}, "no style"),
        ({"prompt": "  "}, "prompt is empty"),
        ({"count": 4}, "pictures per user"),
        ({"url": "https://discord.com/channels/1"}, "not both"),
    ],
)
async def test_a_refused_request_leaves_nothing_on_the_disk(
    tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService(), queue_limit_per_user=3) as sim:
        result = await slash(
            sim.alice, sim.channel, "img2img", **{"prompt": "x", "image": CAT, **options}
        )
        assert expected in reply_of(result)
        assert list((tmp_path / "data/pictures").iterdir()) == []


async def test_a_request_that_fails_after_its_source_was_stored_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def accept(_job: object) -> None:
        raise RuntimeError("a bug")

    async with open_simulated_discord(tmp_path, ScriptedService(), bugs_expected=1) as sim:
        monkeypatch.setattr(sim.bot.services.store, "accept", accept)
        result = await slash(sim.alice, sim.channel, "img2img", prompt="x", image=CAT)
        assert "Something went wrong" in reply_of(result)
        assert list((tmp_path / "data/pictures").iterdir()) == []


async def test_delete_leaves_no_byte_of_the_user(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService()) as sim:
        prompt = "a-prompt-that-only-alice-wrote"
        await redraw(sim, prompt=prompt, negative_prompt="her-negative-prompt")
        bob = await redraw(sim, sim.bob, prompt="bob's")
        await slash(
            sim.alice, sim.channel, "img2img", prompt=prompt, image=CAT, style="no such style"
        )
        mine = await newest_job(sim, sim.alice)
        assert "1 request with its prompt" in await delete_data(sim.alice, sim.channel)
        kept = {f"{name}.png" for name in bob.pictures}
        assert {path.name for path in (tmp_path / "data/pictures").iterdir()} == kept
        assert mine.pictures & bob.pictures, "equal pictures of two users share a file"
        found = [
            path
            for path in (tmp_path / "data").rglob("*")
            if path.is_file()
            and any(
                needle in path.read_bytes()
                for needle in (prompt.encode(), b"her-negative", str(sim.alice.id).encode())
            )
        ]
        assert found == []


async def test_delete_says_what_it_deletes_and_asks_first(tmp_path: Path) -> None:
    async with open_shared_discord(tmp_path, service := ScriptedService()) as sim:
        await redraw(sim)
        await press(sim, sim.alice, sim.last, "⭐")
        await sim.bot.services.store.user_defaults.change(sim.alice.id, strength=0.5)
        service.gate.clear()
        await slash(sim.alice, sim.channel, "img2img", prompt="waits", image=CAT)
        asked = await slash(sim.alice, sim.channel, "privacy delete")
        question = text_of(asked.response.message)
        jobs = await sim.bot.services.store.jobs_of(sim.alice.id)
        stored = {name for job in jobs for name in job.pictures}
        assert f"2 requests with their prompts and settings, and {len(stored)} pictures" in question
        assert "1 of these requests" in question
        assert "Favourites: 1" in question
        assert "Your defaults" in question
        assert "moderation record: " not in question
        service.gate.set()
        await sim.settled()
        finished = await slash(sim.alice, sim.channel, "privacy delete")
        assert "of these requests" not in text_of(finished.response.message)
        await sim.alice.click(finished.response.message, custom_id="redraw:erase:keep")
        view = discord.ui.LayoutView.from_message(asked.response.message)
        buttons = [each for each in view.walk_children() if isinstance(each, discord.ui.Button)]
        assert [(each.custom_id, each.style) for each in buttons] == [
            ("redraw:erase:delete", discord.ButtonStyle.danger),
            ("redraw:erase:keep", discord.ButtonStyle.secondary),
        ]
        await sim.alice.click(asked.response.message, custom_id="redraw:erase:keep")
        assert text_of(asked.response.message) == "Nothing was deleted."
        assert len(await sim.bot.services.store.jobs_of(sim.alice.id)) == 2
        earlier = await slash(sim.alice, sim.channel, "privacy delete")
        deleted = await delete_data(sim.alice, sim.channel)
        assert deleted.startswith(
            "**Deleted:**\n- 2 requests with their prompts and settings, "
            f"and {len(stored)} pictures"
        )
        assert "- Favourites: 1\n- Your defaults\n" in deleted
        assert "will be cancelled" not in deleted
        assert await sim.bot.services.store.jobs_of(sim.alice.id) == []
        result = await slash(sim.alice, sim.channel, "privacy delete")
        assert "No data about you is stored that can be deleted" in reply_of(result)
        # The question of an earlier message, when the data has been deleted meanwhile.
        await sim.alice.click(earlier.response.message, custom_id="redraw:erase:delete")
        text = text_of(earlier.response.message)
        assert text == "No data about you is stored that can be deleted."
        service.gate.set()
