"""Stage `latents`: pictures, depth and captions turned into what the UNet learns from, once.

Two sets: small pictures, less than half the area, on which the UNet learns fast what things are,
and pictures of full size, square and oblong, on which it learns to draw them.
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
# How many of the full-size pictures have their true relief instead of the estimator's map; the
# small ones all have. Both, so that the UNet follows a better estimator as well as this one.
EXACT_SHARE = 0.5
# Sides of the full-size set in quarters of the recipe's size, and how often.
SHAPES = (((3, 3), 0.8), ((4, 2), 0.1), ((2, 4), 0.1))


def spread(depth: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """(B, height, width) as the pipeline makes it: stretched to the latents, over -1..1."""
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
    """Estimated on a square, as the pipeline does it, then spread: (B, 1, *shape)."""
    square = torch.nn.functional.interpolate(
        pixels, (size, size), mode="bicubic", align_corners=False, antialias=True
    )
    return spread(estimator(square.clamp(-1, 1)).predicted_depth, shape)


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
        # At the estimator's own resolution first, so that both are equally sharp.
        relief = torch.nn.functional.interpolate(
            relief, (recipe.size // 2, recipe.size // 2), mode="area"
        )
        depth = spread(relief[:, 0], shape)
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
    """Make the small set if it is not there yet."""
    unit = recipe.size // 4
    _part(recipe, "small", 2 * unit, 2 * unit, recipe.small_pictures, 1.0)


def compute_full(recipe: Recipe) -> None:
    """Make every full-size set that is not there yet."""
    unit = recipe.size // 4
    for (across, down), share in SHAPES:
        count = int(recipe.pictures * share)
        _part(recipe, f"{across}x{down}", across * unit, down * unit, count, EXACT_SHARE)


def compute(recipe: Recipe) -> None:
    """Make every set that is not there yet."""
    compute_small(recipe)
    compute_full(recipe)
