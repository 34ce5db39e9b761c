"""Pipelines that are called as a whole: the library's pictures, with progress and cancelling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    StableDiffusionImg2ImgPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from inference import Img2ImgResult, LocalService
from inference.engine.loop import Event
from inference.errors import DeadlineExceeded, InferenceError, OutOfMemory
from inference.families.whole_call import WholeCallEngine
from inference.pipelines import random_tiny
from inference.types import Img2ImgRequest, Progress
from inference.worker.messages import Failed
from tests.support.engines import LIBRARY_WARNINGS, array, run_plain
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
    """Stable Diffusion 1.5's shape, of random weights."""
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
    """Stable Diffusion XL's shape, of random weights."""
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


@pytest.fixture(params=[stable_diffusion, stable_diffusion_xl])
def pipe(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    made = request.param()
    made.set_progress_bar_config(disable=True)
    return made


def serve(
    pipe: Any, *wanted: Img2ImgRequest, hear: Callable[[WholeCallEngine, Event], None] | None = None
) -> list[Event]:
    """What an engine over `pipe` reports for these requests."""
    heard: list[Event] = []

    def report(event: Event) -> None:
        heard.append(event)
        if hear is not None:
            hear(engine, event)
        if isinstance(event, Img2ImgResult | Failed) and event.id == wanted[-1].id:
            engine.stop()

    engine = WholeCallEngine(pipe, report)
    for one in wanted:
        engine.submit(one)
    engine.run()
    return heard


def results(heard: list[Event]) -> dict[str, Img2ImgResult]:
    return {event.id: event for event in heard if isinstance(event, Img2ImgResult)}


def failure(heard: list[Event]) -> Exception:
    return next(event.error for event in heard if isinstance(event, Failed))


def test_the_picture_is_the_library_s_own(pipe: Any) -> None:
    wanted = request(scheduler="euler", negative_prompt="blue")
    expected = (run_plain(pipe, wanted, "np")[0] * 255).round().astype(np.uint8)
    assert np.array_equal(array(results(serve(pipe, wanted))["one"]), expected)


@pytest.mark.parametrize(("steps", "strength", "run"), [(10, 0.5, 5), (10, 0.05, 1), (49, 0.01, 1)])
def test_progress_counts_every_step_and_one_is_always_taken(
    pipe: Any, steps: int, strength: float, run: int
) -> None:
    heard = serve(pipe, request(steps=steps, strength=strength))
    progress = [(e.step, e.total) for e in heard if isinstance(e, Progress)]
    assert progress == [(n, run) for n in range(1, run + 1)]


def test_cancelling_ends_a_call_within_one_step_and_leaves_nothing_behind(pipe: Any) -> None:
    def hear(engine: WholeCallEngine, event: Event) -> None:
        if isinstance(event, Progress) and event.id == "gone" and event.step == 2:
            engine.cancel("gone")
            engine.cancel("never begun")
            engine.cancel("unknown")

    wanted = [request("gone", steps=10), request("never begun"), request("last")]
    heard = serve(pipe, *wanted, hear=hear)
    assert max(e.step for e in heard if isinstance(e, Progress) and e.id == "gone") == 2
    assert results(heard).keys() == {"last"}


def test_a_deadline_is_kept_and_memory_and_mistakes_fail_one_request(pipe: Any) -> None:
    late = request("one", deadline=time.time() - 1)
    assert isinstance(failure(serve(pipe, late)), DeadlineExceeded)
    assert type(failure(serve(pipe, request(pixels=b"few")))) is InferenceError

    def no_room(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = pipe.unet.register_forward_pre_hook(no_room)
    assert isinstance(failure(serve(pipe, request())), OutOfMemory)
    hook.remove()
    assert "one" in results(serve(pipe, request()))


def test_stopping_returns_after_the_step_under_way(pipe: Any) -> None:
    stepped = threading.Event()
    engine = WholeCallEngine(pipe, lambda e: stepped.set() if isinstance(e, Progress) else None)
    engine.submit(request(steps=150, strength=1.0))
    thread = threading.Thread(target=engine.run)
    thread.start()
    stepped.wait(30)
    engine.stop()
    thread.join(timeout=10)
    assert not thread.is_alive()


async def test_a_folder_of_such_a_pipeline_serves_as_a_model(tmp_path: Path) -> None:
    stable_diffusion().save_pretrained(tmp_path / "model")
    async with LocalService(
        model=str(tmp_path / "model"), dtype="float32", device="cpu", cache_dir=tmp_path
    ) as service:
        result = await service.generate(request())
        assert (result.width, result.height, result.depth) == (64, 64, None)
