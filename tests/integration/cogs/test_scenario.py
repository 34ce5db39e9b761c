"""A server with secrets: no action of its users gives them a picture that they may not see.

Every picture has a colour of its own, and so has every result. The scenario collects all that
each user receives, from replies and from the channels that they can read, and looks for the
colours of the secrets in it.

Longer than 300 lines: one scenario.
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import discord
import numpy as np
import pytest
import pytest_asyncio
from PIL import Image
from simcord import interactions
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle

from bot.jobs.job import Job
from inference import ImageRequest, ImageResult, Progress
from tests.integration.cogs.test_places import USER_INSTALL_PERMISSIONS
from tests.support.pictures import file_of
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    buttons_of,
    open_simulated_discord,
)
from tests.support.simulated_users import (
    make_age_restricted,
    newest_job,
    private_thread,
    set_gallery,
    slash,
)

COLOURS = {
    "public": (200, 30, 30),
    "private": (30, 190, 60),
    "thread": (30, 60, 200),
    "adults": (200, 120, 20),
    "hidden source": (120, 20, 160),
}
# What the engine adds to every value, modulo 256. Results of results have other colours again.
SHIFT = 47
# Of the 255 values of a channel; the pictures are enlarged, but not compressed.
TOLERANCE = 6
# A picture in a sheet of two covers more than a third of it, a thumbnail all of it.
SHARE_OF_PIXELS = 0.2


def source(name: str) -> tuple[str, bytes]:
    return (f"{name}.png", file_of(Image.new("RGB", (96, 96), COLOURS[name])))


def shows(picture: Image.Image, colour: tuple[int, int, int]) -> bool:
    pixels = np.asarray(picture.convert("RGB")).astype(int)
    near = (np.abs(pixels - np.array(colour)) <= TOLERANCE).all(axis=-1)
    return bool(near.mean() > SHARE_OF_PIXELS)


def result_of(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = ((value + SHIFT) % 256 for value in colour)
    return red, green, blue


class ShiftingService(ScriptedService):
    """An engine whose results can be told from every source and from their own results."""

    async def generate(
        self, request: ImageRequest, on_progress: Callable[[Progress], None] | None = None
    ) -> ImageResult:
        result = await super().generate(request, on_progress)
        pixels = (np.frombuffer(request.pixels, np.uint8) + SHIFT).astype(np.uint8).tobytes()
        return dataclasses.replace(result, pixels=pixels)


@dataclass
class Scenario:
    """The server, its channels, its users and what they have received."""

    sim: SimulatedDiscord
    gallery: ChannelHandle
    thread: ChannelHandle
    adults: ChannelHandle
    moderated: ChannelHandle
    alice: MemberActor
    bob: MemberActor
    mod: MemberActor
    jobs: dict[str, Job] = field(default_factory=dict)
    messages: dict[str, discord.Message] = field(default_factory=dict)
    received: dict[int, list[Image.Image]] = field(default_factory=lambda: defaultdict(list))

    async def note(self, user: MemberActor, result: Any) -> None:
        """Record the pictures of a reply to an interaction."""
        for reply in [result.response, *result.followups]:
            for attachment in reply.attachments if reply else []:
                await self._note_file(user, attachment)

    async def note_channels(self, user: MemberActor, *channels: ChannelHandle) -> None:
        """Record the pictures of these channels, as far as the user can read them."""
        for channel in channels:
            try:
                history = channel.history(viewer=user)
            except Exception:  # noqa: BLE001 - simcord's refusal of a viewer without access
                continue
            for message in history:
                for attachment in message.attachments:
                    await self._note_file(user, attachment)

    async def _note_file(self, user: MemberActor, attachment: Any) -> None:
        data = io.BytesIO(await attachment.read())
        files = [data]
        if zipfile.is_zipfile(data):
            archive = zipfile.ZipFile(data)
            names = [name for name in archive.namelist() if name.endswith(".png")]
            files = [io.BytesIO(archive.read(name)) for name in names]
        self.received[user.id] += [Image.open(file) for file in files]

    def has_seen(self, user: MemberActor, name: str) -> set[str]:
        """Which of "source" and "result" of a job the user has received in any reply."""
        colour = COLOURS[name]
        seen = set()
        for picture in self.received[user.id]:
            if shows(picture, colour):
                seen.add("source")
            if shows(picture, result_of(colour)):
                seen.add("result")
        return seen


async def make(
    scenario: Scenario, name: str, channel: ChannelHandle, **options: Any
) -> discord.Message:
    given = options or {"image": source(name)}
    given.setdefault("image", source(name)) if "url" not in given else None
    result = await slash(scenario.alice, channel, "img2img", prompt=name, **given)
    await scenario.sim.settled()
    scenario.jobs[name] = await newest_job(scenario.sim, scenario.alice)
    message = result.response.message if options.get("private") else channel.last_message
    assert message is not None
    scenario.messages[name] = message
    return message


@pytest_asyncio.fixture
async def scenario(tmp_path: Path) -> AsyncIterator[Scenario]:
    async with open_simulated_discord(
        tmp_path,
        ShiftingService(),
        queue_limit=10_000,
        queue_limit_per_user=1000,
        user_install=True,
        message_content=True,
    ) as sim:
        guild = sim.env.guild
        mod = guild.add_member(sim.env.create_user("mod"))
        overwrite: dict[Any, discord.PermissionOverwrite] = {
            mod: discord.PermissionOverwrite(manage_messages=True)
        }
        opened = Scenario(
            sim=sim,
            gallery=await set_gallery(sim),
            thread=await private_thread(sim, sim.alice),
            adults=guild.create_text_channel("adults"),
            moderated=guild.create_text_channel("moderated", overwrites=overwrite),
            alice=sim.alice,
            bob=sim.bob,
            mod=mod,
        )
        await sim.env.settle()
        make_age_restricted(sim, opened.adults)
        await make(opened, "public", sim.channel)
        await make(opened, "thread", opened.thread)
        await make(opened, "adults", opened.adults)
        private = await make(opened, "private", sim.channel, private=True)
        secret = await sim.alice.send(opened.thread, "look", attachments=[source("hidden source")])
        await make(opened, "hidden source", sim.channel, url=secret.jump_url)
        await sim.alice.click(private, custom_id=buttons_of(private)["Share"])
        await sim.settled()
        yield opened


# The others open a form, delete, or make more of what these make.
PRESSED = ("Before/after", "Depth", "Larger", "Again", "Share")


async def try_everything(scenario: Scenario, user: MemberActor, place: ChannelHandle) -> None:
    """All that a user can do with ids, links and the messages that they are shown."""
    sim = scenario.sim
    for name, job in scenario.jobs.items():
        shown = await slash(user, place, "show", id=job.id)
        await scenario.note(user, shown)
        copy = shown.response.message if shown.response else None
        if copy is not None:
            await press_everything(scenario, user, copy)
        await slash(user, place, "img2img", prompt="stolen", url=scenario.messages[name].jump_url)
        await sim.settled()
    await scenario.note_channels(user, place)
    await scenario.note(user, await slash(user, place, "history"))
    await slash(user, place, "cancel", everyone=True)
    await scenario.note(user, await slash(user, place, "privacy export"))


async def press_everything(scenario: Scenario, user: MemberActor, message: discord.Message) -> None:
    for label, custom_id in buttons_of(message).items():
        if label in PRESSED:
            await scenario.note(user, await user.click(message, custom_id=custom_id))
            await scenario.sim.settled()


async def test_members_see_their_own_and_what_their_channels_show(scenario: Scenario) -> None:
    await try_everything(scenario, scenario.bob, scenario.moderated)
    await scenario.note_channels(
        scenario.bob, scenario.sim.channel, scenario.gallery, scenario.thread
    )
    assert scenario.has_seen(scenario.bob, "public") == {"source", "result"}
    assert scenario.has_seen(scenario.bob, "private") == {"result"}, "it was shared"
    assert scenario.has_seen(scenario.bob, "thread") == set()
    assert scenario.has_seen(scenario.bob, "hidden source") == {"result"}


async def test_a_picture_for_adults_is_seen_in_its_channel_only(scenario: Scenario) -> None:
    await try_everything(scenario, scenario.bob, scenario.gallery)
    assert scenario.has_seen(scenario.bob, "adults") == set()
    await try_everything(scenario, scenario.bob, scenario.adults)
    assert scenario.has_seen(scenario.bob, "adults") == {"source", "result"}


async def test_a_moderator_of_one_channel_has_no_power_elsewhere(scenario: Scenario) -> None:
    await try_everything(scenario, scenario.mod, scenario.moderated)
    for name in ("public", "hidden source"):
        shown = await slash(scenario.mod, scenario.moderated, "show", id=scenario.jobs[name].id)
        copy = shown.response.message
        await scenario.mod.click(copy, custom_id=buttons_of(copy)["Delete"])
    await scenario.note_channels(
        scenario.mod, scenario.sim.channel, scenario.gallery, scenario.thread
    )
    assert scenario.has_seen(scenario.mod, "thread") == set()
    assert scenario.has_seen(scenario.mod, "hidden source") == {"result"}
    for job in scenario.jobs.values():
        assert await scenario.sim.bot.services.store.job(job.id) is not None
    for channel in (scenario.sim.channel, scenario.thread, scenario.adults, scenario.gallery):
        assert channel.last_message is not None


async def test_everything_stays_the_owners(scenario: Scenario) -> None:
    for name in ("public", "private", "thread", "hidden source"):
        shown = await slash(scenario.alice, scenario.sim.channel, "show", id=scenario.jobs[name].id)
        copy = shown.response.message
        both = await scenario.alice.click(copy, custom_id=buttons_of(copy)["Before/after"])
        await scenario.note(scenario.alice, both)
        assert scenario.has_seen(scenario.alice, name) == {"source", "result"}, name
    shared = len(scenario.gallery.history())
    shown = await slash(
        scenario.alice, scenario.sim.channel, "show", id=scenario.jobs["private"].id
    )
    copy = shown.response.message
    await scenario.alice.click(copy, custom_id=buttons_of(copy)["Delete"])
    assert len(scenario.gallery.history()) == shared - 1
    assert await scenario.sim.bot.services.store.job(scenario.jobs["private"].id) is None


@contextmanager
def user_installed(monkeypatch: pytest.MonkeyPatch, user: MemberActor) -> Iterator[None]:
    """The user's interactions come as from a command that they installed themselves."""
    plain = interactions.base_payload

    def payload(*args: Any, **options: Any) -> Any:
        record, data = plain(*args, **options)
        if data.get("member", {}).get("user", {}).get("id") == str(user.id):
            data = data | {
                "authorizing_integration_owners": {"1": str(user.id)},
                "app_permissions": str(USER_INSTALL_PERMISSIONS),
            }
        return record, data

    with monkeypatch.context() as patch:
        patch.setattr(interactions, "base_payload", payload)
        yield


async def test_an_outsider_with_a_user_install_obtains_nothing(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = scenario.sim.env.create_guild("Elsewhere")
    place = other.create_text_channel("elsewhere")
    outsider = other.add_member(scenario.sim.env.create_user("outsider"))
    await scenario.sim.env.settle()
    with user_installed(monkeypatch, outsider):
        for name, job in scenario.jobs.items():
            shown = await slash(outsider, place, "show", id=job.id)
            assert "no longer know" in shown.response.content, name
            url = scenario.messages[name].jump_url
            stolen = await slash(outsider, place, "img2img", prompt="stolen", url=url)
            assert "cannot read that message" in stolen.followups[-1].content, name
        await slash(outsider, place, "img2img", prompt="mine", image=source("public"))
        await scenario.sim.settled()
    (mine,) = await scenario.sim.bot.services.store.jobs_of(outsider.id)
    assert mine.prompt == "mine"
    assert place.last_message is not None
    assert len(place.last_message.attachments) == 1
