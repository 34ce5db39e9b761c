"""Stage `latents`: compute the latents, depth maps and captions that the UNet is trained on.

There are two sets: small images of less than half the area, for the first part of the training,
and full-size images in three shapes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from inference.pocket.recipe import compose, networks, sprites
from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.training import autocast, averaged, device_of

BATCH = 16
PHOTO_SHARE = 0.03
# Share of full-size images with their exact relief instead of the estimator's map; all small ones
# have the exact one. With both, the UNet also works with a better estimator.
EXACT_SHARE = 0.5
# Sides of the full-size images in quarters of the recipe's size, and their shares.
SHAPES = (((3, 3), 0.8), ((4, 2), 0.1), ((2, 4), 0.1))


def normalise(depth: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """(B, height, width) resized to the latents and scaled to -1..1, as the pipeline does it."""
    depth = torch.nn.functional.interpolate(
        depth[:, None].float(), shape, mode="bicubic", align_corners=False
    )
    low = depth.amin((1, 2, 3), keepdim=True)
    high = depth.amax((1, 2, 3), keepdim=True)
    return 2 * (depth - low) / (high - low).clamp_min(1e-6) - 1


@torch.no_grad()
def normalised_depth(
    estimator: torch.nn.Module, pixels: torch.Tensor, size: int, shape: tuple[int, int]
) -> torch.Tensor:
    """Estimated on a square, as the pipeline does it, then normalised: (B, 1, *shape)."""
    square = torch.nn.functional.interpolate(
        pixels, (size, size), mode="bicubic", align_corners=False, antialias=True
    )
    return normalise(estimator(square.clamp(-1, 1)).predicted_depth, shape)


@torch.no_grad()
def _part(
    recipe: Recipe, name: str, width: int, height: int, count: int, exact_share: float
) -> None:
    path: Path = recipe.cache / f"latents-{name}.pt"
    if path.exists():
        return
    device = device_of()
    vae = averaged(recipe, "vae", "vae", networks.vae(recipe)).to(device)
    estimator = None
    if exact_share < 1:
        estimator = averaged(recipe, "depth", "depth", networks.depth_estimator(recipe)).to(device)
    rng = np.random.default_rng(recipe.seed + width * 1000 + height)
    table = sprites.load(recipe.cache)
    photos = sprites.photographs()
    means, depths, captions = [], [], []
    shape = (height // recipe.downsampling, width // recipe.downsampling)
    for start in range(0, count, BATCH):
        batch = [
            compose.photo_sample(rng, photos[int(rng.integers(len(photos)))], width, height)
            if rng.random() < PHOTO_SHARE
            else compose.sample(rng, table, width, height)
            for _ in range(min(BATCH, count - start))
        ]
        rgb = torch.from_numpy(np.stack([item.rgb for item in batch])).to(device)
        pixels = rgb.permute(0, 3, 1, 2).float() / 127.5 - 1
        with autocast(device):
            means.append(vae.encode(pixels).latent_dist.mean.half().cpu())  # type: ignore[operator]
        relief = torch.from_numpy(np.stack([item.relief for item in batch]))[:, None].to(device)
        # At the estimator's resolution first, so that both are equally sharp.
        relief = torch.nn.functional.interpolate(
            relief, (recipe.size // 2, recipe.size // 2), mode="area"
        )
        depth = normalise(relief[:, 0], shape)
        if estimator is not None:
            exact = torch.from_numpy(rng.random(len(batch)) < exact_share).to(device)
            with autocast(device):
                estimated = normalised_depth(estimator, pixels, recipe.size, shape)
            depth = torch.where(exact[:, None, None, None], depth, estimated.float())
        depths.append(depth.half().cpu())
        captions += [item.caption for item in batch]
        if start // BATCH % 50 == 0:
            print(f"latents {name} {start}/{count}", flush=True)
    torch.save(
        {"latents": torch.cat(means), "depth": torch.cat(depths), "captions": captions}, path
    )


def compute_small(recipe: Recipe) -> None:
    """Compute the small set unless it exists."""
    unit = recipe.size // 4
    _part(recipe, "small", 2 * unit, 2 * unit, recipe.small_pictures, 1.0)


def compute_full(recipe: Recipe) -> None:
    """Compute the full-size sets that do not exist."""
    unit = recipe.size // 4
    for (across, down), share in SHAPES:
        count = int(recipe.pictures * share)
        _part(recipe, f"{across}x{down}", across * unit, down * unit, count, EXACT_SHARE)


def compute(recipe: Recipe) -> None:
    """Compute the sets that do not exist."""
    compute_small(recipe)
    compute_full(recipe)
