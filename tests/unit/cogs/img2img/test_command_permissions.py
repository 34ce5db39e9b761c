"""A mention follows the settings of the server's Integrations page, as a slash command does."""

from __future__ import annotations

import pytest

from cogs.img2img._command_permissions import CHANNEL, ROLE, USER, Override, is_allowed

GUILD, HERE, THERE, ALICE, STAFF, GUESTS = 100, 1, 2, 3, 4, 5
EVERYONE, ALL_CHANNELS = GUILD, GUILD - 1


@pytest.mark.parametrize(
    ("command", "application", "expected"),
    [
        ([], [], True),
        ([(HERE, CHANNEL, False)], [], False),
        ([(THERE, CHANNEL, False)], [], True),
        ([(ALL_CHANNELS, CHANNEL, False)], [], False),
        ([(ALL_CHANNELS, CHANNEL, False), (HERE, CHANNEL, True)], [], True),
        ([], [(ALL_CHANNELS, CHANNEL, False)], False),
        ([(HERE, CHANNEL, True)], [(ALL_CHANNELS, CHANNEL, False)], True),
        ([], [(HERE, CHANNEL, False)], False),
        ([(EVERYONE, ROLE, False)], [], False),
        ([(EVERYONE, ROLE, False), (STAFF, ROLE, True)], [], True),
        ([(STAFF, ROLE, False)], [], False),
        ([(STAFF, ROLE, True), (GUESTS, ROLE, False)], [], True),
        ([(6, ROLE, False)], [], True),
        ([(ALICE, USER, False), (STAFF, ROLE, True)], [], False),
        ([(EVERYONE, ROLE, False), (ALICE, USER, True)], [], True),
        ([], [(EVERYONE, ROLE, False)], False),
        ([(STAFF, ROLE, True)], [(EVERYONE, ROLE, False)], True),
        ([], [(EVERYONE, ROLE, False), (ALICE, USER, True)], True),
        ([(HERE, CHANNEL, False), (ALICE, USER, True)], [], False),
    ],
)
def test_the_overrides_decide(
    command: list[tuple[int, int, bool]], application: list[tuple[int, int, bool]], expected: bool
) -> None:
    assert (
        is_allowed(
            [Override(*line) for line in command],
            [Override(*line) for line in application],
            guild_id=GUILD,
            channel_id=HERE,
            user_id=ALICE,
            role_ids=[EVERYONE, STAFF, GUESTS],
        )
        is expected
    )
