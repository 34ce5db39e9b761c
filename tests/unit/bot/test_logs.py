"""No secret reaches a log, at any level, not even inside a traceback."""

import io
import logging

import pytest

from bot.logs import RedactingFormatter

# Made up; of the form that Discord's tokens have.
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA.GabcDe.abcdefghijklmnopqrstuvwxyz0123456789AB"
OTHER = "OTg3NjU0MzIxMDk4NzY1NDMyMTA.Gxyzzy.zyxwvutsrqponmlkjihgfedcba9876543210ZY"
INTERACTION = "aW50ZXJhY3Rpb246MTIzOnNlY3JldHNlY3JldA"


@pytest.mark.parametrize(
    "message",
    [
        f"Bot {TOKEN}",
        f"another bot's {OTHER}",
        f"POST https://discord.com/api/v10/webhooks/123/{INTERACTION}/messages/@original",
        f"POST https://discord.com/api/v10/interactions/9/{INTERACTION}/callback?x=1",
    ],
)
@pytest.mark.parametrize("raised", [False, True])
def test_secrets_are_taken_out(message: str, raised: bool) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(RedactingFormatter([TOKEN]))
    logger = logging.Logger("test", logging.DEBUG)
    logger.addHandler(handler)
    if raised:
        try:
            raise RuntimeError(message)
        except RuntimeError:
            logger.exception("failed")
    else:
        logger.debug("%s", message)
    text = out.getvalue()
    assert "[secret]" in text
    assert not any(secret in text for secret in (TOKEN, OTHER, INTERACTION))
