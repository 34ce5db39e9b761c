"""Whether a place counts as age-restricted, for each kind of channel that the bot may see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import discord
import pytest

from bot.moderation.model import Place
from bot.moderation.place import place_of, place_of_job
from tests.support.jobs import job


class Client:
    """Sees one channel, or none."""

    def __init__(self, channel: object) -> None:
        self._channel = channel

    def get_channel(self, _id: int) -> object:
        return self._channel


def text_channel(*, nsfw: bool) -> discord.TextChannel:
    channel = object.__new__(discord.TextChannel)
    channel.nsfw = nsfw
    return channel


@pytest.mark.parametrize(
    ("channel", "known"),
    [
        (text_channel(nsfw=True), True),
        (text_channel(nsfw=False), False),
        (object.__new__(discord.DMChannel), False),
        (None, None),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_a_channel_that_the_bot_does_not_see_is_what_it_was_at_the_request(
    channel: object, known: bool | None, before: bool
) -> None:
    client: Any = cast("Any", Client(channel))
    assert place_of(client, 3, 2) == Place(3, 2, age_restricted=known is True)
    one = replace(job(), age_restricted=before)
    where = one.destination
    expected = before if known is None else known
    assert place_of_job(client, one) == Place(
        where.guild_id, where.channel_id, age_restricted=expected
    )
