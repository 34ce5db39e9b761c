"""Budgets and limits by role: pure policy. A budget is in device seconds for one day in UTC.

`bot.errors` draws the errors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from bot.errors import RequestError
from bot.i18n.durations import Duration
from bot.jobs.job import Job

# A sheet of styles has six.
MAX_PICTURES = 6
# The key of the limits for all users, beside the ids of roles.
EVERYONE = 0

T = TypeVar("T", int, float)


class LimitExceeded(RequestError):
    """The user's roles do not allow the request. Raised before it is accepted."""


class TooManyStepsForRole(LimitExceeded):
    """More steps than the user's roles allow."""

    text = "With your roles, at most {limit} {limit:step is|steps are} allowed here."


class TooManyPicturesForRole(LimitExceeded):
    """More pictures in one request than the user's roles allow."""

    text = "With your roles, a request may have at most {limit} {limit:picture|pictures} here."


class PictureTooLargeForRole(LimitExceeded):
    """The picture has more pixels than the user's roles allow."""

    text = (
        "With your roles, pictures of at most {limit:g} {limit:megapixel|megapixels} "
        "are allowed here."
    )


class ModelNotForRole(LimitExceeded):
    """The user's roles do not include this model."""

    text = "With your roles, the model {model} may not be used here."


class PrivateNotForRole(LimitExceeded):
    """The user's roles do not include private pictures."""

    text = "With your roles, private pictures are not allowed here."


class BudgetExceeded(RequestError):
    """The day's budget does not allow the request. `when` is Discord's markup of the renewal."""


class BudgetSpent(BudgetExceeded):
    """Nothing is left of the user's budget."""

    text = "You have used your computing time for today ({limit}). It renews {when}."


class BudgetTooSmall(BudgetExceeded):
    """Too little is left of the user's budget."""

    text = (
        "This request needs about {price} of computing time, and you have {left} left for today. "
        "Your time renews {when}."
    )


class ServerBudgetSpent(BudgetExceeded):
    """Nothing is left of the server's budget."""

    text = "This server has used its computing time for today ({limit}). It renews {when}."


class ServerBudgetTooSmall(BudgetExceeded):
    """Too little is left of the server's budget."""

    text = (
        "This request needs about {price} of computing time, and this server has {left} left for "
        "today. Its time renews {when}."
    )


class RoleLimits(BaseModel):
    """The limits of the users with a role. None: the role sets no limit of this kind.

    `seconds_a_day` is the budget, `cooldown_seconds` the time between two requests.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds_a_day: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    cooldown_seconds: int | None = Field(default=None, ge=0, le=6 * 3600)
    steps: int | None = Field(default=None, ge=1, le=150)
    pictures: int | None = Field(default=None, ge=1, le=MAX_PICTURES)
    megapixels: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    models: tuple[str, ...] | None = None
    private: bool | None = None


NO_LIMITS = RoleLimits()


def limits_for(limits: Mapping[int, RoleLimits], role_ids: Collection[int]) -> RoleLimits:
    """The limits of a user with these roles: of each kind, the most generous one that the user's
    roles or `EVERYONE` set."""
    own = [limits[key] for key in (EVERYONE, *role_ids) if key in limits]
    models = [each.models for each in own if each.models is not None]
    private = [each.private for each in own if each.private is not None]
    return RoleLimits(
        seconds_a_day=_largest(each.seconds_a_day for each in own),
        cooldown_seconds=_smallest(each.cooldown_seconds for each in own),
        steps=_largest(each.steps for each in own),
        pictures=_largest(each.pictures for each in own),
        megapixels=_largest(each.megapixels for each in own),
        models=tuple(dict.fromkeys(name for names in models for name in names)) if models else None,
        private=any(private) if private else None,
    )


def both(first: RoleLimits, second: RoleLimits) -> RoleLimits:
    """The limits of a request for which both hold: the operator's and the server's."""
    models = first.models if second.models is None else second.models
    if first.models is not None and second.models is not None:
        models = tuple(name for name in first.models if name in second.models)
    private = first.private if second.private is None else second.private
    if first.private is not None and second.private is not None:
        private = first.private and second.private
    return RoleLimits(
        seconds_a_day=_smallest((first.seconds_a_day, second.seconds_a_day)),
        cooldown_seconds=_largest((first.cooldown_seconds, second.cooldown_seconds)),
        steps=_smallest((first.steps, second.steps)),
        pictures=_smallest((first.pictures, second.pictures)),
        megapixels=_smallest((first.megapixels, second.megapixels)),
        models=models,
        private=private,
    )


def check_limits(limits: RoleLimits, job: Job, *, private: bool) -> None:
    """Check a job that was not accepted yet. `private`: the user asked for a private picture.

    Raises:
        LimitExceeded: the user's roles do not allow it.
    """
    check_pictures(limits, len(job.variants))
    if private:
        check_private(limits)
    if limits.steps is not None and job.steps > limits.steps:
        raise TooManyStepsForRole(limit=limits.steps)
    if limits.megapixels is not None and job.width * job.height > limits.megapixels * 1e6:
        raise PictureTooLargeForRole(limit=limits.megapixels)
    if limits.models is not None and job.model not in limits.models:
        raise ModelNotForRole(model=job.model)


def check_pictures(limits: RoleLimits, pictures: int) -> None:
    """Check the number of pictures, before the source is fetched.

    Raises:
        TooManyPicturesForRole: there are too many.
    """
    if limits.pictures is not None and pictures > limits.pictures:
        raise TooManyPicturesForRole(limit=limits.pictures)


def check_private(limits: RoleLimits) -> None:
    """Check a request for a private picture.

    Raises:
        PrivateNotForRole: the user's roles do not include it.
    """
    if limits.private is False:
        raise PrivateNotForRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The budgets that hold for a request, in seconds a day; None: without limit.

    `user` is the user's in all servers, set by the operator; `user_here` the one in this server,
    and `server` the server's own.
    """

    user: float | None = None
    user_here: float | None = None
    server: float | None = None


UNLIMITED = Allowance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """The cost of one picture: the device's seconds, and the work that they bought, as of
    `Job.cost`. `at` is in seconds since the epoch. A cancelled request made no `pictures`."""

    seconds: float
    work: float
    at: float
    pictures: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Device seconds of one day: of a user in all servers, of that user in one server, and of that
    server."""

    user: float = 0.0
    user_here: float = 0.0
    server: float = 0.0


def check_budget(allowance: Allowance, spent: Spent, price: float | None, renews_at: float) -> None:
    """Check that a request may be accepted.

    `spent` includes the prices of the accepted requests that are not finished. `price` is None
    until a picture of the model was measured. `renews_at` is in seconds since the epoch.

    Raises:
        BudgetExceeded: too little is left.
    """
    when = f"<t:{int(renews_at)}:R>"
    budgets = (
        (allowance.user, spent.user, BudgetSpent, BudgetTooSmall),
        (allowance.user_here, spent.user_here, BudgetSpent, BudgetTooSmall),
        (allowance.server, spent.server, ServerBudgetSpent, ServerBudgetTooSmall),
    )
    for limit, used, is_spent, is_too_small in budgets:
        if limit is None:
            continue
        left = limit - used
        if left <= 0:
            raise is_spent(limit=Duration(limit), when=when)
        if price is not None and price > left:
            raise is_too_small(price=Duration(price), left=Duration(left), when=when)


def _largest(values: Iterable[T | None]) -> T | None:
    return max((value for value in values if value is not None), default=None)


def _smallest(values: Iterable[T | None]) -> T | None:
    return min((value for value in values if value is not None), default=None)
