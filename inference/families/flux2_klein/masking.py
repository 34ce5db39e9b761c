"""Masks of edits: outside a mask the tokens follow the noised source at each step, as in diffusers'
`Flux2KleinInpaintPipeline`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch

from inference.families.masking import RequestMask


@dataclass(frozen=True, slots=True, eq=False)
class KeptTokens:
    """The tokens that replace those outside a mask.

    `mask` is (1, L, 1) in 0..1, 1 is redrawn; `clean` and `noise` are (1, L, C).
    """

    mask: torch.Tensor
    clean: torch.Tensor
    noise: torch.Tensor

    @classmethod
    def of(cls, mask: RequestMask, clean: torch.Tensor, noise: torch.Tensor) -> Self:
        """For a mask whose `latent` has one value for each token, in rows."""
        return cls(mask.latent.flatten(1)[..., None], clean.float(), noise)

    def blend(self, tokens: torch.Tensor, sigma: float) -> torch.Tensor:
        """The picture's tokens (1, L, C) with those outside the mask at this noise level."""
        noised = sigma * self.noise + (1 - sigma) * self.clean
        return torch.lerp(noised, tokens, self.mask)
