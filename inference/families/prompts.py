"""Prompts to tokens on the host, and tokens to embeddings on the device, with CLIP encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def embed_weighted(
    prompts: Sequence[PromptTokens],
    empty: PromptTokens,
    encode: Callable[[torch.Tensor], torch.Tensor],
    device: torch.device,
) -> torch.Tensor:
    """The prompts' embeddings, (N, window, D); `encode` maps token ids (N, window) to them.

    A token of weight w is moved to `empty + w * (token - empty)`, where `empty` is the embedding of
    the empty prompt at its position (ComfyUI, `comfy/sd1_clip.py`, `encode_token_weights`).
    """
    weighted = any(prompt.is_weighted for prompt in prompts)
    ids = [prompt.ids for prompt in prompts]
    if weighted:
        ids.append(empty.ids)
    embeddings = encode(to_device(torch.tensor(ids), device))
    if weighted:
        weights = to_device(torch.tensor([prompt.weights for prompt in prompts])[..., None], device)
        tokens, empty_tokens = embeddings[:-1], embeddings[-1:]
        moved = empty_tokens + weights.to(embeddings.dtype) * (tokens - empty_tokens)
        embeddings = torch.where(weights == 1, tokens, moved)
    assert embeddings.shape[:2] == (len(prompts), len(empty.ids)), embeddings.shape
    return embeddings


class ClipPrompts:
    """The one CLIP text encoder of Stable Diffusion 1 and 2. The UNet needs the last hidden state,
    (1, window, D)."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._empty = tokenize(pipe.tokenizer, "")

    def tokenize(self, prompt: str, *, negative: bool) -> PromptTokens:
        """Tokens with their weights. An empty negative prompt is the empty prompt."""
        del negative
        return tokenize(self._pipe.tokenizer, prompt)

    def embed(self, prompts: Sequence[PromptTokens]) -> list[tuple[torch.Tensor, ...]]:
        """For each prompt its embeddings, (1, window, D)."""
        pipe = self._pipe
        embeddings = embed_weighted(
            prompts, self._empty, lambda ids: pipe.text_encoder(ids)[0], pipe.device
        )
        # A view would keep the whole batch in memory.
        return [(each.clone(),) for each in torch.split(embeddings.to(pipe.unet.dtype), 1)]
