"""Text embeddings, latents and depth maps of requests, with a cache of recent ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import torch
from cachetools import LRUCache
from PIL import Image

from inference.engine import prompt_weights
from inference.types import Img2ImgRequest

CACHE_BYTES = 64 * 2**20
"""At 512 × 512 in half precision one picture's latents and depth map take 36 kB, one prompt's
embedding 158 kB."""


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """The VAE's posterior, mean and deviation (1, C, h, w), and the depth map (1, 1, h, w)."""

    mean: torch.Tensor
    deviation: torch.Tensor
    depth: torch.Tensor


def _bytes_of(value: torch.Tensor | EncodedPicture) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    return value.mean.nbytes + value.deviation.nbytes + value.depth.nbytes


class ConditioningEncoder:
    """Runs the text encoder, the VAE's encoder and the depth estimator of `pipe`.

    `cache_bytes` bounds the memory of the results kept for prompts and pictures that repeat.
    """

    def __init__(self, pipe: Any, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.pipe = pipe
        self.cache: LRUCache[str, torch.Tensor | EncodedPicture] = LRUCache(cache_bytes, _bytes_of)

    def encode_text(self, prompt: str) -> torch.Tensor:
        """The prompt's embedding, (1, window, D)."""
        key = f"text {prompt}"
        cached = self.cache.get(key)
        if isinstance(cached, torch.Tensor):
            return cached
        embedding: torch.Tensor
        if prompt_weights.is_weighted(prompt):
            embedding = prompt_weights.embed(self.pipe, prompt)
        else:
            embedding = self.pipe.encode_prompt(prompt, self.pipe.device, 1, False)[0]
        self._keep(key, embedding)
        return embedding

    def encode_picture(self, request: Img2ImgRequest) -> EncodedPicture:
        """The latent distribution and the depth map of the request's picture."""
        digest = hashlib.sha256(request.pixels).hexdigest()
        key = f"picture {digest} {request.width} {request.height}"
        cached = self.cache.get(key)
        if isinstance(cached, EncodedPicture):
            return cached
        pipe = self.pipe
        size = (request.width, request.height)
        image = Image.frombytes("RGB", size, request.pixels)
        dtype = pipe.unet.dtype
        depth = pipe.prepare_depth_map(image, None, 1, False, dtype, pipe.device)
        # A flat picture has a flat depth map, whose normalisation divides by zero. No relief is
        # encoded as zero everywhere.
        depth = torch.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)
        pixels = pipe.image_processor.preprocess(image)
        posterior = pipe.vae.encode(pixels.to(pipe.device, dtype)).latent_dist
        encoded = EncodedPicture(posterior.mean, posterior.std, depth)
        self._keep(key, encoded)
        return encoded

    def ignored_prompt(self, prompt: str) -> str:
        """The end of the prompt that does not fit the text encoder's window; empty if all fits."""
        tokenizer = self.pipe.tokenizer
        tokens = tokenizer(prompt, return_offsets_mapping=True, add_special_tokens=False)
        room = tokenizer.model_max_length - 2
        if len(tokens.input_ids) <= room:
            return ""
        return prompt[tokens["offset_mapping"][room][0] :].strip()

    def _keep(self, key: str, value: torch.Tensor | EncodedPicture) -> None:
        if _bytes_of(value) <= self.cache.maxsize:
            self.cache[key] = value
