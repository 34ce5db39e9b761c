"""Stage `depth`: train a small DPT to estimate the relief of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from inference.pocket.recipe import compose, networks, sprites
from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.training import Stage, autocast, device_of

BATCH = 16
PHOTO_SHARE = 0.06
# Composed once; each image is used in four reflections.
POOL = 3000
# The network ends in a ReLU: with a target of exactly zero it would output constant maps, and the
# pipeline's normalisation divides a constant map by zero.
FLOOR = 0.1


def pool(recipe: Recipe, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(count, size, size, 3) bytes and (count, size / 2, size / 2) relief."""
    rng = np.random.default_rng(recipe.seed + 1)
    table, photos = sprites.load(recipe.cache), sprites.photographs()
    size = recipe.size
    pictures = torch.empty((count, size, size, 3), dtype=torch.uint8)
    reliefs = torch.empty((count, size // 2, size // 2))
    for row in range(count):
        if rng.random() < PHOTO_SHARE:
            photo = photos[int(rng.integers(len(photos)))]
            made = compose.photo_sample(rng, photo, size, size)
        else:
            made = compose.sample(rng, table, size, size)
        pictures[row] = torch.from_numpy(made.rgb.copy())
        relief = torch.from_numpy(made.relief)[None, None]
        reliefs[row] = torch.nn.functional.avg_pool2d(relief, 2)[0, 0]
    return pictures, reliefs


def train(recipe: Recipe) -> None:
    """Run the stage, or the rest of it."""
    torch.manual_seed(recipe.seed)
    device = device_of()
    model: Any = networks.depth_estimator(recipe)
    model.to(device, memory_format=torch.channels_last)
    stage = Stage(recipe, "depth", recipe.depth_minutes, {"depth": model}, rate=1e-3)
    if stage.done:
        stage.save()
        return
    pictures, reliefs = pool(recipe, min(POOL, recipe.pictures))
    rng = np.random.default_rng(recipe.seed + stage.step)
    for _ in stage.steps():
        rows = torch.from_numpy(rng.integers(0, len(pictures), BATCH))
        pixels = pictures[rows].to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
        target = FLOOR + (1 - FLOOR) * reliefs[rows].to(device)
        for axis in (-1, -2):
            if rng.random() < 0.5:
                pixels, target = pixels.flip(axis), target.flip(axis)
        with autocast(device):
            made = model(pixels).predicted_depth
        stage.descend((made.float() - target).abs().mean())
