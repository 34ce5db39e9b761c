"""The rows of one denoiser call: whole pictures and tiles, of many requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from inference.families.denoising.state import Denoising, Tile
from inference.families.sampling_state import Sampler, Step, combine_guidance


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a request predicts of one tile.

    `latents` are the scaled latents, (1, C, h, w), `time` and `scale` the timestep and the guidance
    scale, (1,) each.
    """

    one: Denoising
    tile: Tile
    latents: torch.Tensor
    time: torch.Tensor
    scale: torch.Tensor


class DenoiserCall:
    """Begins a step of every request in the batch, and takes those that are complete.

    `tiles` is the number of tiles that each request predicts; all that are left by default. The
    rows are those of the prompts, followed by those of the negative prompts.
    """

    def __init__(self, sampler: Sampler, batch: Sequence[Denoising], tiles: Sequence[int]) -> None:
        self._sampler = sampler
        counts = tiles or [len(one.tiles) for one in batch]
        self._whole = [one for one in batch if one.layout is None]
        self._tiled = [one for one in batch if one.layout is not None]
        self._step: Step | None = None
        views: list[View] = []
        if self._whole:
            states = [one.state for one in self._whole]
            self._step = sampler.begin(states, [one.scale for one in self._whole])
            views += self._views_of_whole(self._step)
        for one, count in zip(batch, counts, strict=True):
            if one.layout is not None:
                views += self._views_of_tiles(one, count)
        # Guided views first: row i of the second part belongs to row i of the first.
        self.views = sorted(views, key=lambda view: -view.one.rows)
        self.guided = sum(view.one.rows == 2 for view in self.views)

    def inputs(self) -> tuple[torch.Tensor, ...]:
        """The denoiser's inputs: latents, timesteps, embeddings, conditions, (rows, ...) each."""
        views = self.views
        shared = [
            torch.cat([view.latents for view in views]),
            torch.cat([view.time for view in views]),
        ]
        conditions = zip(*(view.tile.conditions for view in views), strict=True)
        shared += [torch.cat(parts) for parts in conditions]
        latents, times, *rest = (torch.cat([part, part[: self.guided]]) for part in shared)
        embeddings = [
            torch.cat([part[:1] for part in parts] + [part[1:] for part in parts])
            for parts in zip(*(view.one.embeddings for view in views), strict=True)
        ]
        return latents, times, *embeddings, *rest

    def finish(self, predictions: torch.Tensor) -> None:
        """Take the steps, given the denoiser's output, (rows, C, h, w)."""
        scales = torch.cat([view.scale for view in self.views])
        outputs = combine_guidance(predictions, scales)
        places: dict[Denoising, list[int]] = {}
        for index, view in enumerate(self.views):
            places.setdefault(view.one, []).append(index)
        if self._step is not None:
            found = [outputs[index : index + 1] for one in self._whole for index in places[one]]
            self._sampler.take(self._step, torch.cat(found))
        for one in self._tiled:
            tiles = [self.views[index].tile for index in places[one]]
            one.add_tiles(self._sampler, tiles, outputs[places[one][0] :][: len(tiles)])

    def _views_of_whole(self, step: Step) -> Iterator[View]:
        for row, one in enumerate(self._whole):
            yield View(
                one=one,
                tile=one.tiles[0],
                latents=step.inputs[row : row + 1],
                time=step.timesteps[row : row + 1],
                scale=step.scales[row : row + 1],
            )

    def _views_of_tiles(self, one: Denoising, count: int) -> Iterator[View]:
        begun = one.begin(self._sampler)
        for tile in one.tiles[begun.done : begun.done + count]:
            yield View(
                one=one,
                tile=tile,
                latents=begun.step.inputs[(..., *tile.place)],
                time=begun.step.timesteps,
                scale=begun.step.scales,
            )
