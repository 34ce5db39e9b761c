"""Prompts to tokens on the host, and tokens to embeddings on the device, for one CLIP encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from inference.engine.prompt_weights import parse
from inference.engine.transfers import to_device


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """A prompt that fills the encoder's window: token ids and weights, each window long.

    `ignored` is the text behind the window, empty if all of it fits.
    """

    ids: tuple[int, ...]
    weights: tuple[float, ...]
    ignored: str = ""

    @property
    def is_weighted(self) -> bool:
        """Whether any token's weight differs from 1."""
        return any(weight != 1 for weight in self.weights)


def tokenize(tokenizer: Any, prompt: str) -> PromptTokens:
    """Parse the weights of a prompt, tokenize its fragments, cut at the window and pad."""
    room = tokenizer.model_max_length - 2
    ids: list[int] = []
    weights: list[float] = []
    ignored: list[str] = []
    for fragment in parse(prompt):
        if ignored:
            ignored.append(fragment.text)
            continue
        tokens = tokenizer(fragment.text, return_offsets_mapping=True, add_special_tokens=False)
        fitting = room - len(ids)
        ids += tokens.input_ids[:fitting]
        weights += [fragment.weight] * len(tokens.input_ids[:fitting])
        if len(tokens.input_ids) > fitting:
            ignored.append(fragment.text[tokens["offset_mapping"][fitting][0] :])
    padding = room - len(ids)
    return PromptTokens(
        ids=(
            tokenizer.bos_token_id,
            *ids,
            tokenizer.eos_token_id,
            *[tokenizer.pad_token_id] * padding,
        ),
        weights=(1.0, *weights, 1.0, *[1.0] * padding),
        ignored="".join(ignored).strip(),
    )


def embed(pipe: Any, prompts: Sequence[PromptTokens]) -> torch.Tensor:
    """The prompts' embeddings, (N, window, D).

    A token of weight w is moved to `empty + w * (token - empty)`, where `empty` is the embedding of
    the empty prompt at its position (ComfyUI, `comfy/sd1_clip.py`, `encode_token_weights`).
    """
    device, dtype = pipe.device, pipe.unet.dtype
    weighted = any(prompt.is_weighted for prompt in prompts)
    ids = [prompt.ids for prompt in prompts]
    if weighted:
        ids.append(tokenize(pipe.tokenizer, "").ids)
    embeddings = pipe.text_encoder(to_device(torch.tensor(ids), device))[0]
    if weighted:
        weights = to_device(torch.tensor([prompt.weights for prompt in prompts])[..., None], device)
        tokens, empty = embeddings[:-1], embeddings[-1:]
        moved = empty + weights.to(embeddings.dtype) * (tokens - empty)
        embeddings = torch.where(weights == 1, tokens, moved)
    expected = (len(prompts), pipe.tokenizer.model_max_length)
    assert embeddings.shape[:2] == expected, embeddings.shape
    return torch.as_tensor(embeddings.to(dtype))
