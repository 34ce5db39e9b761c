"""Prompts and reference pictures of requests: embeddings and latent tokens, with a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from cachetools import LRUCache
from PIL import Image

from inference.engine.transfers import to_device
from inference.types import ImageRequest, Picture

CACHE_BYTES = 128 * 2**20
"""In half precision a prompt's embedding takes 8 MB and the latents of a picture at 1024 × 1024
take 1 MB."""

TEXT_TOKENS = 512
"""Every prompt is padded to the length that the library's call uses."""

TEXT_LAYERS = (9, 18, 27)
"""The text encoder's layers that the transformer was trained with, as in the library's call."""

MAX_REFERENCE_PIXELS = 1024 * 1024
"""The library's call scales larger reference pictures down to this area."""


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """The token ids of a prompt in the chat template, padded, and how many are not padding.

    `ignored` is the end of the prompt that is beyond the window.
    """

    ids: tuple[int, ...]
    length: int
    ignored: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A reference picture as the VAE reads it: (1, 3, H, W) in -1..1."""

    key: Hashable
    pixels: torch.Tensor


def pictures_of(request: ImageRequest) -> tuple[Picture, ...]:
    """The reference pictures in their order: the request's own picture, if any, is the first."""
    if not request.pixels:
        return request.references
    first = Picture(pixels=request.pixels, width=request.width, height=request.height)
    return first, *request.references


class KleinEncoder:
    """Runs the text encoder and the VAE's encoder of `pipe`.

    `cache_bytes` bounds the memory of results kept for repeated prompts and pictures.
    """

    def __init__(self, pipe: Any, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.pipe = pipe
        self.multiple = 2 * pipe.vae_scale_factor
        self.cache: LRUCache[Hashable, torch.Tensor] = LRUCache(
            cache_bytes, lambda tensor: tensor.nbytes
        )

    def reference_size(self, picture: Picture) -> tuple[int, int]:
        """The (width, height) at which a picture is encoded."""
        width, height = picture.width, picture.height
        if width * height > MAX_REFERENCE_PIXELS:
            scale = (MAX_REFERENCE_PIXELS / (width * height)) ** 0.5
            width, height = int(width * scale), int(height * scale)
        return width // self.multiple * self.multiple, height // self.multiple * self.multiple

    def tokens(self, picture: Picture) -> int:
        """The number of a picture's latent tokens."""
        width, height = self.reference_size(picture)
        return int((width // self.multiple) * (height // self.multiple))

    def tokenize(self, prompt: str) -> PromptTokens:
        """The prompt in the tokenizer's chat template, cut at the window and padded."""
        tokenizer = self.pipe.tokenizer
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        tokens = tokenizer(text, padding="max_length", truncation=True, max_length=TEXT_TOKENS)
        return PromptTokens(
            ids=tuple(tokens.input_ids),
            length=sum(tokens.attention_mask),
            ignored=self._ignored(text, prompt),
        )

    def _ignored(self, text: str, prompt: str) -> str:
        offsets = self.pipe.tokenizer(text, return_offsets_mapping=True).offset_mapping
        if len(offsets) <= TEXT_TOKENS:
            return ""
        read = offsets[TEXT_TOKENS][0] - text.index(prompt)
        return prompt[max(0, read) :].strip()

    def load_references(self, request: ImageRequest) -> tuple[Reference, ...]:
        """The request's pictures as tensors, scaled and cropped as the library's call does it."""
        processor = self.pipe.image_processor
        loaded = []
        for picture in pictures_of(request):
            width, height = self.reference_size(picture)
            size = (picture.width, picture.height)
            image = Image.frombytes("RGB", size, picture.pixels)
            if picture.width * picture.height > MAX_REFERENCE_PIXELS:
                image = processor._resize_to_target_area(image, MAX_REFERENCE_PIXELS)
            pixels = processor.preprocess(image, height=height, width=width, resize_mode="crop")
            key = (hashlib.sha256(picture.pixels).digest(), size)
            loaded.append(Reference(key, pixels))
        return tuple(loaded)

    def encode_texts(self, prompts: Sequence[PromptTokens]) -> dict[PromptTokens, torch.Tensor]:
        """The embedding of each prompt, (1, 512, 3 D): one call for those that are not cached."""
        unique = dict.fromkeys(prompts)
        found = {one: self.cache[one] for one in unique if one in self.cache}
        missing = [one for one in unique if one not in found]
        if missing:
            for one, embedding in zip(missing, torch.split(self._embed(missing), 1), strict=True):
                # A view would keep the whole batch in memory.
                found[one] = embedding.clone()
                self._keep(one, found[one])
        return found

    def _embed(self, prompts: Sequence[PromptTokens]) -> torch.Tensor:
        device = self.pipe.device
        ids = torch.tensor([one.ids for one in prompts])
        mask = torch.tensor(
            [[1] * one.length + [0] * (TEXT_TOKENS - one.length) for one in prompts]
        )
        output = self.pipe.text_encoder(
            input_ids=to_device(ids, device),
            attention_mask=to_device(mask, device),
            output_hidden_states=True,
            use_cache=False,
            # The hidden states are needed, not the scores of 150,000 words at 512 places.
            logits_to_keep=1,
        )
        layers = torch.stack([output.hidden_states[layer] for layer in TEXT_LAYERS], dim=1)
        return layers.permute(0, 2, 1, 3).flatten(2)

    def encode_reference(self, reference: Reference) -> torch.Tensor:
        """The latent tokens of a picture, (1, L, C), in the order of rows.

        One picture a call: at 1024 × 1024 a batch of pictures is not faster and takes more memory.
        """
        tokens = self.cache.get(reference.key)
        if tokens is None:
            pixels = to_device(reference.pixels, self.pipe.device).to(self.pipe.vae.dtype)
            latents = self.pipe._encode_vae_image(pixels, generator=None)
            tokens = self.pipe._pack_latents(latents).contiguous()
            self._keep(reference.key, tokens)
        return tokens

    def _keep(self, key: Hashable, tensor: torch.Tensor) -> None:
        if tensor.nbytes <= self.cache.maxsize:
            self.cache[key] = tensor
