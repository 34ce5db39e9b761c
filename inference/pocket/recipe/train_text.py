"""Stage `text`: captions to what they look like, before any picture is drawn.

The text encoder of Stable Diffusion knew what words look like before the UNet met it: CLIP had
seen pictures. Ours learns the same from the sprites: at every place of the window after the words,
its states must give, linearly, a coarse picture of the object and the background's colour. Without
this the UNet learns colours soon and 130 objects hardly at all: each is in one caption of 130, and
cross-attention spreads that faint signal over 77 places.
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
# The coarse picture: rows, columns of its left half (pictures are mirrored at random).
ROWS, COLUMNS = 8, 4
COMPONENTS = 64
# Places of the window that are trained; the last one then stands for all the padding after it.
PLACES = 24


def look(sprite: sprites.Sprite) -> NDArray[np.float32]:
    """The sprite's surface stretched over a square, mirrored onto itself: ROWS × COLUMNS × 3."""
    square = np.full((64, 64, 4), 255, dtype=np.uint8)
    surface = compose.wear(sprite, square)[..., :3]
    small = Image.fromarray(surface, "RGB").resize((2 * COLUMNS, ROWS), Image.Resampling.BOX)
    grid = np.asarray(small, dtype=np.float32) / 255
    return np.asarray((grid + grid[:, ::-1])[:, :COLUMNS].reshape(-1) / 2, dtype=np.float32)


class Looks:
    """What every object looks like in every tint, in the directions in which objects differ."""

    def __init__(self, table: dict[str, sprites.Sprite]) -> None:
        self.words = list(table)
        self.tones: list[str | None] = [None, *COLOURS]
        grids = np.stack(
            [
                [
                    look(sprite if tone is None else compose.tint(sprite, tone))
                    for tone in self.tones
                ]
                for sprite in table.values()
            ]
        )
        flat = grids.reshape(-1, grids.shape[-1])
        centred = flat - flat.mean(0)
        _, spread, axes = np.linalg.svd(centred, full_matrices=False)
        count = min(COMPONENTS, len(spread))
        # Half way to equal variance: details count, but less than the main colours.
        scores = centred @ axes[:count].T / np.sqrt(spread[:count])
        scores /= scores.std()
        self.scores = scores.reshape(len(self.words), len(self.tones), count).astype(np.float32)

    def caption(self, rng: np.random.Generator) -> tuple[str, NDArray[np.float32]]:
        """A caption as the pictures have them, and what should be seen of it."""
        word = int(rng.integers(len(self.words)))
        tone = 1 + int(rng.integers(len(COLOURS))) if rng.random() < 0.15 else 0
        colour = str(rng.choice(np.array(list(COLOURS))))
        text = compose.caption_for(rng, self.words[word], self.tones[tone], colour)
        seen = self.scores[word, tone] * (self.words[word] in text)
        ground = np.array(COLOURS[colour], dtype=np.float32) / 127.5 - 1
        ground = ground * text.endswith((f"{colour} background", f"on {colour}")) * 2
        return text, np.concatenate([seen, ground]).astype(np.float32)


def train(recipe: Recipe) -> None:
    """Run the stage, or what is left of it."""
    torch.manual_seed(recipe.seed)
    device = device_of()
    words = networks.tokenizer()
    text: Any = networks.text_encoder(recipe, words).to(device)
    looks = Looks(sprites.load(recipe.cache))
    head = torch.nn.Linear(recipe.text_width, looks.scores.shape[-1] + 3).to(device)
    modules: dict[str, torch.nn.Module] = {"text": text, "head": head}
    stage = Stage(recipe, "text", recipe.text_minutes, modules, rate=2e-3)
    rng = np.random.default_rng(recipe.seed + stage.step)
    for _ in stage.steps():
        captions, seen = zip(*(looks.caption(rng) for _ in range(BATCH)), strict=True)
        tokens = words(
            list(captions), padding="max_length", max_length=PLACES, return_tensors="pt"
        ).input_ids.to(device)
        target = torch.from_numpy(np.stack(seen)).to(device)
        with autocast(device):
            made = head(text(tokens).last_hidden_state).float()
        # Only the ends of texts and the padding: they have read all the words.
        ended = (tokens == words.eos_token_id).float()[..., None]
        error = (made - target[:, None]).square() * ended
        stage.descend(error.sum() / ended.sum() / target.shape[-1])
    with torch.no_grad():
        for encoder in (text, stage.average("text")):
            places = encoder.get_parameter("embeddings.position_embedding.weight")
            places[PLACES:] = places[PLACES - 1]
    stage.save()
