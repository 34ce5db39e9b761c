"""Durations and waiting times as text."""

from __future__ import annotations

import pytest

from bot.i18n.durations import WaitTime, duration
from bot.i18n.error_text import translate_error
from bot.i18n.translate import LANGUAGES
from bot.jobs.admission import QueueFull


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "1 s"), (89.4, "89 s"), (90.0, "2 min"), (5399.0, "90 min"), (7200.0, "2 h")],
)
def test_a_duration_is_in_seconds_minutes_or_hours(seconds: float, text: str) -> None:
    assert duration("en-US", seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "a few minutes"),
        (0.0, "a minute"),
        (61.0, "2 minutes"),
        (300.0, "5 minutes"),
        (5400.0, "90 minutes"),
        (7201.0, "3 hours"),
    ],
)
def test_a_waiting_time_is_rounded_up(seconds: float | None, text: str) -> None:
    assert str(WaitTime(seconds)) == text


def test_a_waiting_time_in_a_sentence_is_in_its_language() -> None:
    texts = {
        language: translate_error(language, QueueFull(wait=WaitTime(170.0)))
        for language in LANGUAGES
    }
    assert "in 3 Minuten wieder" in texts["de"]
    assert "dans 3 minutes" in texts["fr"]
    assert "en 3 minutos" in texts["es"]
    assert "3 分 後" in texts["ja"]
    assert str(QueueFull(wait=WaitTime(170.0))) == texts["en"]
    assert "Try again in 3 minutes" in texts["en"]
