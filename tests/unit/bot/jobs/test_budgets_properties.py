"""Budgets under any sequence of requests, charges, cancellations and days, against plain sums."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import defaultdict
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bot.jobs.budgets import (
    EVERYONE,
    Allowance,
    BudgetExceeded,
    RoleLimits,
    Spent,
    both,
    check_budget,
    limits_for,
)
from bot.jobs.job import Job
from bot.jobs.queue import FairQueue
from bot.monitoring.metrics import Metrics
from bot.runner.accounting import Accounting
from bot.store.ledger import day_of, renewal
from bot.store.store import Store
from inference import ImageResult, Timings
from tests.support.jobs import DESTINATION, queued_job

T = TypeVar("T")
DAY, NOON = 86_400.0, 1_800_014_400.0
USERS, GUILDS = (7, 8), (3, 4, None)
# One step of the picture takes a quarter of a second of the device: all sums are exact.
SECONDS = 0.25
MAX_STEPS = 8

amounts = st.none() | st.integers(0, 40).map(lambda quarters: quarters / 4)


class BudgetMachine(RuleBasedStateMachine):
    """Compares the accounting of a real ledger with lists of charges.

    Every request has one picture. The first one is free and gives the price.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.now = NOON
        self.queue = FairQueue()
        self.numbers = itertools.count()
        # (day, user, guild) → seconds.
        self.charged: defaultdict[tuple[str, int, int | None], float] = defaultdict(float)

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def open(self) -> None:
        self.store = self.run(self.stack.enter_async_context(Store.open(self.folder)))
        self.restart()
        free = self.new(999, None, 4)
        self.accounting.charge(free, 0, result(free))

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.loop.close()

    def restart(self) -> None:
        self.accounting = Accounting(self.store.ledger, self.queue, Metrics(), lambda: self.now)
        self.run(self.accounting.load())

    def new(self, user: int, guild: int | None, steps: int) -> Job:
        one = queued_job(f"{next(self.numbers):016x}", user, steps=steps)
        destination = replace(DESTINATION, guild_id=guild)
        return replace(one, source=None, task="text2img", destination=destination, model="small")

    @rule(
        user=st.sampled_from(USERS),
        guild=st.sampled_from(GUILDS),
        steps=st.integers(1, MAX_STEPS),
        limits=st.tuples(amounts, amounts, amounts),
    )
    def ask(
        self,
        user: int,
        guild: int | None,
        steps: int,
        limits: tuple[float | None, float | None, float | None],
    ) -> None:
        """A request is accepted exactly if its price is left of each of its budgets."""
        job = replace(self.new(user, guild, steps), created_at=self.now)
        spent, price = self.expected(user, guild), SECONDS * steps
        used = (spent.user, spent.user_here, spent.server)
        fits = all(
            limit is None or (each < limit and each + price <= limit)
            for limit, each in zip(limits, used, strict=True)
        )
        allowance = Allowance(user=limits[0], user_here=limits[1], server=limits[2])
        try:
            self.run(self.accept(job, allowance))
        except BudgetExceeded:
            assert not fits
        else:
            assert fits

    async def accept(self, job: Job, allowance: Allowance) -> None:
        async with self.accounting.hold(job, allowance):
            await self.store.accept(job)
            self.queue.add(job)

    @precondition(lambda self: len(self.queue) > 0)
    @rule()
    def make(self) -> None:
        """The next request's picture is made and charged."""
        job = self.queue.pop()
        assert job is not None
        charge = self.accounting.charge(job, 0, result(job))
        self.run(self.store.start(job.id, self.now))
        self.run(
            self.store.variant_made(
                job.id, 0, "0" * 64, ignored_prompt="", depth=None, charge=charge
            )
        )
        self.queue.done(job.id)
        self.add(job, SECONDS * job.steps)

    @precondition(lambda self: len(self.queue) > 0)
    @rule(left=st.integers(0, MAX_STEPS))
    def cancel(self, left: int) -> None:
        """A request is cancelled while it runs, with some steps left."""
        job = self.queue.pop()
        assert job is not None
        left = min(left, job.steps)
        charge_for = partial(self.accounting.charge_for_cancelled, {0: left})
        job = self.run(self.store.cancel(job.id, charge_for))
        self.accounting.cancelled(job, charge_for(job))
        self.queue.done(job.id)
        self.add(job, SECONDS * (job.steps - left))

    def add(self, job: Job, seconds: float) -> None:
        self.charged[day_of(self.now), job.user_id, job.destination.guild_id] += seconds

    @rule(seconds=st.sampled_from([1.0, 3600.0, DAY]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def wait_until_just_before_midnight(self) -> None:
        self.now = renewal(self.now) - 1.0

    @rule()
    def expire(self) -> None:
        self.run(self.store.ledger.expire(self.now))

    @rule(user=st.sampled_from(USERS))
    def erase(self, user: int) -> None:
        """The erasure of a user's data ends their requests and renews no budget."""
        for job in self.queue.order():
            if job.user_id == user:
                self.queue.remove(job.id)
        self.run(self.store.erase_user(user))

    def expected(self, user: int, guild: int | None) -> Spent:
        today = day_of(self.now)
        sums = dict.fromkeys(("user", "user_here", "server"), 0.0)
        entries = [(*key[1:], seconds) for key, seconds in self.charged.items() if key[0] == today]
        entries += [
            (job.user_id, job.destination.guild_id, SECONDS * job.steps)
            for job in self.queue.order()
        ]
        for owner, where, seconds in entries:
            sums["user"] += seconds * (owner == user)
            sums["user_here"] += seconds * (owner == user and where == guild)
            sums["server"] += seconds * (where == guild)
        return Spent(**sums)

    @invariant()
    def what_is_spent_is_the_sum_of_charges_and_of_open_requests(self) -> None:
        for user, guild in itertools.product(USERS, GUILDS):
            spent = self.run(self.accounting.spent(user, guild))
            expected = self.expected(user, guild)
            assert spent.user == pytest.approx(expected.user)
            assert spent.user_here == pytest.approx(expected.user_here)
            assert spent.server == pytest.approx(expected.server)
            assert min(spent.user, spent.user_here, spent.server) >= 0.0

    @invariant()
    def the_ledger_has_every_charge(self) -> None:
        rows = self.run(self.store.ledger.usage("2000-01-01"))
        assert sum(row.seconds for row in rows) == pytest.approx(sum(self.charged.values()))

    @invariant()
    def a_budget_renews_within_a_day_and_at_the_end_of_it(self) -> None:
        at = self.accounting.renews_at
        assert 0.0 < at - self.now <= DAY
        assert day_of(at - 1.0) == day_of(self.now) != day_of(at)


def result(job: Job) -> ImageResult:
    return ImageResult(
        id=job.id,
        pixels=b"",
        width=job.width,
        height=job.height,
        steps_run=job.steps,
        timings=Timings(prepare=0.0, steps=0.0, decode=0.0, device=SECONDS * job.steps),
    )


TestBudgets = BudgetMachine.TestCase
TestBudgets.settings = settings(stateful_step_count=20)


role_limits = st.builds(
    RoleLimits,
    seconds_a_day=st.none() | st.floats(0, 1000),
    cooldown_seconds=st.none() | st.integers(0, 21_600),
    steps=st.none() | st.integers(1, 150),
    pictures=st.none() | st.integers(1, 6),
    megapixels=st.none() | st.floats(0.1, 10),
    models=st.none() | st.lists(st.sampled_from("abc"), unique=True).map(tuple),
    private=st.none() | st.booleans(),
)
# Of these a larger value allows more; of a cool-down a smaller one.
AMOUNTS = ("seconds_a_day", "steps", "pictures", "megapixels")


def allows(limits: RoleLimits, at_least: RoleLimits) -> bool:
    """Whether `limits` allow everything that `at_least` allows."""
    wide, narrow = limits.model_dump(), at_least.model_dump()
    amounts_hold = all(
        wide[name] is None or (narrow[name] is not None and wide[name] >= narrow[name])
        for name in AMOUNTS
    )
    cooldown = limits.cooldown_seconds or 0
    models_hold = limits.models is None or (
        at_least.models is not None and set(limits.models) >= set(at_least.models)
    )
    private_holds = limits.private is not False or at_least.private is False
    return (
        amounts_hold
        and cooldown <= (at_least.cooldown_seconds or 0)
        and models_hold
        and private_holds
    )


@given(first=role_limits, second=role_limits)
def test_where_two_limits_hold_nothing_is_allowed_that_one_of_them_forbids(
    first: RoleLimits, second: RoleLimits
) -> None:
    strict = both(first, second)
    assert allows(first, strict)
    assert allows(second, strict)
    # Nothing else is forbidden.
    assert both(strict, strict) == strict == both(strict, second)
    assert both(first, RoleLimits()) == first


@given(limits=st.dictionaries(st.integers(0, 4), role_limits), roles=st.sets(st.integers(1, 5)))
def test_a_further_role_takes_nothing_away_that_another_role_gives(
    limits: dict[int, RoleLimits], roles: set[int]
) -> None:
    """The roles that set a limit of a kind are compared; the others do not count."""
    own = limits_for(limits, roles)
    setting = [limits[key] for key in (EVERYONE, *roles) if key in limits]
    for name in AMOUNTS:
        values = [value for one in setting if (value := getattr(one, name)) is not None]
        assert getattr(own, name) == (max(values) if values else None)
    cooldowns = [one.cooldown_seconds for one in setting if one.cooldown_seconds is not None]
    assert own.cooldown_seconds == (min(cooldowns) if cooldowns else None)
    models = [one.models for one in setting if one.models is not None]
    assert set(own.models or ()) == {name for names in models for name in names}
    assert (own.models is None) is (not models)
    privates = [one.private for one in setting if one.private is not None]
    assert own.private is (any(privates) if privates else None)


@given(limit=st.floats(0, 1e6), used=st.floats(0, 1e6), price=st.none() | st.floats(0, 1e6))
def test_a_budget_is_never_overdrawn(limit: float, used: float, price: float | None) -> None:
    try:
        check_budget(Allowance(user=limit), Spent(user=used), price, 0.0)
    except BudgetExceeded:
        assert used >= limit or (price is not None and price > limit - used)
    else:
        assert used < limit
        assert price is None or price <= limit - used
