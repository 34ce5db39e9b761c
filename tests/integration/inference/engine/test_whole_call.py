"""`WholeCallEngine`: the library's pictures, with progress and cancelling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    AutoPipelineForText2Image,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from inference import ImageResult, LocalService
from inference.errors import DeadlineExceeded, InferenceError, OutOfMemory, TaskNotSupported
from inference.families.whole_call import WholeCallEngine
from inference.pipelines import random_tiny
from inference.types import ImageRequest, Progress
from inference.worker.messages import Cancel, Event, Failed, Stop, Submit
from tests.support.engines import LIBRARY_WARNINGS, array, run_library
from tests.support.requests import request

pytestmark = LIBRARY_WARNINGS


def unet(**options: Any) -> Any:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2,
        norm_num_groups=8,
        **options,
    ).eval()


def stable_diffusion() -> Any:
    """A tiny Stable Diffusion 1.5 with random weights."""
    parts: Any = random_tiny.build()
    return StableDiffusionImg2ImgPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        tokenizer=parts.tokenizer,
        unet=unet(cross_attention_dim=random_tiny.WIDTH),
        scheduler=parts.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl() -> Any:
    """A tiny Stable Diffusion XL with random weights."""
    parts: Any = random_tiny.build()
    config = CLIPTextConfig(
        **{**parts.text_encoder.config.to_dict(), "projection_dim": random_tiny.WIDTH}
    )
    return StableDiffusionXLImg2ImgPipeline(
        vae=parts.vae,
        text_encoder=parts.text_encoder,
        text_encoder_2=CLIPTextModelWithProjection(config).eval(),
        tokenizer=parts.tokenizer,
        tokenizer_2=parts.tokenizer,
        unet=unet(
            cross_attention_dim=2 * random_tiny.WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + random_tiny.WIDTH,
        ),
        scheduler=parts.scheduler,
    )


@pytest.fixture(scope="module", params=[stable_diffusion, stable_diffusion_xl])
def built(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    made = request.param()
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def pipe(built: Any) -> Iterator[Any]:
    """The engine gives the pipeline another scheduler for each request."""
    scheduler = built.scheduler
    yield built
    built.scheduler = scheduler


def serve(
    pipe: Any,
    *wanted: ImageRequest,
    on_event: Callable[[WholeCallEngine, Event], None] | None = None,
) -> list[Event]:
    """The events that an engine over `pipe` reports for these requests."""
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        if on_event is not None:
            on_event(engine, event)
        if isinstance(event, ImageResult | Failed) and event.id == wanted[-1].id:
            engine.post(Stop())

    engine = WholeCallEngine(pipe, report)
    for one in wanted:
        engine.post(Submit(one))
    engine.run()
    return events


def results(events: list[Event]) -> dict[str, ImageResult]:
    return {event.id: event for event in events if isinstance(event, ImageResult)}


def failure(events: list[Event]) -> Exception:
    return next(event.error for event in events if isinstance(event, Failed))


def test_the_picture_equals_the_library_s(pipe: Any) -> None:
    wanted = request(scheduler="euler", negative_prompt="blue")
    expected = (run_library(pipe, wanted, "np")[0] * 255).round().astype(np.uint8)
    assert np.array_equal(array(results(serve(pipe, wanted))["one"]), expected)


def test_without_a_picture_it_is_drawn_from_text_as_by_the_library(pipe: Any) -> None:
    wanted = request(pixels=b"", negative_prompt="blue", steps=4, width=128)
    library = AutoPipelineForText2Image.from_pipe(pipe)
    library.set_progress_bar_config(disable=True)
    expected = library(
        prompt=wanted.prompt,
        negative_prompt=wanted.negative_prompt,
        width=128,
        height=64,
        num_inference_steps=4,
        guidance_scale=wanted.guidance_scale,
        generator=torch.Generator("cpu").manual_seed(wanted.seed),
        output_type="np",
    ).images[0]
    events = serve(pipe, wanted, request("redrawn", steps=10))
    made = array(results(events)["one"])
    assert np.array_equal(made, (expected * 255).round().astype(np.uint8))
    progress = [(e.step, e.total) for e in events if isinstance(e, Progress) and e.id == "one"]
    assert progress == [(n, 4) for n in range(1, 5)]
    assert results(events)["redrawn"].steps_run == 7


@pytest.mark.parametrize(("steps", "strength", "run"), [(10, 0.5, 5), (10, 0.05, 1), (49, 0.01, 1)])
def test_every_step_is_reported_and_at_least_one_is_taken(
    pipe: Any, steps: int, strength: float, run: int
) -> None:
    events = serve(pipe, request(steps=steps, strength=strength))
    progress = [(e.step, e.total) for e in events if isinstance(e, Progress)]
    assert progress == [(n, run) for n in range(1, run + 1)]


def test_without_a_negative_prompt_the_picture_equals_the_library_s_default(pipe: Any) -> None:
    """SDXL takes zeros for a missing negative prompt; an empty one would be encoded."""
    wanted = request(scheduler="euler", negative_prompt="")
    expected = (run_library(pipe, wanted, "np")[0] * 255).round().astype(np.uint8)
    assert np.array_equal(array(results(serve(pipe, wanted))["one"]), expected)


def test_previews_are_made_of_the_latents(pipe: Any) -> None:
    events = serve(pipe, request(preview=True, width=128, strength=1.0))
    previews = [e.preview for e in events if isinstance(e, Progress) and e.preview is not None]
    assert previews
    for preview in previews:
        assert (preview.width, preview.height) == (16, 8)
        assert len(preview.pixels) == 16 * 8 * 3
        assert len(set(preview.pixels)) > 1
    plain = serve(pipe, request())
    assert all(e.preview is None for e in plain if isinstance(e, Progress))


def test_cancelling_ends_a_call_within_one_step(pipe: Any) -> None:
    def cancel_requests(engine: WholeCallEngine, event: Event) -> None:
        if isinstance(event, Progress) and event.id == "gone" and event.step == 2:
            engine.post(Cancel("gone"))
            engine.post(Cancel("never begun"))
            engine.post(Cancel("unknown"))

    wanted = [request("gone", steps=10), request("never begun"), request("last")]
    events = serve(pipe, *wanted, on_event=cancel_requests)
    assert max(e.step for e in events if isinstance(e, Progress) and e.id == "gone") == 2
    assert results(events).keys() == {"last"}


def test_an_error_fails_its_own_request(pipe: Any) -> None:
    late = request("one", deadline=time.time() - 1)
    assert isinstance(failure(serve(pipe, late)), DeadlineExceeded)
    assert type(failure(serve(pipe, request(pixels=b"few")))) is InferenceError

    def out_of_memory(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = pipe.unet.register_forward_pre_hook(out_of_memory)
    assert isinstance(failure(serve(pipe, request())), OutOfMemory)
    hook.remove()
    assert "one" in results(serve(pipe, request()))


def test_stopping_returns_after_the_current_step(pipe: Any) -> None:
    stepped = threading.Event()
    engine = WholeCallEngine(pipe, lambda e: stepped.set() if isinstance(e, Progress) else None)
    engine.post(Submit(request(steps=150, strength=1.0)))
    thread = threading.Thread(target=engine.run)
    thread.start()
    stepped.wait(30)
    engine.post(Stop())
    thread.join(timeout=10)
    assert not thread.is_alive()


async def test_a_folder_with_such_a_pipeline_can_be_served(tmp_path: Path) -> None:
    stable_diffusion().save_pretrained(tmp_path / "model")
    async with LocalService(
        model=str(tmp_path / "model"), dtype="float32", device="cpu", cache_dir=tmp_path
    ) as service:
        result = await service.generate(request())
        assert (result.width, result.height, result.depth) == (64, 64, None)


def test_a_picture_for_a_pipeline_that_only_draws_from_text_is_refused() -> None:
    class FromText(StableDiffusionImg2ImgPipeline):  # type: ignore[misc]
        def __call__(self, prompt: str) -> None:
            raise AssertionError

    events: list[Event] = []
    pipe = FromText(**stable_diffusion().components, requires_safety_checker=False)
    engine = WholeCallEngine(pipe, events.append)
    engine.post(Submit(request("one")))
    engine.turn()
    (failed,) = events
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, TaskNotSupported)
