"""Stage `text`: pretrain the text encoder on the appearance of the words.

The text encoder of Stable Diffusion comes from CLIP, which was trained on images. Here a linear
head must predict, from the states after the last word, a coarse image of the object and the
background's colour. Without this stage the UNet learns the colours, but hardly any of 130 objects:
each is in one of 130 captions, and cross-attention spreads this weak signal over 77 positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from inference.pocket.recipe import compose, networks, sprites
from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.training import Stage, autocast, device_of
from inference.pocket.recipe.vocabulary import COLOURS

BATCH = 64
# The coarse image: rows, and columns of its left half (images are mirrored at random).
ROWS, COLUMNS = 8, 4
COMPONENTS = 64
# Positions that are trained; the last one is then copied to all padding positions after it.
POSITIONS = 24


def appearance(sprite: sprites.Sprite) -> NDArray[np.float32]:
    """The sprite's surface on a square, averaged with its mirror image: ROWS × COLUMNS × 3."""
    square = np.full((64, 64, 4), 255, dtype=np.uint8)
    surface = compose.fill_outline(sprite, square)[..., :3]
    small = Image.fromarray(surface, "RGB").resize((2 * COLUMNS, ROWS), Image.Resampling.BOX)
    grid = np.asarray(small, dtype=np.float32) / 255
    return np.asarray((grid + grid[:, ::-1])[:, :COLUMNS].reshape(-1) / 2, dtype=np.float32)


class Appearances:
    """The appearance of every object in every tint, as scores of its principal components."""

    def __init__(self, table: dict[str, sprites.Sprite]) -> None:
        self.words = list(table)
        self.tones: list[str | None] = [None, *COLOURS]
        grids = np.stack(
            [
                [
                    appearance(sprite if tone is None else compose.tint(sprite, tone))
                    for tone in self.tones
                ]
                for sprite in table.values()
            ]
        )
        flat = grids.reshape(-1, grids.shape[-1])
        centred = flat - flat.mean(0)
        _, spread, axes = np.linalg.svd(centred, full_matrices=False)
        count = min(COMPONENTS, len(spread))
        # Divided by the square root of the deviation: details count, but less than main colours.
        scores = centred @ axes[:count].T / np.sqrt(spread[:count])
        scores /= scores.std()
        self.scores = scores.reshape(len(self.words), len(self.tones), count).astype(np.float32)

    def caption(self, rng: np.random.Generator) -> tuple[str, NDArray[np.float32]]:
        """A random caption, and the scores and background colour that it describes."""
        word = int(rng.integers(len(self.words)))
        tone = 1 + int(rng.integers(len(COLOURS))) if rng.random() < 0.15 else 0
        colour = str(rng.choice(np.array(list(COLOURS))))
        text = compose.caption_for(rng, self.words[word], self.tones[tone], colour)
        seen = self.scores[word, tone] * (self.words[word] in text)
        ground = np.array(COLOURS[colour], dtype=np.float32) / 127.5 - 1
        ground = ground * text.endswith((f"{colour} background", f"on {colour}")) * 2
        return text, np.concatenate([seen, ground]).astype(np.float32)


def train(recipe: Recipe) -> None:
    """Run the stage, or the rest of it."""
    torch.manual_seed(recipe.seed)
    device = device_of()
    words = networks.tokenizer()
    text: Any = networks.text_encoder(recipe, words).to(device)
    appearances = Appearances(sprites.load(recipe.cache))
    head = torch.nn.Linear(recipe.text_width, appearances.scores.shape[-1] + 3).to(device)
    modules: dict[str, torch.nn.Module] = {"text": text, "head": head}
    stage = Stage(recipe, "text", recipe.text_minutes, modules, rate=2e-3)
    rng = np.random.default_rng(recipe.seed + stage.step)
    for _ in stage.steps():
        captions, seen = zip(*(appearances.caption(rng) for _ in range(BATCH)), strict=True)
        tokens = words(
            list(captions), padding="max_length", max_length=POSITIONS, return_tensors="pt"
        ).input_ids.to(device)
        target = torch.from_numpy(np.stack(seen)).to(device)
        with autocast(device):
            made = head(text(tokens).last_hidden_state).float()
        # Only the end-of-text positions, whose states depend on all words.
        ended = (tokens == words.eos_token_id).float()[..., None]
        error = (made - target[:, None]).square() * ended
        stage.descend(error.sum() / ended.sum() / target.shape[-1])
    with torch.no_grad():
        for encoder in (text, stage.average("text")):
            positions = encoder.get_parameter("embeddings.position_embedding.weight")
            positions[POSITIONS:] = positions[POSITIONS - 1]
    stage.save()
