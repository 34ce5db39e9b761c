"""Stage `depth`: a picture to its relief, with a small DPT."""

from __future__ import annotations

import numpy as np
import torch

from inference.pocket.recipe import compose, networks, sprites
from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.training import Stage, autocast, device_of

BATCH = 16


def train(recipe: Recipe) -> None:
    """Run the stage, or what is left of it."""
    torch.manual_seed(recipe.seed)
    device = device_of()
    model = networks.depth_estimator(recipe).to(device)
    stage = Stage(recipe, "depth", recipe.depth_minutes, {"depth": model}, rate=6e-4)
    if stage.done:
        return
    table = sprites.load(recipe.cache)
    photos = sprites.photographs()
    rng = np.random.default_rng(recipe.seed + stage.step)
    for _ in stage.steps():
        batch = [
            compose.photo_sample(
                rng, photos[int(rng.integers(len(photos)))], recipe.size, recipe.size
            )
            if rng.random() < 0.06
            else compose.sample(rng, table, recipe.size, recipe.size)
            for _ in range(BATCH)
        ]
        pixels = torch.from_numpy(np.stack([item.rgb for item in batch])).to(device)
        relief = torch.from_numpy(np.stack([item.relief for item in batch])).to(device)
        with autocast(device):
            made = model(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1).predicted_depth
        relief = torch.nn.functional.interpolate(relief[:, None], made.shape[-2:], mode="area")[
            :, 0
        ]
        stage.descend((made.float() - relief).abs().mean())
