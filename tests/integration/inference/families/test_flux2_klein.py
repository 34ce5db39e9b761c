"""FLUX.2 klein: the engine's results equal the library pipeline's, alone and in any batch."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inference.families.flux2_klein import Flux2KleinModel
from inference.families.flux2_klein.conditioning import pictures_of
from inference.pipelines import random_klein
from inference.types import ImageRequest, Picture
from inference.worker.messages import Submit
from tests.support.engines import array, finish, new_engine, prepare, relative
from tests.support.pictures import photo
from tests.support.requests import request

ALONE = 1e-5
BATCHED = 1e-4
SIZES = ((64, 64), (96, 64))
DISTILLED = pytest.mark.parametrize("model", [True], indirect=True, ids=["distilled"])
WORDS = ("a red fox in the snow", "make it night", "put the first one's hat on the second one")


@pytest.fixture(scope="module", params=[True, False], ids=["distilled", "base"])
def model(request: pytest.FixtureRequest) -> Flux2KleinModel:
    pipe: Any = random_klein.build(distilled=request.param)
    pipe.set_progress_bar_config(disable=True)
    return Flux2KleinModel(pipe)


def reference(width: int, height: int, seed: int) -> Picture:
    return Picture(pixels=photo(width, height, seed=seed).tobytes(), width=width, height=height)


def klein_request(
    id_: str, *, pictures: int, size: tuple[int, int], **changes: Any
) -> ImageRequest:
    """A request with so many reference pictures: the first has the output's size."""
    width, height = size
    made = request(id_, width=width, height=height, steps=4, strength=1.0, guidance_scale=3.0)
    if pictures == 0:
        made = replace(made, pixels=b"")
    others = tuple(reference(*SIZES[n % 2], seed=n) for n in range(1, pictures))
    return replace(made, references=others, **changes)


def mixed(number: int, *, seed: int = 0) -> list[ImageRequest]:
    """Requests with random settings, two sizes and zero to four reference pictures."""
    rng = random.Random(seed)
    return [
        klein_request(
            f"r{index}",
            pictures=rng.choice([0, 0, 1, 1, 2, 4]),
            size=rng.choice(SIZES),
            prompt=rng.choice(WORDS),
            steps=rng.choice([3, 4, 6]),
            guidance_scale=rng.choice([1.0, 4.0]),
            seed=rng.randrange(2**63),
        )
        for index in range(number)
    ]


def run_library(pipe: Any, wanted: ImageRequest, output_type: str = "latent") -> Any:
    """The library's own call for one request."""
    pictures = [
        Image.frombytes("RGB", (one.width, one.height), one.pixels) for one in pictures_of(wanted)
    ]
    return pipe(
        image=pictures or None,
        prompt=wanted.prompt,
        width=wanted.width,
        height=wanted.height,
        num_inference_steps=wanted.steps,
        guidance_scale=wanted.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
        output_type=output_type,
    ).images


def latents_of(model: Flux2KleinModel, running: Any) -> torch.Tensor:
    return model.vae_latents(running.request, running.latents)


def run_alone(model: Flux2KleinModel, wanted: ImageRequest) -> torch.Tensor:
    one = prepare(model, wanted)
    while not one.finished:
        model.predict([one])
    return latents_of(model, one)


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

    def count(batch: Sequence[Any]) -> None:
        calls.append(len(batch))
        predict(batch)

    monkeypatch.setattr(model, "predict", count)
    engine, recorder = new_engine(model, row_limit=4, admission_limit=6, row_tokens=measured)
    for number in range(6):
        engine.post(Submit(replace(wanted, id=f"r{number}", seed=number)))
    finish(engine, recorder, [f"r{number}" for number in range(6)])
    assert max(calls) == expected
