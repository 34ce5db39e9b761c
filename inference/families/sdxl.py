"""The family of Stable Diffusion XL: image-to-image and text-to-image, optionally with
ControlNet-Union, which is steered by the depth of the picture."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from inference.engine.transfers import to_device
from inference.families.conditioning import CACHE_BYTES, EncodedPicture
from inference.families.prompts import PromptTokens, embed_weighted, tokenize
from inference.families.sd import StableDiffusionModel, weighted_residuals
from inference.pipelines.depth import DepthEstimator
from inference.types import ImageRequest

DEPTH_MODE = 1
"""ControlNet-Union's control type for depth maps (xinsir/controlnet-union-sdxl-1.0)."""


@dataclass(frozen=True, slots=True)
class PromptPair:
    """A prompt for both text encoders. With `zero`, its embeddings are zeros."""

    first: PromptTokens
    second: PromptTokens
    zero: bool

    @property
    def ignored(self) -> str:
        """The end of the prompt that is beyond the text encoders' windows."""
        return self.first.ignored


class XlPrompts:
    """The two CLIP text encoders. The UNet needs the last hidden state but one of both, joined,
    (1, window, D), and the projection of the second, (1, P)."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._empty = self.tokenize("", negative=False)

    def tokenize(self, prompt: str, *, negative: bool) -> PromptPair:
        """Tokens with their weights. The model was trained with zeros for an empty negative
        prompt, unless the pipeline's configuration says otherwise."""
        pipe = self._pipe
        return PromptPair(
            tokenize(pipe.tokenizer, prompt),
            tokenize(pipe.tokenizer_2, prompt),
            zero=negative and not prompt and bool(pipe.config.force_zeros_for_empty_prompt),
        )

    def embed(self, prompts: Sequence[PromptPair]) -> list[tuple[torch.Tensor, ...]]:
        """For each prompt its embeddings and its projection."""
        pipe = self._pipe
        states = []
        for encoder, part in ((pipe.text_encoder, "first"), (pipe.text_encoder_2, "second")):
            outputs: list[Any] = []

            def encode(
                ids: torch.Tensor, encoder: Any = encoder, outputs: list[Any] = outputs
            ) -> torch.Tensor:
                outputs.append(encoder(ids, output_hidden_states=True))
                hidden: torch.Tensor = outputs[0].hidden_states[-2]
                return hidden

            tokens = [getattr(prompt, part) for prompt in prompts]
            states.append(embed_weighted(tokens, getattr(self._empty, part), encode, pipe.device))
        dtype = pipe.unet.dtype
        text = torch.cat(states, dim=-1).to(dtype)
        # The last outputs are the second encoder's.
        pooled = outputs[0].text_embeds[: len(prompts)].to(dtype)
        found = zip(prompts, torch.split(text, 1), torch.split(pooled, 1), strict=True)
        # A view would keep the whole batch in memory.
        return [
            tuple(torch.zeros_like(part) if prompt.zero else part.clone() for part in parts)
            for prompt, *parts in found
        ]


class StableDiffusionXLModel(StableDiffusionModel):
    """Stable Diffusion with two text encoders and the picture's size as further inputs."""

    def __init__(
        self, pipe: Any, depth: DepthEstimator | None = None, *, cache_bytes: int = CACHE_BYTES
    ) -> None:
        if pipe.vae.config.get("force_upcast"):
            # The original VAE overflows in half precision.
            pipe.vae.to(torch.float32)
        super().__init__(pipe, depth, prompts=XlPrompts(pipe), cache_bytes=cache_bytes)
        self._numbers = itertools.count()
        # Which of ControlNet-Union's control types is used, one number for each type.
        self._control_type: torch.Tensor | None = None
        if depth is not None:
            types = torch.zeros(1, pipe.controlnet.config.num_control_type, dtype=self.dtype)
            types[0, DEPTH_MODE] = 1
            self._control_type = types.to(self.device)

    @staticmethod
    def supports(pipe: Any) -> bool:
        """Also not for the refiner, which has one text encoder and an aesthetic score, and not for
        a VAE whose latents have a mean of their own."""
        return bool(
            StableDiffusionModel.supports(pipe)
            and pipe.text_encoder is not None
            and not pipe.config.get("requires_aesthetics_score")
            and pipe.vae.config.get("latents_mean") is None
        )

    def _conditions(
        self, request: ImageRequest, encoded: EncodedPicture
    ) -> tuple[torch.Tensor, ...]:
        """The sizes, (1, 6): original size, crop and target size; then, with a depth map, the
        ControlNet's picture and weight, and a number of the request, (1,)."""
        size = (request.height, request.width)
        sizes = torch.tensor([(*size, 0, 0, *size)], dtype=self.dtype)
        control = super()._conditions(request, encoded)
        if control:
            number = torch.full((1,), next(self._numbers), device=self.device)
            control = (*control, number)
        return to_device(sizes, self.device), *control

    def _call_denoiser(
        self, latents: torch.Tensor, times: torch.Tensor, *inputs: torch.Tensor
    ) -> torch.Tensor:
        text, pooled, sizes, *control = inputs
        options: dict[str, Any] = {
            "encoder_hidden_states": text,
            "added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes},
            "return_dict": False,
        }
        if control:
            assert self._control_type is not None
            picture, scale, numbers = control
            with self._separate_requests(numbers):
                outputs = self.pipe.controlnet(
                    latents,
                    times,
                    controlnet_cond=[picture],
                    control_type=self._control_type.expand(len(latents), -1),
                    control_type_idx=[DEPTH_MODE],
                    **options,
                )
            options |= weighted_residuals(outputs, scale)
        return self._call_unet(latents, times, options)

    @contextmanager
    def _separate_requests(self, numbers: torch.Tensor) -> Iterator[None]:
        """Keep ControlNet-Union's condition transformer within the rows of one request.

        Its attention runs over the rows of a call instead of over their conditions: the input is
        (rows, conditions, D), and `torch.nn.MultiheadAttention` takes the first dimension for the
        sequence. So the two rows of a guided request see each other, as in the library's call, but
        a row must not see other requests. `numbers`, (rows,), are equal for rows of one request.
        The mask does not hold back NaN: the picture is finite.
        """
        others = numbers[:, None] != numbers[None, :]
        mask = torch.zeros(others.shape, dtype=self.dtype, device=self.device)
        mask.masked_fill_(others, float("-inf"))
        layers = self.pipe.controlnet.transformer_layes
        for layer in layers:
            layer.attn_mask = mask
        try:
            yield
        finally:
            for layer in layers:
                layer.attn_mask = None
