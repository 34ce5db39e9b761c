"""Prices from measured pictures, and the charges against a budget."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from bot.jobs.budgets import Allowance, BudgetSpent, ServerBudgetTooSmall, Spent
from bot.jobs.job import Job
from bot.jobs.queue import FairQueue
from bot.monitoring.metrics import Metrics
from bot.runner.accounting import Accounting
from bot.store.store import Store
from inference import ImageResult, ModelEntry, Timings
from tests.support.jobs import DESTINATION, picture, queued_job

NOW = 1_800_014_400.0


@dataclasses.dataclass
class Books:
    store: Store
    queue: FairQueue
    accounting: Accounting
    metrics: Metrics


@pytest_asyncio.fixture
async def books(tmp_path: Path) -> AsyncIterator[Books]:
    async with Store.open(tmp_path) as store:
        queue, metrics = FairQueue(), Metrics()
        yield Books(store, queue, Accounting(store.ledger, queue, metrics, lambda: NOW), metrics)


def ask(name: str, user: int = 7, pictures: int = 1, model: str = "small") -> Job:
    one = queued_job(name, user, pictures=pictures)
    here = dataclasses.replace(DESTINATION, guild_id=3)
    return dataclasses.replace(one, model=model, destination=here, created_at=NOW)


def made(job: Job, seconds: float) -> ImageResult:
    return ImageResult(
        id=job.id,
        pixels=b"",
        width=job.width,
        height=job.height,
        steps_run=job.steps,
        timings=Timings(prepare=0.0, steps=0.0, decode=0.0, device=seconds),
    )


def test_a_price_depends_on_steps_pictures_area_and_model(books: Books) -> None:
    accounting, one = books.accounting, ask("a")
    assert accounting.price(one) is None
    accounting.charge(one, 0, made(one, 2.0))
    assert accounting.price(one) == pytest.approx(2.0)
    for change, price in (
        ({"steps": 20}, 4.0),
        ({"variants": one.variants * 3}, 6.0),
        ({"width": one.width * 2}, 4.0),
        # The weight of a role decides the order of the queue, not the price.
        ({"weight": 5}, 2.0),
    ):
        assert accounting.price(dataclasses.replace(one, **change)) == pytest.approx(price)
    assert accounting.price(ask("b", model="large")) is None


def test_the_newest_picture_weighs_37_percent_in_the_price(books: Books) -> None:
    one = ask("a")
    for seconds in (2.0, 4.0):
        books.accounting.charge(one, 0, made(one, seconds))
    assert books.accounting.price(one) == pytest.approx(2.0 + 0.37 * (4.0 - 2.0))


async def test_prices_are_known_after_a_restart(books: Books) -> None:
    one = dataclasses.replace(ask("a"), source=await books.store.pictures.put(picture()))
    await books.store.accept(one)
    await books.store.start(one.id, NOW)
    result = await books.store.pictures.put(picture(1))
    charge = books.accounting.charge(one, 0, made(one, 2.0))
    await books.store.variant_made(one.id, 0, result, ignored_prompt="", depth=None, charge=charge)
    fresh = Accounting(books.store.ledger, FairQueue(), Metrics(), lambda: NOW)
    await fresh.load()
    assert fresh.price(ask("b")) == pytest.approx(2.0)


async def test_a_shown_part_is_charged_its_seconds_and_changes_no_price(books: Books) -> None:
    one = dataclasses.replace(ask("a"), source=await books.store.pictures.put(picture()))
    part = dataclasses.replace(one, id="b", steps=0, layout="part")
    for job, seconds in ((one, 2.0), (part, 50.0)):
        await books.store.accept(job)
        await books.store.start(job.id, NOW)
        charge = books.accounting.charge(job, 0, made(job, seconds))
        result = await books.store.pictures.put(picture(1))
        await books.store.variant_made(
            job.id, 0, result, ignored_prompt="", depth=None, charge=charge
        )
    assert (charge.seconds, charge.work) == (50.0, 0.0)
    assert (await books.accounting.spent(7, 3)).user == 52.0
    fresh = Accounting(books.store.ledger, FairQueue(), Metrics(), lambda: NOW)
    await fresh.load()
    for accounting in (books.accounting, fresh):
        assert accounting.price(ask("c")) == pytest.approx(2.0)


async def test_a_cancelled_request_is_charged_the_steps_that_ran(books: Books) -> None:
    accounting, store = books.accounting, books.store
    one = dataclasses.replace(
        ask("a", pictures=4), source=await store.pictures.put(picture()), steps=10
    )
    await store.accept(one)
    await store.start(one.id, NOW)
    assert accounting.charge_for_cancelled({0: 5}, one) is None, "no rate was measured"
    first = accounting.charge(one, 0, made(one, 2.0))
    result = await store.pictures.put(picture(1))
    await store.variant_made(one.id, 0, result, ignored_prompt="", depth=None, charge=first)
    # The first is made and charged; 2 is finished but not stored; 3 did not begin.
    charge_for = partial(accounting.charge_for_cancelled, {0: 0, 1: 5, 2: 0})
    cancelled = await store.cancel(one.id, charge_for)
    accounting.cancelled(cancelled, charge_for(cancelled))
    labels = {"model": "small", "outcome": "cancelled"}
    counted = books.metrics.registry.get_sample_value("redraw_device_seconds_total", labels)
    assert counted == pytest.approx(1.0 + 2.0)
    assert (await accounting.spent(7, 3)).user == pytest.approx(2.0 + 1.0 + 2.0)
    [row] = await store.ledger.usage("2027-01-01")
    assert (row.requests, row.pictures) == (1, 1)
    assert await store.ledger.rates("2027-01-01") == {"small": pytest.approx(2.0 / one.cost * 4)}


async def test_waiting_and_running_pictures_count_until_they_are_charged(books: Books) -> None:
    first = ask("a")
    books.accounting.charge(first, 0, made(first, 2.0))
    waiting = ask("b", pictures=3)
    books.queue.add(waiting)
    assert await books.accounting.spent(7, 3) == Spent(user=6.0, user_here=6.0, server=6.0)
    assert await books.accounting.spent(8, 3) == Spent(server=6.0)
    running = books.queue.pop()
    assert running is not None
    # The charged picture is in the ledger.
    books.accounting.charge(running, 0, made(running, 2.0))
    assert (await books.accounting.spent(7, 3)).user == pytest.approx(4.0)
    books.queue.done(running.id)
    assert await books.accounting.spent(7, 3) == Spent()


async def test_only_one_of_two_requests_at_once_takes_the_remaining_budget(books: Books) -> None:
    first = ask("a")
    books.accounting.charge(first, 0, made(first, 2.0))
    allowance = Allowance(server=3.0)
    async with books.accounting.hold(ask("b", user=7), allowance):
        with pytest.raises(ServerBudgetTooSmall):
            await books.accounting.check(ask("c", user=8), allowance)
        with pytest.raises(BudgetSpent):
            await books.accounting.check(ask("d"), Allowance(user=2.0))
    await books.accounting.check(ask("c", user=8), allowance)


def test_a_slow_models_work_counts_as_much_as_it_takes(books: Books) -> None:
    accounting = books.accounting
    fast, slow = ask("a", model="fast"), ask("b", model="slow")
    assert accounting.relative_cost(slow, "fast") == slow.cost
    accounting.charge(fast, 0, made(fast, 1.0))
    accounting.charge(slow, 0, made(slow, 4.0))
    assert accounting.relative_cost(slow, "fast") == pytest.approx(4 * slow.cost)
    assert accounting.relative_cost(fast, "fast") == pytest.approx(fast.cost)


def test_the_time_of_a_picture_follows_the_measurements(books: Books) -> None:
    one = ask("a", model="fast")
    pixels = one.width * one.height
    model = ModelEntry(
        name="fast", source="", licence="", pixels=3 * pixels, steps=2 * one.steps, strength=0.5
    )
    seconds = books.accounting.picture_seconds
    assert seconds(model, "img2img") is None
    books.accounting.charge(one, 0, made(one, 2.0))
    assert seconds(model, "img2img") == pytest.approx(6.0)
    # All steps run, and an edit reads the pixels of its source in each of them.
    assert seconds(model, "text2img") == pytest.approx(12.0)
    assert seconds(model, "edit") == pytest.approx(24.0)
