"""No secret reaches a log, at any level, not even inside a traceback."""

import io
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from bot.logs.formats import RedactingJsonFormatter, TextFormatter
from bot.logs.redaction import Redactor

# Made up; of the form that Discord's tokens have.
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA.GabcDe.abcdefghijklmnopqrstuvwxyz0123456789AB"
OTHER = "OTg3NjU0MzIxMDk4NzY1NDMyMTA.Gxyzzy.zyxwvutsrqponmlkjihgfedcba9876543210ZY"
OTHER_FORM = "an-interaction-token-of-another-form"
SIGNATURE = "9f" * 32
HUB = "hf_AbCdEfGhIjKlMnOpQrStUvWx"
INTERACTION = "aW50ZXJhY3Rpb246MTIzOnNlY3JldHNlY3JldA"


@pytest.mark.parametrize(
    "message",
    [
        f"Bot {TOKEN}",
        f"another bot's {OTHER}",
        f"POST https://discord.com/api/v10/webhooks/123/{INTERACTION}/messages/@original",
        f"POST https://discord.com/api/v10/interactions/9/{INTERACTION}/callback?x=1",
        f"the token {INTERACTION} alone",
        f"{{'t': 'INTERACTION_CREATE', 'd': {{'token': '{OTHER_FORM}', 'id': '1'}}}}",
        f'{{"t": "X", "d": "{{\\"token\\": \\"{OTHER_FORM}\\"}}"}}',
        f"Destination(channel_id=1, token='{OTHER_FORM}')",
        f"{{'access_token': '{OTHER_FORM}', 'refresh_token':'{OTHER_FORM}'}}",
        f"the model hub refused {HUB}",
        f"https://cdn.discordapp.com/attachments/1/2/a.png?ex=65&is=64&hm={SIGNATURE}&",
        f"https://media.discordapp.net/attachments/1/2/a.png?hm={SIGNATURE.upper()}",
        f"https://p.example/?u=https%3A%2F%2Fcdn.discordapp.com%2Fa.png%3Fis%3D6%26hm%3D{SIGNATURE}",
        f'{{"url": "https://cdn.discordapp.com/a.png?is=64\\u0026hm={SIGNATURE}"}}',
    ],
)
@pytest.mark.parametrize("raised", [False, True])
@pytest.mark.parametrize("formatter", [TextFormatter, RedactingJsonFormatter])
def test_secrets_are_taken_out(
    message: str, raised: bool, formatter: type[TextFormatter | RedactingJsonFormatter]
) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter(Redactor([TOKEN])))
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
    secrets = (TOKEN, OTHER, INTERACTION, OTHER_FORM, HUB, SIGNATURE, SIGNATURE.upper())
    assert not any(secret in text for secret in secrets)


def test_a_token_that_was_seen_in_a_payload_is_removed_by_its_value() -> None:
    redactor = Redactor([])
    redactor.redact(f"{{'token': '{OTHER_FORM}'}}")
    assert redactor.redact(f"sent {OTHER_FORM} somewhere") == "sent [secret] somewhere"


BUG = """
import sys
from bot import __main__

async def perform(*_):
    raise RuntimeError("https://discord.com/api/v10/webhooks/1/" + sys.argv[1])

__main__.perform = perform
sys.exit(__main__.main(["run"]))
"""


def test_a_bug_that_ends_the_bot_is_logged_without_secrets() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BUG, INTERACTION],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "webhooks/1/[secret]" in done.stderr
    assert INTERACTION not in done.stderr
