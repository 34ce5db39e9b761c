"""Text embeddings, latents and depth maps of requests, batched, with a cache of recent ones."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from cachetools import LRUCache
from PIL import Image

from inference.engine.transfers import PendingTransfer, to_device
from inference.errors import NonFiniteOutput
from inference.families.prompts import PromptTokens, embed, tokenize
from inference.types import ImageRequest

CACHE_BYTES = 64 * 2**20
"""At 512 × 512 in half precision one picture's latents and depth map take 36 kB, one prompt's
embedding 158 kB."""


@dataclass(frozen=True, slots=True, eq=False)
class HostInputs:
    """What the host computes of a request's picture and prompts, without the device.

    `pixels` is the VAE's input, (1, 3, H, W); `depth_pixels` the depth estimator's. `keep_relief`
    asks for the depth map at the estimator's own resolution.
    """

    prompts: tuple[PromptTokens, ...]
    picture_key: Hashable
    pixels: torch.Tensor
    depth_pixels: torch.Tensor
    keep_relief: bool


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPicture:
    """The VAE's posterior, mean and deviation (1, C, h, w), and the depth map (1, 1, h, w).

    `relief`, (1, 1, H, W) in float32, is the depth map as the estimator returned it, only for
    requests that redraw a part. `depth_is_finite` arrives after the depth map has been used: the
    host does not wait for it.
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    depth: torch.Tensor
    relief: torch.Tensor | None
    depth_is_finite: PendingTransfer[bool]


def _bytes_of(value: torch.Tensor | EncodedPicture) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    relief = 0 if value.relief is None else value.relief.nbytes
    return value.mean.nbytes + value.deviation.nbytes + value.depth.nbytes + relief


class ConditioningEncoder:
    """Runs the text encoder, the VAE's encoder and the depth estimator of `pipe`.

    The depth estimator runs in float32 on every device: its batch normalisation is not made for
    half precision. `cache_bytes` bounds the memory of results kept for repeated prompts and
    pictures.
    """

    def __init__(self, pipe: Any, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.pipe = pipe
        self.cache: LRUCache[Hashable, torch.Tensor | EncodedPicture] = LRUCache(
            cache_bytes, _bytes_of
        )
        pipe.depth_estimator.to(torch.float32)

    def load_inputs(self, request: ImageRequest) -> HostInputs:
        """The host's part: hashing, tokenizing, decoding and scaling pixels."""
        size = (request.width, request.height)
        image = Image.frombytes("RGB", size, request.pixels)
        steering = image
        key = [hashlib.sha256(request.pixels).digest()]
        if request.structure is not None:
            steering = Image.frombytes("RGB", size, request.structure)
            key.append(hashlib.sha256(request.structure).digest())
        keep_relief = request.part != "everything"
        prompts = [request.prompt]
        if request.guidance_scale > 1:
            prompts.append(request.negative_prompt)
        return HostInputs(
            prompts=tuple(tokenize(self.pipe.tokenizer, prompt) for prompt in prompts),
            picture_key=(*key, size, keep_relief),
            pixels=self.pipe.image_processor.preprocess(image),
            depth_pixels=self.pipe.feature_extractor(
                images=[steering], return_tensors="pt"
            ).pixel_values,
            keep_relief=keep_relief,
        )

    def encode_texts(self, batch: Sequence[HostInputs]) -> list[list[torch.Tensor]]:
        """For each request the embeddings of its prompts, (1, window, D) each."""
        unique = dict.fromkeys(prompt for inputs in batch for prompt in inputs.prompts)
        found = self._cached(unique)
        if missing := [prompt for prompt in unique if prompt not in found]:
            embeddings = torch.split(embed(self.pipe, missing), 1)
            found |= dict(zip(missing, embeddings, strict=True))
            self._keep(zip(missing, embeddings, strict=True))
        return [[found[prompt] for prompt in inputs.prompts] for inputs in batch]

    def encode_pictures(self, batch: Sequence[HostInputs]) -> list[EncodedPicture]:
        """For each request the latent distribution and the depth map of its picture."""
        unique = {inputs.picture_key: inputs for inputs in batch}
        found = self._cached(unique)
        by_shape: dict[torch.Size, dict[Hashable, HostInputs]] = {}
        for key, inputs in unique.items():
            if key not in found:
                by_shape.setdefault(inputs.pixels.shape, {})[key] = inputs
        for missing in by_shape.values():
            encoded = self._encode(list(missing.values()))
            found |= dict(zip(missing, encoded, strict=True))
            self._keep(zip(missing, encoded, strict=True))
        return [found[inputs.picture_key] for inputs in batch]

    def check_depth(self, encoded: EncodedPicture, key: Hashable) -> None:
        """Look whether a depth map has non-finite values, if that is known by now.

        Raises:
            NonFiniteOutput: it has.
        """
        if encoded.depth_is_finite.ready and not encoded.depth_is_finite.result():
            self.cache.pop(key, None)
            raise NonFiniteOutput("The depth estimator's output was not valid for this picture.")

    def _encode(self, batch: Sequence[HostInputs]) -> list[EncodedPicture]:
        """Pictures of one shape."""
        pipe = self.pipe
        relief, depths = self._depth_maps(batch)
        # Deviations from finite values become NaN or infinite in the sum, too.
        finite = torch.isfinite(depths.sum(dim=(1, 2, 3)))
        pixels = to_device(torch.cat([inputs.pixels for inputs in batch]), pipe.device)
        posterior = pipe.vae.encode(pixels.to(pipe.unet.dtype)).latent_dist
        return [
            EncodedPicture(
                posterior.mean[index : index + 1].clone(),
                posterior.std[index : index + 1].clone(),
                depths[index : index + 1].clone(),
                relief[index : index + 1].clone() if inputs.keep_relief else None,
                PendingTransfer(finite[index], bool),
            )
            for index, inputs in enumerate(batch)
        ]

    def _depth_maps(self, batch: Sequence[HostInputs]) -> tuple[torch.Tensor, torch.Tensor]:
        """The estimator's output, and relative depth in -1..1 at the latents' size, (N, 1, h, w).

        Near is bright. The second is what `StableDiffusionDepth2ImgPipeline.prepare_depth_map`
        computes, but in float32. A map without relief, whose normalisation would divide by zero,
        becomes zero.
        """
        pipe = self.pipe
        values = to_device(torch.cat([inputs.depth_pixels for inputs in batch]), pipe.device)
        relief = pipe.depth_estimator(values.float()).predicted_depth.unsqueeze(1)
        height, width = batch[0].pixels.shape[2:]
        factor = pipe.vae_scale_factor
        depth = torch.nn.functional.interpolate(
            relief,
            size=(height // factor, width // factor),
            mode="bicubic",
            align_corners=False,
        )
        low = torch.amin(depth, dim=(1, 2, 3), keepdim=True)
        high = torch.amax(depth, dim=(1, 2, 3), keepdim=True)
        normalised = 2.0 * (depth - low) / (high - low) - 1.0
        depth = torch.where(low == high, torch.zeros_like(depth), normalised)
        return relief, depth.to(pipe.unet.dtype)

    def _cached(self, keys: Iterable[Hashable]) -> dict[Any, Any]:
        return {key: value for key in keys if (value := self.cache.get(key)) is not None}

    def _keep(self, values: Iterable[tuple[Hashable, torch.Tensor | EncodedPicture]]) -> None:
        for key, value in values:
            if _bytes_of(value) <= self.cache.maxsize:
                self.cache[key] = value
