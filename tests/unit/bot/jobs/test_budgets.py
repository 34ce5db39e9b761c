"""Limits by role and budgets: which hold for a user, and what they refuse."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from bot.i18n.error_text import translate_error
from bot.jobs.budgets import (
    EVERYONE,
    Allowance,
    BudgetExceeded,
    BudgetSpent,
    BudgetTooSmall,
    LimitExceeded,
    ModelNotForRole,
    PictureTooLargeForRole,
    PrivateNotForRole,
    RoleLimits,
    ServerBudgetSpent,
    ServerBudgetTooSmall,
    Spent,
    TooManyPicturesForRole,
    TooManyStepsForRole,
    both,
    check_budget,
    check_limits,
    limits_for,
)
from tests.support.jobs import job, queued_job

ARTIST, GUEST = 5, 6
LIMITS = {
    EVERYONE: RoleLimits(
        seconds_a_day=60,
        cooldown_seconds=30,
        steps=20,
        pictures=1,
        megapixels=0.25,
        models=("small",),
        private=False,
    ),
    ARTIST: RoleLimits(
        seconds_a_day=600,
        cooldown_seconds=5,
        steps=50,
        pictures=4,
        megapixels=1.0,
        models=("large",),
        private=True,
    ),
    GUEST: RoleLimits(steps=10),
}


def test_a_user_has_the_most_generous_limit_of_each_kind() -> None:
    assert limits_for(LIMITS, []) == LIMITS[EVERYONE]
    both_models = LIMITS[ARTIST].model_copy(update={"models": ("small", "large")})
    assert limits_for(LIMITS, [ARTIST]) == both_models
    # A role that sets less than everybody has takes nothing away.
    assert limits_for(LIMITS, [GUEST]) == LIMITS[EVERYONE]
    assert limits_for({}, [ARTIST]) == RoleLimits()
    assert limits_for({GUEST: LIMITS[GUEST]}, [ARTIST]) == RoleLimits()


def test_of_the_operators_and_the_servers_limits_the_stricter_one_holds() -> None:
    strict = both(LIMITS[EVERYONE], LIMITS[ARTIST])
    assert strict == LIMITS[EVERYONE].model_copy(update={"models": ()})
    assert both(RoleLimits(), LIMITS[ARTIST]) == LIMITS[ARTIST]
    assert both(LIMITS[ARTIST], RoleLimits()) == LIMITS[ARTIST]


ONE = dataclasses.replace(queued_job("a", 7, steps=20), model="small", width=500, height=500)
REFUSED: list[tuple[dict[str, Any], type[LimitExceeded]]] = [
    ({"steps": 21}, TooManyStepsForRole),
    ({"variants": ONE.variants * 2}, TooManyPicturesForRole),
    ({"width": 501}, PictureTooLargeForRole),
    ({"model": "large"}, ModelNotForRole),
]


@pytest.mark.parametrize(("change", "error"), REFUSED)
def test_a_request_beyond_a_limit_is_refused(
    change: dict[str, Any], error: type[LimitExceeded]
) -> None:
    check_limits(LIMITS[EVERYONE], ONE, private=False)
    with pytest.raises(error):
        check_limits(LIMITS[EVERYONE], dataclasses.replace(ONE, **change), private=False)


def test_private_pictures_need_a_role_where_everybody_has_none() -> None:
    check_limits(RoleLimits(), job(), private=True)
    check_limits(LIMITS[ARTIST], dataclasses.replace(ONE, model="large"), private=True)
    with pytest.raises(PrivateNotForRole):
        check_limits(LIMITS[EVERYONE], ONE, private=True)


SOME = Allowance(user=100, user_here=50, server=1000)
BUDGETS: list[tuple[Spent, float | None, type[BudgetExceeded] | None]] = [
    (Spent(), 50.0, None),
    (Spent(), 50.5, BudgetTooSmall),
    (Spent(user=60), 41.0, BudgetTooSmall),
    (Spent(user=100), None, BudgetSpent),
    (Spent(user_here=49.0), None, None),
    (Spent(user_here=50.0), None, BudgetSpent),
    (Spent(server=990), 11.0, ServerBudgetTooSmall),
    (Spent(server=1000.5), 0.1, ServerBudgetSpent),
]


@pytest.mark.parametrize(("spent", "price", "error"), BUDGETS)
def test_a_request_needs_its_price_of_each_budget(
    spent: Spent, price: float | None, error: type[BudgetExceeded] | None
) -> None:
    check_budget(Allowance(), spent, price, 0.0)
    if error is None:
        check_budget(SOME, spent, price, 0.0)
    else:
        with pytest.raises(error):
            check_budget(SOME, spent, price, 0.0)


LIMIT_SENTENCES: list[tuple[dict[str, Any], str]] = [
    ({"steps": 21}, "at most 20 steps are allowed"),
    ({"variants": ONE.variants * 2}, "at most 1 picture here"),
    ({"width": 501}, "at most 0.25 megapixels"),
    ({"model": "large"}, "the model large may not be used"),
]


@pytest.mark.parametrize(("change", "sentence"), LIMIT_SENTENCES)
def test_the_sentence_names_the_limit(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LimitExceeded, match=sentence):
        check_limits(LIMITS[EVERYONE], dataclasses.replace(ONE, **change), private=False)


BUDGET_SENTENCES = [
    (
        Allowance(user=60),
        Spent(user=61),
        "You have used your computing time for today (60 s). It renews <t:86400:R>.",
    ),
    (
        Allowance(user=1000, server=180),
        Spent(server=180),
        "This server has used its computing time for today (3 min). It renews <t:86400:R>.",
    ),
    (
        Allowance(server=60),
        Spent(server=48),
        "This request needs about 3 min of computing time, and this server has 12 s left for "
        "today. Its time renews <t:86400:R>.",
    ),
]


@pytest.mark.parametrize(("allowance", "spent", "sentence"), BUDGET_SENTENCES)
def test_the_sentence_names_the_budget(allowance: Allowance, spent: Spent, sentence: str) -> None:
    with pytest.raises(BudgetExceeded) as caught:
        check_budget(allowance, spent, 200.0, 86_400.5)
    assert str(caught.value) == sentence


def test_the_sentence_names_price_rest_and_renewal() -> None:
    with pytest.raises(BudgetTooSmall) as caught:
        check_budget(Allowance(user_here=50), Spent(user_here=38), 200.0, 86_400.0)
    assert str(caught.value) == (
        "This request needs about 3 min of computing time, and you have 12 s left for today. "
        "Your time renews <t:86400:R>."
    )
    assert "etwa 3 min" in translate_error("de", caught.value)
