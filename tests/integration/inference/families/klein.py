"""Requests for the tiny klein pipeline, and the library's call for one of them."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import torch
from PIL import Image

from inference.families.flux2_klein import Flux2KleinModel
from inference.families.flux2_klein.conditioning import pictures_of
from inference.pipelines import random_klein
from inference.types import ImageRequest, Picture
from tests.support.engines import prepare
from tests.support.pictures import photo
from tests.support.requests import request

SIZES = ((64, 64), (96, 64))
WORDS = ("a red fox in the snow", "make it night", "put the first one's hat on the second one")


def tiny_klein(*, distilled: bool) -> Flux2KleinModel:
    """The model of the tiny pipeline."""
    pipe: Any = random_klein.build(distilled=distilled)
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
