"""Stage `unet`: train the UNet, and the text encoder with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from inference.pocket.recipe import networks
from inference.pocket.recipe.latents import SHAPES
from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.training import Stage, autocast, averaged, device_of

# Share of samples without a caption, which classifier-free guidance needs.
# Ho and Salimans 2022, "Classifier-Free Diffusion Guidance".
EMPTY_CAPTIONS = 0.12


@dataclass(frozen=True)
class Latents:
    """Samples of one shape: latents normalised to unit variance, depth, token ids."""

    latents: torch.Tensor
    depth: torch.Tensor
    tokens: torch.Tensor


def statistics(recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of every latent channel over the small images: two (C,) tensors."""
    state = torch.load(recipe.cache / "latents-small.pt", weights_only=True)
    latents = state["latents"].float()
    return latents.mean((0, 2, 3)), latents.std((0, 2, 3))


def load(recipe: Recipe, name: str) -> Latents:
    """Load one set from the cache."""
    state = torch.load(recipe.cache / f"latents-{name}.pt", weights_only=True)
    mean, deviation = statistics(recipe)
    words = networks.tokenizer()
    tokens = words(state["captions"], padding="max_length", truncation=True, return_tensors="pt")
    return Latents(
        ((state["latents"].float() - mean[:, None, None]) / deviation[:, None, None]).half(),
        state["depth"],
        tokens.input_ids.short(),
    )


def train_small(recipe: Recipe) -> Stage:
    """Train on small images, or run the rest of that stage."""
    torch.manual_seed(recipe.seed)
    small = {"small": load(recipe, "small")}
    text = averaged(recipe, "text", "text", networks.text_encoder(recipe, networks.tokenizer()))
    text.requires_grad_(True)
    model = networks.unet(recipe)
    return _run(recipe, "unet-small", recipe.unet_small_minutes, model, text, small, 1e-3)


def train(recipe: Recipe) -> None:
    """Train on full-size images, starting from the weights of the small ones."""
    model, text = networks.unet(recipe), networks.text_encoder(recipe, networks.tokenizer())
    first = train_small(recipe)
    for key, module in (("unet", model), ("text", text)):
        module.load_state_dict(first.average(key).state_dict())
    full = {f"{a}x{d}": load(recipe, f"{a}x{d}") for (a, d), _ in SHAPES}
    _run(recipe, "unet", recipe.unet_minutes, model, text, full, 6e-4)


def _run(
    recipe: Recipe,
    name: str,
    minutes: float,
    model: Any,
    text: Any,
    sets: dict[str, Latents],
    rate: float,
) -> Stage:
    torch.manual_seed(recipe.seed)
    device = device_of()
    model = model.to(device, memory_format=torch.channels_last).train()
    text = text.to(device).train()
    words = networks.tokenizer()
    stage = Stage(recipe, name, minutes, {"unet": model, "text": text}, rate)
    if recipe.compiled:
        # One compilation per shape: there are few shapes.
        model.compile(dynamic=False)
    empty = torch.tensor(words("", padding="max_length").input_ids, dtype=torch.int16)
    alphas = networks.scheduler().alphas_cumprod
    # Each process has its own samples and noise.
    seed = recipe.seed + stage.step + 1_000_000 * stage.rank
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    names = list(sets)
    sizes = np.array([len(sets[key].latents) for key in names], dtype=np.float64)
    for _ in stage.steps():
        chosen = sets[names[int(rng.choice(len(names), p=sizes / sizes.sum()))]]
        rows = torch.from_numpy(rng.integers(0, len(chosen.latents), recipe.unet_batch))
        clean = chosen.latents[rows].float().to(device)
        depth = chosen.depth[rows].float().to(device)
        tokens = chosen.tokens[rows].clone()
        tokens[torch.rand(len(rows)) < EMPTY_CAPTIONS] = empty
        times = torch.randint(0, len(alphas), (len(rows),))
        signal = alphas[times].sqrt()[:, None, None, None].to(device)
        noise_share = (1 - alphas[times]).sqrt()[:, None, None, None].to(device)
        noise = torch.randn_like(clean)
        noisy = signal * clean + noise_share * noise
        # Salimans and Ho 2022, "Progressive Distillation": velocity prediction.
        velocity = signal * noise - noise_share * clean
        with autocast(device):
            states = text(tokens.long().to(device)).last_hidden_state
            inputs = torch.cat([noisy, depth], dim=1).contiguous(memory_format=torch.channels_last)
            made = model(inputs, times.to(device), states).sample
        stage.descend(torch.nn.functional.mse_loss(made.float(), velocity))
    return stage
