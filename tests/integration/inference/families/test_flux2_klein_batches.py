"""FLUX.2 klein: requests in any batch equal themselves alone, and share the calls."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from inference.families.flux2_klein import Flux2KleinModel
from inference.types import ImageRequest
from inference.worker.messages import Submit
from tests.integration.inference.families.klein import (
    SIZES,
    WORDS,
    klein_request,
    latents_of,
    mixed,
    reference,
    run_alone,
    tiny_klein,
)
from tests.support.engines import finish, new_engine, prepare, relative
from tests.support.requests import request

BATCHED = 1e-4
DISTILLED = pytest.mark.parametrize("model", [True], indirect=True, ids=["distilled"])


@pytest.fixture(scope="module", params=[True, False], ids=["distilled", "base"])
def model(request: pytest.FixtureRequest) -> Flux2KleinModel:
    return tiny_klein(distilled=request.param)


KINDS = [(pictures, size) for size in SIZES for pictures in range(5)]
"""Zero to four reference pictures, in two sizes."""


def step_together(
    model: Flux2KleinModel, wanted: Sequence[ImageRequest], joining: int
) -> tuple[dict[str, torch.Tensor], dict[Hashable, int]]:
    """The finished latents of requests of which so many join in each round.

    Also for each batch key the most requests that shared a call at different steps.
    """
    waiting = list(wanted)
    running: list[Any] = []
    done: dict[str, torch.Tensor] = {}
    together: dict[Hashable, int] = {}
    while waiting or running:
        running += [prepare(model, one) for one in waiting[:joining]]
        del waiting[:joining]
        for key in {model.batch_key(one.request): None for one in running}:
            batch = [one for one in running if model.batch_key(one.request) == key]
            if len({one.step for one in batch}) > 1:
                together[key] = max(together.get(key, 0), len(batch))
            model.predict(batch)
        done |= {one.request.id: latents_of(model, one) for one in running if one.finished}
        running = [one for one in running if not one.finished]
    return done, together


@pytest.mark.parametrize(("pictures", "size"), [KINDS[0], KINDS[6], KINDS[2], KINDS[8], KINDS[4]])
def test_eight_requests_at_different_steps_equal_themselves_alone(
    model: Flux2KleinModel, pictures: int, size: tuple[int, int]
) -> None:
    wanted = [
        klein_request(
            f"r{index}",
            pictures=pictures,
            size=size,
            prompt=WORDS[index % 3],
            steps=3 + index % 2,
            guidance_scale=(1.0, 4.0)[index % 2],
            seed=index,
        )
        for index in range(8)
    ]
    done, together = step_together(model, wanted, joining=4)
    assert set(together.values()) == {8}
    for one in wanted:
        assert relative(done[one.id], run_alone(model, one)) <= BATCHED


@DISTILLED
def test_requests_of_all_kinds_together_equal_themselves_alone(model: Flux2KleinModel) -> None:
    """Two sizes and zero to four pictures run at the same time, two requests of each kind."""
    wanted = [
        klein_request(
            f"r{index}",
            pictures=KINDS[index % 10][0],
            size=KINDS[index % 10][1],
            prompt=WORDS[index % 3],
            steps=3,
            seed=index,
        )
        for index in range(20)
    ]
    done, together = step_together(model, wanted, joining=10)
    assert list(together.values()) == [2] * 10
    for one in wanted:
        assert relative(done[one.id], run_alone(model, one)) <= BATCHED


@DISTILLED
def test_mixed_requests_need_at_most_four_tenths_of_the_calls(model: Flux2KleinModel) -> None:
    wanted = mixed(32)
    assert len({model.batch_key(one) for one in wanted}) >= 8
    largest = max(map(model.row_tokens, wanted))
    engine, recorder = new_engine(model, row_limit=64, admission_limit=32, row_tokens=largest)
    for one in wanted:
        engine.post(Submit(one))
    before = model.denoiser_calls
    finish(engine, recorder, [one.id for one in wanted])
    calls = model.denoiser_calls - before
    alone = sum(one.steps for one in wanted)
    assert calls <= 0.4 * alone
    assert len(recorder.results) == 32


@DISTILLED
def test_requests_with_pictures_of_other_sizes_do_not_share_a_call(model: Flux2KleinModel) -> None:
    first = klein_request("one", pictures=2, size=(64, 64))
    other = replace(first, references=(reference(64, 96, seed=1),))
    assert model.batch_key(first) != model.batch_key(other)
    assert model.batch_key(first) == model.batch_key(replace(first, seed=9, prompt="other"))


@DISTILLED
@pytest.mark.parametrize(
    ("pictures", "expected"),
    # Four rows of 1024 tokens are 5.3 rows of 768, and 2.3 rows of 1792.
    [(0, 5), (1, 4), (4, 2)],
)
def test_a_call_has_as_many_requests_as_their_tokens_allow(
    model: Flux2KleinModel, monkeypatch: pytest.MonkeyPatch, pictures: int, expected: int
) -> None:
    """The limit of four rows was measured with one picture of 256 × 256 pixels."""
    width, height = 256, 256
    one = request(width=width, height=height, steps=2)
    measured = model.row_tokens(one)
    assert measured == 512 + 2 * 256
    wanted = replace(one, references=(reference(width, height, seed=1),) * (pictures - 1))
    if not pictures:
        wanted = replace(one, pixels=b"")
    calls: list[int] = []
    predict = model.predict

    def count(batch: Sequence[Any], tiles: Sequence[int] = ()) -> None:
        calls.append(len(batch))
        predict(batch, tiles)

    monkeypatch.setattr(model, "predict", count)
    engine, recorder = new_engine(model, row_limit=4, admission_limit=6, row_tokens=measured)
    for number in range(6):
        engine.post(Submit(replace(wanted, id=f"r{number}", seed=number)))
    finish(engine, recorder, [f"r{number}" for number in range(6)])
    assert max(calls) == expected
