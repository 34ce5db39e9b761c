"""What the step loop promises beside the right pictures: caches, previews, memory, faults."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from inference.engine.transfers import PendingTransfer
from inference.errors import DeadlineExceeded, InferenceError, NonFiniteOutput, OutOfMemory
from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_tiny
from inference.types import Progress
from inference.worker.messages import Started
from tests.support.engines import (
    LIBRARY_WARNINGS,
    array,
    finish,
    new_engine,
    relative,
    run_alone,
)
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS

# torch's own words, as its allocator says them.
NO_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.fixture
def model() -> Depth2ImgModel:
    return Depth2ImgModel(random_tiny.build())


def failing(inner: Callable[..., Any], error: Exception, when: Callable[..., bool]) -> Any:
    """`inner`, raising `error` where `when` says so of its arguments."""

    def call(*args: Any, **options: Any) -> Any:
        if when(*args):
            raise error
        return inner(*args, **options)

    return call


def test_a_re_roll_costs_only_its_steps(model: Depth2ImgModel) -> None:
    work: list[str] = []
    for part in ("text_encoder", "depth_estimator"):
        getattr(model.pipe, part).register_forward_hook(lambda *_, part=part: work.append(part))
    model.pipe.vae.encoder.register_forward_hook(lambda *_: work.append("vae"))
    model.prepare(request(negative_prompt="blue"))
    assert sorted(work) == ["depth_estimator", "text_encoder", "text_encoder", "vae"]
    work.clear()
    pixels = request().pixels
    model.prepare(request("again", pixels=pixels, negative_prompt="blue", seed=99, strength=0.4))
    assert work == []


def test_what_is_kept_stays_within_its_limit() -> None:
    limit = 100_000
    model = Depth2ImgModel(random_tiny.build(), cache_bytes=limit)
    for number in range(40):
        model.prepare(request(f"r{number}", seed=number, prompt=f"prompt {number}"))
        assert model._cache.currsize <= limit
    assert model._cache.currsize > limit / 2


@pytest.mark.parametrize("where", ["waiting", "running", "between its last step and its decode"])
def test_a_cancelled_request_takes_no_step_more(model: Depth2ImgModel, where: str) -> None:
    engine, recorder = new_engine(model, row_limit=2 if where == "waiting" else 8)
    engine.submit(request("other", steps=6, strength=1.0))
    engine.submit(request("gone", steps=4, strength=1.0, scheduler="ddim"))
    if where == "between its last step and its decode":
        # Both end in the same turn, and one decode a turn leaves one of them for the next.
        engine.submit(request("gone", steps=4, strength=1.0, scheduler="ddim"))
    for _ in range({"waiting": 2, "running": 3}.get(where, 5)):
        engine.turn()
    before = len(recorder.steps("gone"))
    engine.cancel("gone")
    finish(engine, recorder, ["other"])
    engine.submit(request("after"))
    finish(engine, recorder, ["after"])
    assert len(recorder.steps("gone")) == before
    assert "gone" not in recorder.failures


def test_a_request_past_its_deadline_is_not_prepared(model: Depth2ImgModel) -> None:
    engine, recorder = new_engine(model)
    engine.submit(request("late", deadline=time.time() - 1))
    engine.submit(request("in time", deadline=time.time() + 60))
    finish(engine, recorder, ["late", "in time"])
    assert isinstance(recorder.failures["late"], DeadlineExceeded)
    started = [e.id for _, e in recorder.events if isinstance(e, Started)]
    assert started == ["in time"]


def test_progress_counts_every_step_and_shows_previews_where_asked(model: Depth2ImgModel) -> None:
    engine, recorder = new_engine(model)
    engine.submit(request("seen", preview=True, steps=10, strength=0.5))
    engine.submit(request("unseen", steps=10, strength=0.5))
    finish(engine, recorder, ["seen", "unseen"])
    heard = [e for _, e in recorder.events if isinstance(e, Progress)]
    for id_ in ("seen", "unseen"):
        assert [(e.step, e.total) for e in heard if e.id == id_] == [(n, 5) for n in range(1, 6)]
    assert all(e.preview is None for e in heard if e.id == "unseen")
    preview = next(e.preview for e in heard if e.preview)
    assert (preview.width, preview.height, len(preview.pixels)) == (8, 8, 8 * 8 * 3)


@pytest.mark.parametrize("channels", [4, 8, 16])
def test_a_preview_has_the_colours_of_the_picture(model: Depth2ImgModel, channels: int) -> None:
    """With a VAE whose latents are a mixture of the colours, of any number of channels."""
    mixture = torch.randn(channels, 3, generator=torch.Generator().manual_seed(0))

    def encode(pictures: torch.Tensor) -> Any:
        small = torch.nn.functional.avg_pool2d(pictures, 8)
        latents = torch.einsum("oc,bchw->bohw", mixture, small)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=latents))

    one = model.prepare(request())
    model.pipe.vae.encode = encode
    model._projection = model._fit_projection()
    colours = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1))
    picture = torch.nn.functional.interpolate(colours[None] * 2 - 1, scale_factor=8)
    one.latents = encode(picture).latent_dist.mean * model.pipe.vae.config.scaling_factor
    preview = np.frombuffer(model.preview(one).get().pixels, np.uint8).reshape(8, 8, 3)
    assert np.abs(preview / 255 - colours.movedim(0, -1).numpy()).max() < 0.02


@pytest.mark.parametrize(
    ("prompt", "ignored"),
    [
        ("fox", ""),
        ("x" * 75, ""),
        ("x" * 75 + " the end", "the end"),
        ("ab " * 37 + "c" + "Ünïcode ✓ tail", "Ünïcode ✓ tail"),
    ],
)
def test_the_part_of_a_prompt_that_has_no_room_is_told(
    model: Depth2ImgModel, prompt: str, ignored: str
) -> None:
    assert model.prepare(request(prompt=prompt)).ignored_prompt == ignored


def test_the_depth_map_comes_along_where_asked(model: Depth2ImgModel) -> None:
    engine, recorder = new_engine(model)
    engine.submit(request("with", width=128, return_depth=True))
    engine.submit(request("without"))
    finish(engine, recorder, ["with", "without"])
    depth = recorder.results["with"].depth
    assert depth is not None
    assert len(depth) == 128 * 64
    assert np.ptp(np.frombuffer(depth, np.uint8)) > 100
    assert recorder.results["without"].depth is None


def test_out_of_memory_in_a_step_puts_the_youngest_back_and_goes_on(model: Depth2ImgModel) -> None:
    wanted = [request(f"r{n}", seed=n, scheduler="dpmpp_2m_karras") for n in range(6)]
    alone = {one.id: run_alone(model, one) for one in wanted}
    latents: dict[str, torch.Tensor] = {}
    decode = model.decode

    def keep(one: Any) -> PendingTransfer[bytes]:
        latents[one.request.id] = one.latents
        return decode(one)

    model.decode = keep  # type: ignore[method-assign]
    model._unet = failing(  # type: ignore[method-assign]
        model._unet, NO_MEMORY, lambda inputs, *_: len(inputs) > 6
    )
    engine, recorder = new_engine(model, row_limit=12)
    for one in wanted:
        engine.submit(one)
    finish(engine, recorder, alone)
    assert not recorder.failures
    assert engine.row_limit == 6
    assert all(relative(latents[id_], alone[id_]) <= 1e-4 for id_ in alone)


def test_out_of_memory_in_a_scheduler_s_step_repeats_no_half_step(model: Depth2ImgModel) -> None:
    wanted = [request(f"r{n}", seed=n, scheduler="dpmpp_2m_karras") for n in range(3)]
    alone = {one.id: array_of(model, one) for one in wanted}
    engine, recorder = new_engine(model, row_limit=6)
    for one in wanted:
        engine.submit(one)
    for _ in range(4):
        engine.turn()
    middle = engine._running[1].one.scheduler
    update = middle.dpm_solver_first_order_update
    failed: list[bool] = []

    def fail_once(*args: Any, **options: Any) -> Any:
        if not failed:
            failed.append(True)
            raise NO_MEMORY
        return update(*args, **options)

    for name in ("dpm_solver_first_order_update", "multistep_dpm_solver_second_order_update"):
        update = getattr(middle, name)
        setattr(middle, name, fail_once)
    finish(engine, recorder, alone)
    assert failed
    for id_, expected in alone.items():
        got = array(recorder.results[id_]).astype(int)
        assert np.abs(got - expected).max() <= 1


def array_of(model: Depth2ImgModel, wanted: Any) -> Any:
    engine, recorder = new_engine(model)
    engine.submit(wanted)
    finish(engine, recorder, [wanted.id])
    return array(recorder.results[wanted.id]).astype(int)


@pytest.mark.parametrize("part", ["_encode", "_unet", "decode"])
def test_only_a_request_that_does_not_fit_alone_fails_for_memory(
    model: Depth2ImgModel, part: str
) -> None:
    def is_large(first: Any, *_: Any) -> bool:
        width = {"_encode": lambda: first.width // 8, "decode": lambda: first.shape[1]}.get(
            part, lambda: first.shape[3]
        )()
        return bool(width > 8)

    setattr(model, part, failing(getattr(model, part), NO_MEMORY, is_large))
    engine, recorder = new_engine(model, row_limit=8)
    ids = ["a", "b", "large", "c"]
    for id_ in ids:
        engine.submit(request(id_, width=128 if id_ == "large" else 64))
    finish(engine, recorder, ids)
    assert recorder.results.keys() == {"a", "b", "c"}
    assert isinstance(recorder.failures["large"], OutOfMemory)
    assert "too large" in str(recorder.failures["large"])


def test_latents_that_are_not_numbers_fail_their_own_request_alone(model: Depth2ImgModel) -> None:
    wanted = [request(f"r{n}", seed=n) for n in range(4)]
    expected = array_of(model, wanted[0])
    engine, recorder = new_engine(model, row_limit=8)
    for one in wanted:
        engine.submit(one)
    for _ in range(4):
        engine.turn()
    engine._running[2].one.latents[:] = float("nan")
    finish(engine, recorder, [one.id for one in wanted])
    assert isinstance(recorder.failures["r2"], NonFiniteOutput)
    assert recorder.results.keys() == {"r0", "r1", "r3"}
    assert np.abs(array(recorder.results["r0"]).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -2.0])
def test_a_decode_that_overflowed_or_came_out_black_is_made_again_in_float32(
    model: Depth2ImgModel, value: float
) -> None:
    expected = array_of(model, request())
    decoded, calls = model._decoded, []

    def broken(latents: torch.Tensor) -> torch.Tensor:
        calls.append(latents.dtype)
        return torch.full_like(decoded(latents), value)

    model._decoded = broken  # type: ignore[method-assign]
    assert np.array_equal(array_of(model, request()), expected)
    assert calls == [torch.float32]
    assert model.pipe.vae.dtype == model.dtype


def test_a_vae_that_is_broken_in_every_precision_fails_with_a_sentence(
    model: Depth2ImgModel,
) -> None:
    model.pipe.vae.decoder.conv_out.weight.data.fill_(float("nan"))
    engine, recorder = new_engine(model)
    engine.submit(request())
    finish(engine, recorder, ["one"])
    assert isinstance(recorder.failures["one"], NonFiniteOutput)


def test_a_request_that_cannot_be_prepared_fails_alone_and_is_logged(
    model: Depth2ImgModel, caplog: pytest.LogCaptureFixture
) -> None:
    engine, recorder = new_engine(model, row_limit=8)
    engine.submit(request("good"))
    engine.submit(request("short", pixels=b"too few"))
    finish(engine, recorder, ["good", "short"])
    assert type(recorder.failures["short"]) is InferenceError
    assert "good" in recorder.results
    assert "short" in caplog.text


def test_a_broken_device_ends_the_loop(model: Depth2ImgModel) -> None:
    assertion = torch.AcceleratorError("CUDA error: device-side assert triggered")
    model._unet = failing(model._unet, assertion, lambda *_: True)  # type: ignore[method-assign]
    engine, recorder = new_engine(model)
    engine.submit(request())
    with pytest.raises(torch.AcceleratorError):
        engine.run()
    assert not recorder.results


def test_a_thousand_requests_leave_nothing_behind() -> None:
    """In a process that has done nothing else: what a test run left in the allocator's hands grows
    and shrinks by some MiB of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        grown = fresh.submit(growth, 1000).result()
    print(f"a thousand requests: {grown / 2**20:.2f} MiB")
    assert grown < 5 * 2**20


def growth(number: int) -> int:
    """Bytes by which the process grows over so many requests, half of them finished, half cancelled
    on the way; measured once everything has run once."""
    process, model = psutil.Process(), Depth2ImgModel(random_tiny.build())

    def round_of(ids: list[str]) -> None:
        engine, recorder = new_engine(model, row_limit=16)
        for n, id_ in enumerate(ids):
            engine.submit(request(id_, seed=n % 7, steps=1, strength=1.0, guidance_scale=1.0))
        for n, id_ in enumerate(ids[::2]):
            if n % 4 == 0:
                engine.turn()
            engine.cancel(id_)
        finish(engine, recorder, ids[1::2], most_turns=2 * len(ids))
        assert len(recorder.results) >= len(ids) // 2

    def settled() -> int:
        gc.collect()
        # What is free goes back to the system first: the allocator holds on to some MiB at will.
        if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)
        return int(process.memory_info().rss)

    for start in range(0, 600, 200):
        round_of([f"warm {start + n}" for n in range(200)])
    before = settled()
    for start in range(0, number, 200):
        round_of([f"r{start + n}" for n in range(200)])
    return settled() - before
