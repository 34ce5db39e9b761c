"""Out of memory in each phase of a request: who is affected, and what happens to the limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from inference.engine.transfers import PendingTransfer
from inference.errors import OutOfMemory
from inference.families.depth2img import Depth2ImgModel
from inference.types import Progress
from inference.worker.messages import Submit
from tests.support.engines import (
    LIBRARY_WARNINGS,
    OUT_OF_MEMORY,
    CountingClock,
    failing,
    finish,
    force_library_steps,
    new_engine,
    picture_of,
    relative,
    result_picture,
    run_alone,
)
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS


def test_out_of_memory_in_a_step_lowers_the_limit_and_loses_no_step(
    model: Depth2ImgModel,
) -> None:
    wanted = [request(f"r{n}", seed=n, steps=10, scheduler="dpmpp_2m_karras") for n in range(6)]
    alone = {one.id: run_alone(model, one) for one in wanted}
    latents: dict[str, torch.Tensor] = {}
    decode = model.decode

    def keep(one: Any) -> PendingTransfer[bytes]:
        latents[one.request.id] = one.state.sample
        return decode(one)

    model.decode = keep  # type: ignore[method-assign]
    model._denoise = failing(  # type: ignore[method-assign]
        model._denoise, OUT_OF_MEMORY, lambda inputs, *_: len(inputs) > 6
    )
    engine, recorder = new_engine(model, row_limit=12)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, alone)
    assert not recorder.failures
    assert engine.policy.row_limit == 6
    assert all(relative(latents[id_], alone[id_]) <= 1e-4 for id_ in alone)
    for id_ in alone:
        steps = [e.step for _, e in recorder.events if isinstance(e, Progress) and e.id == id_]
        assert steps == list(range(1, 8))


def test_out_of_memory_makes_the_youngest_request_wait(model: Depth2ImgModel) -> None:
    """The limit falls by its rows, and the two older ones take the step in the next turn."""
    wanted = [
        request("oldest", steps=6, strength=1.0, guidance_scale=5.0),
        request("older", steps=6, strength=1.0, guidance_scale=5.0, seed=1),
        request("youngest", steps=6, strength=1.0, guidance_scale=1.0, seed=2),
    ]
    model._denoise = failing(  # type: ignore[method-assign]
        model._denoise, OUT_OF_MEMORY, lambda inputs, *_: len(inputs) > 4
    )
    engine, recorder = new_engine(model, row_limit=8, admission_limit=3)
    for one in wanted:
        engine.post(Submit(one))
    finish(engine, recorder, [one.id for one in wanted])
    assert not recorder.failures
    assert {recorder.started(one.id) for one in wanted} == {0}
    assert engine.policy.row_limit == 4
    assert [recorder.steps(one.id)[0] for one in wanted] == [1, 1, 2]


def test_out_of_memory_in_the_last_step_of_another_request_harms_neither(
    model: Depth2ImgModel,
) -> None:
    """The library's own step runs out of memory after another request has taken its last step."""
    wanted = [
        request("ends", seed=1, steps=4, strength=1.0, scheduler="ddim"),
        request("fails", seed=2, steps=8, strength=1.0, scheduler="ddim"),
    ]
    expected = {one.id: picture_of(model, one) for one in wanted}
    # Without their plans the requests are stepped by the library, one after the other.
    force_library_steps(model)
    engine, recorder = new_engine(model, row_limit=8)
    for one in wanted:
        engine.post(Submit(one))
    step_by_library = model.sampler._step_by_library
    failed: list[int] = []

    def fail_once(state: Any, output: torch.Tensor) -> None:
        if state.plan.steps == 8 and state.step == 2 and not failed:
            failed.append(state.step)
            state.must_restart = True
            raise OUT_OF_MEMORY
        step_by_library(state, output)

    model.sampler._step_by_library = fail_once  # type: ignore[method-assign]
    finish(engine, recorder, expected)
    assert failed
    assert not recorder.failures
    for id_, picture in expected.items():
        assert np.abs(picture - result_picture(recorder, id_)).max() <= 1


def widths(model: Depth2ImgModel, part: str) -> Any:
    """Where the latent width stands in the arguments of a method of the model or its decoder."""
    return {
        "prepare": lambda batch: batch[0].noise.shape[3],
        "_denoise": lambda inputs, *_: inputs.shape[3],
        "_decode_whole": lambda latents: latents.shape[3],
    }[part]


@pytest.mark.parametrize("part", ["prepare", "_denoise", "_decode_whole"])
def test_only_a_request_that_does_not_fit_alone_fails(model: Depth2ImgModel, part: str) -> None:
    width = widths(model, part)
    holder = model.decoder if part == "_decode_whole" else model
    failing_part = failing(getattr(holder, part), OUT_OF_MEMORY, lambda *a: width(*a) > 8)
    setattr(holder, part, failing_part)
    engine, recorder = new_engine(model, row_limit=8)
    ids = ["a", "b", "large", "c"]
    for id_ in ids:
        engine.post(Submit(request(id_, width=128 if id_ == "large" else 64)))
    finish(engine, recorder, ids)
    assert recorder.results.keys() == {"a", "b", "c"}
    assert isinstance(recorder.failures["large"], OutOfMemory)
    assert "too large" in str(recorder.failures["large"])
    assert engine.policy.row_limit == 8


@pytest.mark.parametrize("part", ["prepare", "_denoise"])
def test_a_request_that_fits_alone_waits_until_nothing_else_runs(
    model: Depth2ImgModel, part: str
) -> None:
    width = widths(model, part)
    engine, recorder = new_engine(model, row_limit=8)

    def does_not_fit(*arguments: Any) -> bool:
        return width(*arguments) > 8 and len(engine.policy.running) > (part == "_denoise")

    setattr(model, part, failing(getattr(model, part), OUT_OF_MEMORY, does_not_fit))
    ids = ["a", "b", "large", "c"]
    for id_ in ids:
        engine.post(Submit(request(id_, width=128 if id_ == "large" else 64)))
    finish(engine, recorder, ids)
    assert not recorder.failures


def test_the_device_time_of_tiles_is_kept_when_memory_runs_out_for_a_further_one(
    model: Depth2ImgModel,
) -> None:
    """Those that are encoded are not encoded again."""
    wanted = request("large", width=128, height=128, tile=(64, 64), steps=5, strength=0.4)
    encode, beside_others = model.pipe.vae.encode, 0

    def fail_at_the_third_tile(pixels: torch.Tensor, **options: Any) -> Any:
        nonlocal beside_others
        beside_others += bool(engine.policy.running)
        if engine.policy.running and beside_others > 2:
            raise OUT_OF_MEMORY
        return encode(pixels, **options)

    engine, recorder = new_engine(model, row_limit=4, clock=CountingClock())
    engine.post(Submit(request("small", steps=10, strength=1.0)))
    engine.turn()
    model.pipe.vae.encode = fail_at_the_third_tile
    engine.post(Submit(wanted))
    finish(engine, recorder, ["small", "large"])
    # Nine calls encode a tile each, and one failed. Then the request is prepared, two steps take
    # five calls each, and nine calls decode a tile each.
    assert beside_others == 3
    assert recorder.results["large"].timings.device == 10 + 1 + 2 * 5 + 9


def test_the_device_time_before_a_request_begins_again_is_kept(model: Depth2ImgModel) -> None:
    predict = model.predict

    def fails(batch: Any, _tiles: Any) -> bool:
        (one, *_) = batch
        return one.request.id == "large" and one.step == 2 and len(engine.policy.running) > 1

    model.predict = failing(predict, OUT_OF_MEMORY, fails)  # type: ignore[method-assign]
    engine, recorder = new_engine(model, row_limit=2, clock=CountingClock())
    engine.post(Submit(request("small", steps=10, strength=1.0)))
    engine.post(Submit(request("large", width=128, steps=6, strength=1.0)))
    finish(engine, recorder, ["small", "large"])
    # Both times it is prepared; two steps before the error are taken again.
    assert recorder.results["large"].timings.device == (1 + 2) + (1 + 6) + 1
    assert recorder.results["small"].timings.device == 1 + 10 + 1


def test_a_picture_that_does_not_fit_is_decoded_in_tiles(model: Depth2ImgModel) -> None:
    wanted = request(width=128, height=128)
    expected = picture_of(model, wanted)
    whole, calls = model.pipe.vae.decode, []

    def decode(latents: torch.Tensor, **options: Any) -> Any:
        calls.append(model.pipe.vae.use_tiling)
        if not model.pipe.vae.use_tiling:
            raise OUT_OF_MEMORY
        return whole(latents, **options)

    model.pipe.vae.decode = decode
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(wanted))
    finish(engine, recorder, ["one"])
    assert calls == [False, True]
    assert engine.policy.row_limit == 8
    assert not model.pipe.vae.use_tiling
    # Normalisation over a tile differs from that over the picture, and more so in random weights.
    difference = np.abs(result_picture(recorder, "one") - expected)
    assert difference.mean() < 12
    assert result_picture(recorder, "one").shape == (128, 128, 3)


@pytest.mark.parametrize("part", ["preview", "_depth_picture"])
def test_out_of_memory_beside_the_picture(model: Depth2ImgModel, part: str) -> None:
    """A preview is left out; a depth map that was asked for is not."""
    setattr(model, part, failing(getattr(model, part), OUT_OF_MEMORY, lambda *_: True))
    engine, recorder = new_engine(model, row_limit=8)
    engine.post(Submit(request("both", preview=True, return_depth=True)))
    engine.post(Submit(request("other", seed=1)))
    finish(engine, recorder, ["both", "other"])
    assert "other" in recorder.results
    assert ("both" in recorder.results) is (part == "preview")
    if part == "_depth_picture":
        assert isinstance(recorder.failures["both"], OutOfMemory)
