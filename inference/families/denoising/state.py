"""Requests before and while they are denoised."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import torch

from inference.engine.sampling import SamplingPlan
from inference.families.conditioning import Embeddings, EncodedPicture, HostInputs
from inference.families.denoising.decoding import TiledPicture
from inference.families.denoising.tiles import Place, TileBlend, TileLayout
from inference.families.masking import RequestMask
from inference.families.sampling_state import Sampler, SamplingState, Step
from inference.types import ImageRequest


@dataclass(frozen=True, slots=True, eq=False)
class DenoisingInputs:
    """A request with everything that the host computes of it.

    `sample` and `noise`, (1, C, h, w), are the random numbers of its seed. `sample` is None if the
    request has no source picture, or if the VAE gives no distribution to draw from. `tiles` is None
    without tiles; with them, `host` is that of the first one.
    """

    request: ImageRequest
    host: HostInputs
    plan: SamplingPlan
    sample: torch.Tensor | None
    noise: torch.Tensor
    generator: torch.Generator
    tiles: TileEncoding | None


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """A part of a request's latents that one row predicts; all of them without tiles.

    `conditions` are the denoiser's inputs that all rows of the tile share, (1, ...) each.
    """

    place: Place
    encoded: EncodedPicture
    picture_key: Hashable
    conditions: tuple[torch.Tensor, ...]


@dataclass(slots=True, eq=False)
class TileEncoding:
    """The tiles of a request, of which those in `tiles` are encoded.

    `requests` are the requests of all tiles, in the order of the layout's places. The means and
    deviations of the encoded tiles are only kept in `latents`, (1, C, H, W) or, with deviations,
    (1, 2C, H, W), which blends them. The layout is on the device and therefore None until the
    first tile is encoded.
    """

    requests: Sequence[ImageRequest]
    tiles: list[Tile] = field(default_factory=list)
    layout: TileLayout | None = None
    latents: TileBlend | None = None
    has_deviations: bool = False

    @property
    def left(self) -> int:
        """How many tiles are not encoded yet."""
        return len(self.requests) - len(self.tiles)

    def add(self, tile: Tile, mean: torch.Tensor, deviation: torch.Tensor | None) -> None:
        """Add the next tile and its latents, (1, C, h, w). If it raises, nothing was added."""
        assert self.layout is not None
        if self.latents is None:
            self.latents = TileBlend(self.layout)
            self.has_deviations = deviation is not None
        self.latents.add(mean if deviation is None else torch.cat([mean, deviation], dim=1))
        self.tiles.append(tile)

    def blended(self, dtype: torch.dtype) -> EncodedPicture:
        """The latents of the whole picture, (1, C, H, W), once every tile is encoded."""
        assert self.latents is not None
        latents = self.latents.mean().to(dtype)
        mean, *deviation = latents.chunk(2, dim=1) if self.has_deviations else [latents]
        return EncodedPicture(mean, deviation[0] if deviation else None)


@dataclass(frozen=True, slots=True, eq=False)
class TiledStep:
    """A step of which some tiles, `done`, were predicted.

    `outputs`, (1, C, h, w) in float32, is the weighted sum of their outputs.
    """

    step: Step
    outputs: torch.Tensor
    done: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Denoising:
    """A running request.

    `embeddings` are (rows, ...) each, the prompt's row before the negative prompt's. `layout` is
    None for a request without tiles; `tiled_step` is None between the steps of a request with them,
    and `decoding` until the first of its tiles is decoded.
    """

    request: ImageRequest
    tiles: Sequence[Tile]
    layout: TileLayout | None
    embeddings: Embeddings
    state: SamplingState
    mask: RequestMask | None
    ignored_prompt: str
    tiled_step: TiledStep | None = None
    decoding: TiledPicture | None = None

    @property
    def rows(self) -> int:
        """Rows of each tile in a denoiser call: two with guidance, one without."""
        return int(self.embeddings[0].shape[0])

    @property
    def step(self) -> int:
        """How many steps have been taken. A step counts once for each tile."""
        done = 0 if self.tiled_step is None else self.tiled_step.done
        return self.state.step * len(self.tiles) + done

    @property
    def total_steps(self) -> int:
        """How many steps the schedule has, times the tiles."""
        return self.state.plan.steps * len(self.tiles)

    @property
    def must_restart(self) -> bool:
        """Whether an error left the scheduler's state unusable."""
        return self.state.must_restart

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.step == self.total_steps

    @property
    def scale(self) -> float:
        """The guidance scale; 1 without guidance."""
        return self.request.guidance_scale if self.rows == 2 else 1.0

    def begin(self, sampler: Sampler) -> TiledStep:
        """The step that some tiles have predicted, or the next one."""
        if self.tiled_step is None:
            step = sampler.begin([self.state], [self.scale])
            self.tiled_step = TiledStep(step, torch.zeros_like(step.tensors[:, 0]))
        return self.tiled_step

    def add_tiles(self, sampler: Sampler, tiles: Sequence[Tile], outputs: torch.Tensor) -> None:
        """Add the outputs of these tiles, (T, C, h, w), to the step; take it after the last tile.

        The state changes only if nothing fails.
        """
        current, layout = self.tiled_step, self.layout
        assert current is not None
        assert layout is not None
        total = current.outputs.clone()
        for tile, output in zip(tiles, outputs, strict=True):
            total[(..., *tile.place)] += layout.window * output
        done = current.done + len(tiles)
        if done < len(self.tiles):
            self.tiled_step = TiledStep(current.step, total, done)
        else:
            sampler.take(current.step, total / layout.total)
            self.tiled_step = None
