"""The operator's settings become limits."""

from bot.config import Settings
from bot.intake import IntakeLimits


def test_limits_follow_the_settings() -> None:
    settings = Settings(
        allowed_ports=(80, 8080),
        allowed_hosts=("nas.test",),
        denied_hosts=("evil.test",),
        background="#0a80ff",
        contact="https://redraw.example",
    )
    limits = IntakeLimits.from_settings(settings)
    assert limits.allowed_ports == (80, 8080)
    assert limits.allowed_hosts == ("nas.test",)
    assert limits.denied_hosts == ("evil.test",)
    assert limits.background == (10, 128, 255)
    assert limits.contact == "https://redraw.example"
