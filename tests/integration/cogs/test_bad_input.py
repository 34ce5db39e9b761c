"""Every refusal is one ephemeral sentence, and the next request works."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
import pytest_asyncio

from bot.jobs.job import JobState
from inference import OutOfMemory, ServiceState, ServiceStatus, WorkerDied
from tests.support.pictures import file_of, photo
from tests.support.services import READY, ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_simulated_discord,
    text_of,
)

CAT = ("cat.png", file_of(photo(64, 64)))
SENTENCE = re.compile(r"[A-Z][^\n]{20,250}[.!]")


@pytest_asyncio.fixture
async def discord_sim(tmp_path: Path) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(tmp_path, ScriptedService()) as opened:
        yield opened


def service_of(discord_sim: SimulatedDiscord) -> ScriptedService:
    service = discord_sim.bot.services.inference
    assert isinstance(service, ScriptedService)
    return service


def refusal_in(result: Any) -> str:
    """The text of the only reply, which must be ephemeral and one sentence or two."""
    said = [*result.followups] or [result.response]
    assert len(said) == 1
    assert said[0].ephemeral
    text = str(said[0].content)
    assert SENTENCE.fullmatch(text), text
    assert "Traceback" not in text
    return text


async def assert_the_next_one_works(discord_sim: SimulatedDiscord) -> None:
    await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="next", image=CAT, steps=2)
    await discord_sim.settled()
    assert "next" in text_of(discord_sim.last)
    assert discord_sim.last.attachments


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "no picture here"),
        ({"image": ("a.txt", b"just text")}, "not a picture"),
        ({"image": ("a.png", CAT[1][:60])}, "incomplete"),
        ({"image": ("long.png", file_of(photo(900, 20)))}, "too narrow"),
        ({"url": "not a link"}, "must start with http"),
        ({"url": "http://127.0.0.1/cat.png"}, "only public web addresses"),
        ({"url": "http://cat.invalid/cat.png"}, "cannot be reached"),
        ({"image": CAT, "url": "https://cat.example/"}, "not both"),
        ({"image": CAT, "prompt": "   "}, "prompt is empty"),
    ],
)
async def test_a_wrong_option_is_refused_in_an_ephemeral_reply(
    discord_sim: SimulatedDiscord, options: dict[str, Any], expected: str
) -> None:
    result = await discord_sim.alice.slash(
        discord_sim.channel, "img2img", **{"prompt": "x", **options}
    )
    assert expected in refusal_in(result)
    assert discord_sim.channel.last_message is None, "nothing of a mistake stays in the channel"
    await assert_the_next_one_works(discord_sim)


async def test_an_attachment_over_the_limit_is_not_downloaded(
    discord_sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, downloaded = discord.Attachment.read, []

    async def recorded(attachment: discord.Attachment) -> bytes:
        downloaded.append(attachment.filename)
        return await read(attachment)

    monkeypatch.setattr(discord.Attachment, "read", recorded)
    result = await discord_sim.alice.slash(
        discord_sim.channel, "img2img", prompt="x", image=("big.png", bytes(21 * 2**20))
    )
    assert "limit is 20 MiB" in refusal_in(result)
    assert downloaded == []
    await assert_the_next_one_works(discord_sim)
    assert downloaded != []


async def test_a_repeated_request_with_more_steps_than_now_allowed_is_refused(
    discord_sim: SimulatedDiscord,
) -> None:
    await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="x", image=CAT, steps=8)
    await discord_sim.settled()
    discord_sim.bot.services.settings.max_steps = 4
    result = await discord_sim.alice.click(discord_sim.last, label="Again")
    assert "At most 4 steps" in refusal_in(result)


@pytest.mark.parametrize(
    "option", [{"strength": 1.5}, {"strength": 0.0}, {"steps": 0}, {"steps": 51}]
)
async def test_values_out_of_range_never_reach_the_bot(
    discord_sim: SimulatedDiscord, option: dict[str, Any]
) -> None:
    with pytest.raises(Exception, match="must be"):
        await discord_sim.alice.slash(
            discord_sim.channel, "img2img", prompt="x", image=CAT, **option
        )
    await assert_the_next_one_works(discord_sim)


async def test_a_channel_where_the_bot_lacks_permissions_is_refused(
    discord_sim: SimulatedDiscord,
) -> None:
    quiet = discord_sim.env.guild.create_text_channel(
        "quiet",
        overwrites={
            discord_sim.env.guild.default_role: discord.PermissionOverwrite(
                attach_files=False, send_messages=False, use_application_commands=True
            )
        },
    )
    result = await discord_sim.alice.slash(quiet, "img2img", prompt="x", image=CAT)
    assert "Send Messages, Attach Files" in refusal_in(result)
    await assert_the_next_one_works(discord_sim)


async def test_a_full_queue_is_refused_with_an_estimate(tmp_path: Path) -> None:
    service = ScriptedService()
    service.gate.clear()
    async with open_simulated_discord(tmp_path, service, queue_limit=2) as discord_sim:
        for user in (
            discord_sim.alice,
            discord_sim.bob,
            discord_sim.alice,
            discord_sim.bob,
            discord_sim.alice,
            discord_sim.bob,
        ):
            await user.slash(discord_sim.channel, "img2img", prompt="x", image=CAT)
        result = await discord_sim.bob.slash(discord_sim.channel, "img2img", prompt="x", image=CAT)
        assert "Try again in a few minutes" in refusal_in(result)
        service.gate.set()
        await discord_sim.settled()
        await assert_the_next_one_works(discord_sim)


async def test_the_limit_per_user(tmp_path: Path) -> None:
    service = ScriptedService()
    service.gate.clear()
    async with open_simulated_discord(tmp_path, service, queue_limit_per_user=2) as discord_sim:
        for _ in range(2):
            await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="x", image=CAT)
        result = await discord_sim.alice.slash(
            discord_sim.channel, "img2img", prompt="x", image=CAT
        )
        assert "You have 2 pictures waiting" in refusal_in(result)
        service.gate.set()
        await discord_sim.settled()


async def test_requests_over_the_limit_are_refused_before_their_files_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ScriptedService()
    service.gate.clear()
    async with open_simulated_discord(tmp_path, service, queue_limit_per_user=1) as discord_sim:
        decoded = []
        from_bytes = discord_sim.bot.services.intake.from_bytes

        async def watched(data: bytes, **options: Any) -> Any:
            decoded.append(data)
            return await from_bytes(data, **options)

        monkeypatch.setattr(discord_sim.bot.services.intake, "from_bytes", watched)
        for _ in range(5):
            await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="x", image=CAT)
        assert len(decoded) == 1
        service.gate.set()
        await discord_sim.settled()
        many = await discord_sim.alice.slash(
            discord_sim.channel, "img2img", prompt="x", image=CAT, count=4
        )
        assert "At most 1 picture" in refusal_in(many)
        assert len(decoded) == 1


async def test_a_request_made_while_the_model_loads_waits_and_says_so(
    discord_sim: SimulatedDiscord,
) -> None:
    service = service_of(discord_sim)
    service.status = ServiceStatus(state=ServiceState.LOADING, detail="loading the model")
    service.gate.clear()
    await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="early", image=CAT)
    await discord_sim.shown("still loading")
    service.status = READY
    service.gate.set()
    await discord_sim.settled()
    assert "early" in text_of(discord_sim.last)


async def test_a_failed_model_is_refused_before_the_request_is_accepted(
    discord_sim: SimulatedDiscord,
) -> None:
    service = service_of(discord_sim)
    service.status = ServiceStatus(state=ServiceState.FAILED, detail="no network")
    result = await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="x", image=CAT)
    assert "model failed to start" in refusal_in(result)
    service.status = READY
    await assert_the_next_one_works(discord_sim)


async def test_a_request_is_repeated_after_the_worker_died_once(
    discord_sim: SimulatedDiscord,
) -> None:
    service_of(discord_sim).errors = [WorkerDied("died")]
    await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="again", image=CAT)
    await discord_sim.settled()
    assert discord_sim.last.attachments
    assert len(service_of(discord_sim).requests) == 2


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([WorkerDied("died"), WorkerDied("died")], "stopped working on this picture twice"),
        ([OutOfMemory("This picture is too large for the device's memory.")], "too large"),
    ],
)
async def test_a_failed_request_ends_with_a_sentence(
    discord_sim: SimulatedDiscord, errors: list[Any], expected: str
) -> None:
    service_of(discord_sim).errors = errors
    await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="x", image=CAT)
    await discord_sim.settled()
    assert expected in text_of(discord_sim.last)
    (job,) = await discord_sim.bot.services.store.jobs_of(discord_sim.alice.id)
    assert job.id in text_of(discord_sim.last)
    assert job.state is JobState.FAILED
    await assert_the_next_one_works(discord_sim)


async def test_a_bug_is_logged_with_the_reference_that_the_user_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    async with open_simulated_discord(tmp_path, ScriptedService(), bugs_expected=1) as discord_sim:
        with monkeypatch.context() as patch:
            patch.setattr(discord_sim.bot.services.store.pictures, "put", broken)
            result = await discord_sim.alice.slash(
                discord_sim.channel, "img2img", prompt="x", image=CAT
            )
        reference = re.search(r"reference (\w{16})", refusal_in(result))
        assert reference is not None
        assert reference[1] in caplog.text
        assert "a bug" in caplog.text
        await assert_the_next_one_works(discord_sim)


async def test_the_owner_can_cancel_and_others_cannot(tmp_path: Path) -> None:
    service = ScriptedService()
    service.gate.clear()
    async with open_simulated_discord(tmp_path, service) as discord_sim:
        await discord_sim.alice.slash(discord_sim.channel, "img2img", prompt="stop me", image=CAT)
        await discord_sim.shown("Cancel")
        button = buttons_of(discord_sim.last)["Cancel"]
        result = await discord_sim.bob.click(discord_sim.last, custom_id=button)
        assert "or a moderator" in refusal_in(result)
        await discord_sim.alice.click(discord_sim.last, custom_id=button)
        await discord_sim.settled()
        assert "Cancelled." in text_of(discord_sim.last)
        service.gate.set()
        await assert_the_next_one_works(discord_sim)
