"""Slots in the engine's batch: their order, their number, and what is released."""

from __future__ import annotations

from dataclasses import replace

from bot.runner.batch_slots import BatchSlots, ModelSlots
from inference import ModelState, ModelStatus, ServiceStatus
from tests.support.services import READY


def status(**slots: int) -> ServiceStatus:
    """Loaded models with these numbers of slots."""
    return replace(
        READY,
        models=tuple(
            ModelStatus(name=name, state=ModelState.LOADED, slots=number)
            for name, number in slots.items()
        ),
    )


async def test_slots_are_ready_in_order_as_far_as_the_batch_goes() -> None:
    slots = BatchSlots()
    slots.resize(2)
    taken = [slots.take() for _ in range(4)]
    assert [slot.done() for slot in taken] == [True, True, False, False]
    assert not slots.free
    slots.release(taken[0])
    assert [slot.done() for slot in taken] == [True, True, True, False]


async def test_a_slot_that_is_released_before_it_was_ready_takes_no_room() -> None:
    slots = BatchSlots()
    first, second, third = (slots.take() for _ in range(3))
    slots.release(second)
    slots.release(first)
    assert third.done()
    slots.release(third)
    assert slots.free


async def test_a_holder_that_was_cancelled_still_has_to_release() -> None:
    slots = BatchSlots()
    first, second = slots.take(), slots.take()
    second.cancel()
    slots.release(first)
    assert not slots.free
    slots.release(second)
    assert slots.free


async def test_a_batch_that_shrinks_admits_no_more_until_enough_are_released() -> None:
    slots = BatchSlots()
    slots.resize(3)
    taken = [slots.take() for _ in range(4)]
    slots.resize(1)
    slots.release(taken[0])
    slots.release(taken[1])
    assert not taken[3].done()
    slots.release(taken[2])
    assert taken[3].done()


async def test_a_batch_that_grows_admits_those_that_wait() -> None:
    slots = BatchSlots()
    taken = [slots.take() for _ in range(4)]
    slots.resize(3)
    assert [slot.done() for slot in taken] == [True, True, True, False]


async def test_the_batch_of_each_model_follows_the_status() -> None:
    slots = ModelSlots()
    slots.resize(status(a=1, b=2))
    taken = {name: [slots.take(name) for _ in range(4)] for name in ("a", "b")}

    def ready() -> dict[str, int]:
        return {name: sum(slot.done() for slot in each) for name, each in taken.items()}

    assert ready() == {"a": 1, "b": 2}
    slots.resize(status(a=3, b=2))
    assert ready() == {"a": 3, "b": 2}
    slots.resize(status(a=3, b=4))
    assert ready() == {"a": 3, "b": 4}
    # A batch that shrinks gives its next slot only after enough were released.
    slots.resize(status(a=2, b=4))
    slots.release(taken["a"][0])
    assert ready() == {"a": 3, "b": 4}
    slots.release(taken["a"][1])
    assert ready() == {"a": 4, "b": 4}
    assert not slots.free("a")


async def test_a_slot_of_a_model_that_is_released_before_it_was_ready_takes_no_room() -> None:
    slots = ModelSlots()
    slots.resize(status(a=1))
    first, second, third = (slots.take("a") for _ in range(3))
    slots.release(third)
    assert not second.done()
    slots.release(first)
    assert second.done()
    slots.release(second)
    assert slots.free("a")
