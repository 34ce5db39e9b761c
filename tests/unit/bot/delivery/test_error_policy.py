"""The action for each error, and how long Discord asks to wait.

What each action does is tested over HTTP, in `tests/integration/bot/delivery/test_error_policy.py`.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest

from bot.delivery.error_policy import ErrorAction, action_for, describe, retry_after
from bot.errors import RenderFailed, StoredPictureMissing


def refusal(status: int, code: int = 0, retry_after: str | None = None) -> discord.HTTPException:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    response: Any = SimpleNamespace(status=status, reason="No", headers=headers)
    return discord.HTTPException(response, {"code": code, "message": "a sentence"})


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (refusal(400, 50035), ErrorAction.MALFORMED),
        (refusal(403, 50007), ErrorAction.NEXT_ROUTE),
        # The code decides, not the status.
        (refusal(429, 30046), ErrorAction.NEXT_ROUTE),
        (refusal(401), ErrorAction.NEXT_ROUTE),
        (refusal(413), ErrorAction.SMALLER),
        (refusal(418), ErrorAction.MALFORMED),
        (refusal(499), ErrorAction.MALFORMED),
        (refusal(500), ErrorAction.RETRY),
        (refusal(503), ErrorAction.RETRY),
        (discord.RateLimited(3.0), ErrorAction.RETRY),
        (StoredPictureMissing("It is missing."), ErrorAction.LOST),
        (RenderFailed("A bug."), ErrorAction.MALFORMED),
        (TimeoutError(), ErrorAction.RETRY),
        (ConnectionResetError(), ErrorAction.RETRY),
        (aiohttp.ServerDisconnectedError(), ErrorAction.RETRY),
        (ValueError("no JSON"), ErrorAction.RETRY_BRIEFLY),
        (KeyError("id"), ErrorAction.RETRY_BRIEFLY),
    ],
)
def test_every_error_has_its_action(error: Exception, action: ErrorAction) -> None:
    assert action_for(error, as_bot=False) is action


@pytest.mark.parametrize("code", [0, 50027])
def test_a_refused_token_of_the_bot_stops_all_delivery(code: int) -> None:
    assert action_for(refusal(401, code), as_bot=True) is ErrorAction.KEEP


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (refusal(429, retry_after="2.5"), 2.5),
        (refusal(429, retry_after="Fri, 31 Dec 1999 23:59:59 GMT"), 0.0),
        (refusal(429), 0.0),
        (discord.RateLimited(7.0), 7.0),
        (TimeoutError(), 0.0),
    ],
)
def test_the_wait_is_what_discord_asks_for(error: Exception, seconds: float) -> None:
    assert retry_after(error) == seconds


def test_the_log_shows_discords_text_and_of_other_errors_only_their_kind() -> None:
    assert describe(refusal(400, 50035)) == "400 50035 a sentence"
    secret = aiohttp.InvalidURL("https://discord.com/api/webhooks/1/secret-token")
    assert describe(secret) == "InvalidURL"
