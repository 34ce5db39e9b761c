"""The star button, `/favourites`, and the reaction that deletes a picture."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
import pytest_asyncio

from bot.errors import StoredPictureMissing
from tests.support.services import ScriptedService
from tests.support.simulated_discord import (
    SimulatedDiscord,
    open_shared_discord,
    text_of,
)
from tests.support.simulated_users import (
    delete_data,
    make_age_restricted,
    newest_job,
    press,
    redraw,
    reply_of,
    slash,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SimulatedDiscord]:
    folder = tmp_path_factory.mktemp("favourites")
    async with open_shared_discord(folder, ScriptedService(), favourites_per_user=2) as sim:
        yield sim


@pytest_asyncio.fixture(loop_scope="module")
async def sim(opened: SimulatedDiscord) -> SimulatedDiscord:
    """The opened Discord, in which no user has pictures."""
    await opened.erase_pictures()
    return opened


async def favourites(sim: SimulatedDiscord, user: Any) -> discord.Message:
    result = await slash(user, sim.channel, "favourites")
    assert result.response.ephemeral
    return result.response.message  # type: ignore[no-any-return]


async def expire(sim: SimulatedDiscord) -> None:
    """Let the retention time of every picture pass."""
    await sim.bot.services.store.erase_before(time.time() + 1)


async def test_a_star_adds_a_picture_and_a_second_one_removes_it(sim: SimulatedDiscord) -> None:
    assert "no favourites" in text_of(await favourites(sim, sim.alice))
    await redraw(sim, prompt="a red fox")
    message = sim.last
    assert "until you press ⭐ again" in reply_of(await press(sim, sim.alice, message, "⭐"))
    listed = await favourites(sim, sim.alice)
    assert "a red fox" in text_of(listed)
    assert len(listed.attachments) == 1
    assert reply_of(await press(sim, sim.alice, listed, "⭐")).startswith("Removed")
    assert "no favourites" in text_of(await favourites(sim, sim.alice))


async def test_an_own_favourite_is_kept_after_the_retention_time(sim: SimulatedDiscord) -> None:
    kept = await redraw(sim, prompt="kept")
    message = sim.last
    await press(sim, sim.alice, message, "⭐")
    lost = await redraw(sim, prompt="lost")
    await expire(sim)
    store = sim.bot.services.store
    assert [job.id for job in await store.jobs_of(sim.alice.id)] == [kept.id]
    assert await store.pictures.get(kept.variants[0].result or "")
    # The source is not kept for longer than that of other pictures.
    with pytest.raises(StoredPictureMissing):
        await store.pictures.get(kept.sources[0])
    for button in ("Before/after", "Depth", "Again"):
        assert "no longer know" in reply_of(await press(sim, sim.alice, message, button))
    assert await store.job(lost.id) is None
    await press(sim, sim.alice, message, "⭐")
    await expire(sim)
    assert await store.job(kept.id) is None


async def test_a_source_taken_from_another_user_is_deleted_with_their_data(
    sim: SimulatedDiscord,
) -> None:
    first = await redraw(sim)
    await press(sim, sim.bob, sim.last, "Again")
    taken, message = await newest_job(sim, sim.bob), sim.last
    assert taken.source == first.source
    await press(sim, sim.bob, message, "⭐")
    await delete_data(sim.alice, sim.channel)
    store = sim.bot.services.store
    with pytest.raises(StoredPictureMissing):
        await store.pictures.get(first.source or "")
    assert await store.pictures.get(taken.variants[0].result or "")
    for button in ("Before/after", "Depth", "Again"):
        assert "no longer know" in reply_of(await press(sim, sim.bob, message, button))


async def test_a_favourite_of_another_user_is_kept_no_longer_than_theirs(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim)
    text = reply_of(await press(sim, sim.bob, sim.last, "⭐"))
    assert "as long as its owner's pictures" in text
    assert "a fox" in text_of(await favourites(sim, sim.bob))
    await expire(sim)
    assert "no favourites" in text_of(await favourites(sim, sim.bob))


async def list_age_restricted_favourite(sim: SimulatedDiscord) -> discord.Message:
    """Bob's favourites, listed in an ordinary channel: one picture of an age-restricted one."""
    adult = sim.env.guild.create_text_channel("adult")
    make_age_restricted(sim, adult)
    await redraw(sim, channel=adult, prompt="a nude")
    message = adult.last_message
    assert message is not None
    await press(sim, sim.bob, message, "⭐")
    return await favourites(sim, sim.bob)


async def test_a_favourite_shows_nothing_where_its_user_may_not_see_it(
    sim: SimulatedDiscord,
) -> None:
    listed = await list_age_restricted_favourite(sim)
    assert "a nude" not in text_of(listed)
    assert not listed.attachments


async def test_a_favourite_is_removed_where_its_user_may_not_see_it(
    sim: SimulatedDiscord,
) -> None:
    listed = await list_age_restricted_favourite(sim)
    assert reply_of(await press(sim, sim.bob, listed, "⭐")).startswith("Removed")
    stored = sim.bot.services.store.favourites
    assert await stored.of(sim.bob.id) == []
    # Adding it again needs the permission to see it.
    assert "age-restricted" in reply_of(await press(sim, sim.bob, listed, "⭐"))
    assert await stored.of(sim.bob.id) == []


async def test_the_star_of_an_erased_picture_adds_nothing(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    message = sim.last
    await expire(sim)
    assert "no longer know" in reply_of(await press(sim, sim.bob, message, "⭐"))


async def test_more_favourites_than_allowed_are_refused(sim: SimulatedDiscord) -> None:
    for number in range(3):
        await redraw(sim, prompt=f"picture {number}")
        text = reply_of(await press(sim, sim.alice, sim.last, "⭐"))
    assert "At most 2 favourites" in text
    assert len(await sim.bot.services.store.favourites.of(sim.alice.id)) == 2


async def test_favourites_are_deleted_with_the_users_data(sim: SimulatedDiscord) -> None:
    await redraw(sim)
    await press(sim, sim.alice, sim.last, "⭐")
    await press(sim, sim.bob, sim.last, "⭐")
    store = sim.bot.services.store
    await store.erase_user(sim.bob.id)
    assert await store.favourites.of(sim.bob.id) == []
    assert len(await store.favourites.of(sim.alice.id)) == 1
    await store.erase_user(sim.alice.id)
    assert await store.favourites.of(sim.alice.id) == []


async def test_the_owners_reaction_deletes_the_picture(sim: SimulatedDiscord) -> None:
    job = await redraw(sim)
    message = sim.last
    store = sim.bot.services.store
    await sim.bob.react(message, "❌")
    await sim.alice.react(message, "👍")
    await sim.settled()
    assert await store.job(job.id)
    await sim.alice.react(message, "❌")
    await sim.settled()
    assert await store.job(job.id) is None
    assert message.id not in {m.id for m in sim.channel.history()}


async def test_the_owners_reaction_deletes_the_message_after_the_retention_time(
    sim: SimulatedDiscord,
) -> None:
    await redraw(sim)
    message = sim.last
    await expire(sim)
    await sim.bob.react(message, "❌")
    await sim.settled()
    assert message.id in {m.id for m in sim.channel.history()}
    await sim.alice.react(message, "❌")
    await sim.settled()
    assert message.id not in {m.id for m in sim.channel.history()}


async def test_a_reaction_to_a_message_without_the_button_does_nothing(
    sim: SimulatedDiscord,
) -> None:
    mine = await sim.alice.send(sim.channel, "hello")
    await sim.alice.react(mine, "❌")
    await sim.settled()
    assert mine.id in {m.id for m in sim.channel.history()}
