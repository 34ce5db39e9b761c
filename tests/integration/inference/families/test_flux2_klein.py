"""FLUX.2 klein: the engine's results equal the library pipeline's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from inference.families.flux2_klein import Flux2KleinModel
from inference.pipelines import random_klein
from inference.types import Picture
from inference.worker.messages import Submit
from tests.integration.inference.families.klein import (
    SIZES,
    klein_request,
    reference,
    run_alone,
    run_library,
    tiny_klein,
)
from tests.support.engines import array, finish, new_engine, prepare, relative

ALONE = 1e-5
BATCHED = 1e-4
DISTILLED = pytest.mark.parametrize("model", [True], indirect=True, ids=["distilled"])


@pytest.fixture(scope="module", params=[True, False], ids=["distilled", "base"])
def model(request: pytest.FixtureRequest) -> Flux2KleinModel:
    return tiny_klein(distilled=request.param)


@pytest.mark.parametrize(("pictures", "size"), [(number, SIZES[number % 2]) for number in range(5)])
def test_latents_equal_the_library_s(
    model: Flux2KleinModel, pictures: int, size: tuple[int, int]
) -> None:
    wanted = klein_request("one", pictures=pictures, size=size, seed=5)
    expected = run_library(model.pipe, wanted)
    assert relative(run_alone(model, wanted), expected) <= ALONE


def test_without_guidance_latents_equal_the_library_s(model: Flux2KleinModel) -> None:
    wanted = klein_request("one", pictures=1, size=(64, 64), guidance_scale=1.0)
    assert model.rows(wanted) == 1
    assert relative(run_alone(model, wanted), run_library(model.pipe, wanted)) <= ALONE


def test_only_the_base_model_has_rows_for_guidance(model: Flux2KleinModel) -> None:
    wanted = klein_request("one", pictures=0, size=(64, 64))
    assert model.rows(wanted) == (1 if model.pipe.config.is_distilled else 2)


@DISTILLED
def test_a_large_reference_is_scaled_and_cropped_as_the_library_does_it(
    model: Flux2KleinModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's limit is 1024 × 1024 pixels, too much for a test's encoder."""
    large = reference(1100, 1000, seed=1)
    wanted = replace(klein_request("one", pictures=1, size=(64, 64)), references=(large,))
    seen: list[torch.Tensor] = []

    def record(image: torch.Tensor, generator: Any) -> torch.Tensor:
        seen.append(image)
        return torch.zeros(1, 16, 1, 1)

    monkeypatch.setattr(model.pipe, "_encode_vae_image", record)
    run_library(model.pipe, replace(wanted, steps=1))
    expected = seen[1]
    assert torch.equal(model.encoder.load_references(wanted)[1].pixels, expected)
    assert model.encoder.reference_size(large) == (expected.shape[3], expected.shape[2])


@DISTILLED
@pytest.mark.parametrize("pictures", [0, 2])
def test_the_finished_picture_equals_the_library_s(model: Flux2KleinModel, pictures: int) -> None:
    wanted = klein_request("one", pictures=pictures, size=(96, 64), preview=True)
    engine, recorder = new_engine(model)
    engine.post(Submit(wanted))
    finish(engine, recorder, ["one"])
    result = recorder.results["one"]
    assert (result.width, result.height) == (96, 64)
    assert result.steps_run == 4
    expected = (run_library(model.pipe, wanted, "np")[0] * 255).round().astype(np.uint8)
    # A value half-way between two shades may be rounded either way.
    assert np.abs(array(result).astype(int) - expected.astype(int)).max() <= 1
    assert array(result).std() > 1


@DISTILLED
def test_every_reference_picture_and_their_order_change_the_result(
    model: Flux2KleinModel,
) -> None:
    wanted = klein_request("one", pictures=1, size=(64, 64), steps=2)
    first, second = reference(64, 64, seed=1), reference(64, 64, seed=2)
    results = [
        run_alone(model, replace(wanted, references=references))
        for references in ((), (first,), (first, second), (second, first))
    ]
    for index, one in enumerate(results):
        for other in results[:index]:
            assert relative(one, other) > 10 * BATCHED


@DISTILLED
def test_the_cache_does_not_change_the_result(model: Flux2KleinModel) -> None:
    wanted = klein_request("one", pictures=2, size=(64, 64))
    first = run_alone(model, wanted)
    assert torch.equal(run_alone(model, wanted), first)
    fresh = Flux2KleinModel(model.pipe, cache_bytes=0)
    assert torch.equal(run_alone(fresh, wanted), first)


@DISTILLED
def test_equal_pixels_of_another_size_are_another_picture_for_the_cache(
    model: Flux2KleinModel,
) -> None:
    """Zero pixels are equal whatever their size."""
    for width, height in ((96, 64), (64, 96)):
        black = Picture(pixels=bytes(width * height * 3), width=width, height=height)
        wanted = replace(
            klein_request("one", pictures=0, size=(64, 64), steps=1), references=(black,)
        )
        fresh = Flux2KleinModel(model.pipe, cache_bytes=0)
        assert torch.equal(run_alone(model, wanted), run_alone(fresh, wanted))


@DISTILLED
def test_the_end_of_a_long_instruction_is_reported(model: Flux2KleinModel) -> None:
    """The tiny tokenizer has a token for each byte."""
    one = prepare(model, klein_request("one", pictures=0, size=(64, 64), prompt="x" * 500 + "end"))
    # The template's beginning, "<|im_start|>user" and a line break, takes six tokens.
    assert one.ignored_prompt == ""
    long = "x" * 506 + " the end"
    two = prepare(model, klein_request("two", pictures=0, size=(64, 64), prompt=long))
    assert two.ignored_prompt == "the end"
    expected = run_library(model.pipe, two.request)
    assert relative(run_alone(model, two.request), expected) <= ALONE


@DISTILLED
def test_a_preview_has_a_pixel_for_each_latent(model: Flux2KleinModel) -> None:
    one = prepare(model, klein_request("one", pictures=1, size=(96, 64)))
    model.predict([one])
    preview = model.preview(one).result()
    assert (preview.width, preview.height) == (12, 8)
    assert len(preview.pixels) == 3 * 12 * 8
    assert not torch.equal(one.predicted_original, one.latents)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_pictures_are_finite(dtype: torch.dtype) -> None:
    pipe: Any = random_klein.build().to(dtype=dtype)
    wanted = klein_request("one", pictures=1, size=(64, 64))
    engine, recorder = new_engine(Flux2KleinModel(pipe))
    engine.post(Submit(wanted))
    finish(engine, recorder, ["one"])
    assert array(recorder.results["one"]).std() > 1


@DISTILLED
def test_the_warm_up_is_one_call_with_the_given_rows(
    model: Flux2KleinModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    inner = model.pipe.transformer.forward

    def count(*, hidden_states: torch.Tensor, **options: Any) -> Any:
        rows.append(len(hidden_states))
        return inner(hidden_states=hidden_states, **options)

    monkeypatch.setattr(model.pipe.transformer, "forward", count)
    model.warm_up(klein_request("blank", pictures=1, size=(64, 64)), 3)
    assert rows == [3]
