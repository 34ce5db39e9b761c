"""Stage `vae`: train the autoencoder on crops."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from inference.pocket.recipe import compose, networks, sprites
from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.training import Stage, autocast, device_of

# Small: it keeps the latents near a unit normal; a larger weight blurs the image.
KL_WEIGHT = 1e-5
EDGE_WEIGHT = 1.0
COLOUR_WEIGHT = 1.0
POOL = 3000
PHOTO_SHARE = 0.1


def picture_pool(recipe: Recipe, count: int) -> NDArray[np.uint8]:
    """(count, native, native, 3): compositions, and a few crops of photographs."""
    rng = np.random.default_rng(recipe.seed)
    table = sprites.load(recipe.cache)
    photos = sprites.photographs()
    pool = np.empty((count, recipe.native, recipe.native, 3), dtype=np.uint8)
    for row in pool:
        if rng.random() < PHOTO_SHARE:
            photo = photos[int(rng.integers(len(photos)))]
            row[:] = compose.photo_sample(rng, photo, recipe.native, recipe.native).rgb
        else:
            row[:] = compose.sample(rng, table, recipe.native, recipe.native).rgb
    return pool


def crops(rng: np.random.Generator, pool: NDArray[np.uint8], size: int, count: int) -> torch.Tensor:
    """(count, 3, size, size) in -1..1. In 70 % of the cases the crop with the highest variance of
    four random ones is taken, since a plain background adds little."""
    out = np.empty((count, size, size, 3), dtype=np.uint8)
    for row in out:
        picture = pool[int(rng.integers(len(pool)))]
        places = rng.integers(0, picture.shape[0] - size + 1, (4, 2))
        cut = [picture[y : y + size, x : x + size] for y, x in places]
        row[:] = max(cut, key=lambda c: float(c[::4, ::4].std())) if rng.random() < 0.7 else cut[0]
    return torch.from_numpy(out).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def edges(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Differences of neighbouring pixels, vertically and horizontally."""
    return x[..., 1:, :] - x[..., :-1, :], x[..., 1:] - x[..., :-1]


def loss_of(made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Absolute error of the pixels, of their differences at full and half size, and of the colours
    at a quarter of the size.

    With the differences alone the model learns shapes long before colours.
    """
    total = (made - real).abs().mean()
    for _ in range(2):
        for a, b in zip(edges(made), edges(real), strict=True):
            total = total + EDGE_WEIGHT * (a - b).abs().mean()
        made, real = (torch.nn.functional.avg_pool2d(x, 2) for x in (made, real))
    colour = torch.nn.functional.avg_pool2d(made - real, 2)
    return total + COLOUR_WEIGHT * colour.abs().mean()


def train(recipe: Recipe) -> None:
    """Run the stage, or the rest of it."""
    torch.manual_seed(recipe.seed)
    device = device_of()
    model = networks.vae(recipe).to(device)
    rate = 1.2e-3 if recipe.start is None else 6e-4
    stage = Stage(recipe, "vae", recipe.vae_minutes, {"vae": model}, rate)
    if stage.done:
        stage.save()
        return
    pool = picture_pool(recipe, min(POOL, recipe.pictures))
    # Each process has its own crops.
    rng = np.random.default_rng(recipe.seed + stage.step + 1_000_000 * stage.rank)
    for _ in stage.steps():
        real = crops(rng, pool, recipe.crop, recipe.vae_batch).to(device)
        with autocast(device):
            posterior = model.encode(real).latent_dist
            made = model.decode(posterior.sample()).sample
        loss = loss_of(made.float(), real) + KL_WEIGHT * posterior.kl().float().mean()
        stage.descend(loss)
