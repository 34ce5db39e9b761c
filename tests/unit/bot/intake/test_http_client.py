"""The limit of the bytes that are received for one response."""

from __future__ import annotations

import pytest

from bot.intake.http_client import BodyTooLarge, HeadTooLarge, ReceiveLimit


def test_the_encoding_of_a_body_may_add_a_quarter() -> None:
    limit = ReceiveLimit(20 * 2**20)
    limit.count(60_000)
    limit.head_complete = True
    for _ in range(25):
        limit.count(2**20)
    assert not limit.body_too_large
    with pytest.raises(BodyTooLarge):
        limit.count(2**20)
    assert limit.body_too_large


def test_a_head_that_does_not_end_is_refused_before_its_body_could_be() -> None:
    limit = ReceiveLimit(20 * 2**20)
    with pytest.raises(HeadTooLarge):
        limit.count(2**20)
    assert not limit.body_too_large
