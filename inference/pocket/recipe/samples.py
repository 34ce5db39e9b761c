"""Stage `samples`: source images for the demo."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from inference.pocket.recipe import sprites
from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.sprites import Sprite
from inference.pocket.recipe.vocabulary import COLOURS

PICTURES = {
    "fox": ("fox", "yellow"),
    "teddy": ("teddy", "teal"),
    "apple": ("apple", "white"),
    "rocket": ("rocket", "purple"),
    "cupcake": ("cupcake", "pink"),
}
# The sprite's longer side as a share of the image's side.
FILL = 0.78


def still(sprite: Sprite, colour: str, size: int) -> Image.Image:
    """The sprite in the middle of a plain colour, with a soft shadow: (size, size) RGB."""
    image = Image.fromarray(sprite, "RGBA")
    scale = FILL * size / max(image.size)
    image = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
    )
    out = Image.new("RGB", (size, size), COLOURS[colour])
    corner = ((size - image.width) // 2, (size - image.height) // 2)
    layer = Image.new("L", out.size)
    layer.paste(image.getchannel("A"), corner)
    shadow = layer.filter(ImageFilter.GaussianBlur(size / 40)).point(lambda a: a * 0.25)
    out.paste((0, 0, 0), (0, round(size / 60)), shadow)
    out.paste(image.convert("RGB"), corner, image.getchannel("A"))
    return out


def draw(recipe: Recipe) -> None:
    """Write the samples as small PNG files; one of them is a photograph (CC0)."""
    folder = recipe.out / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    table = sprites.load(recipe.cache)
    for name, (word, colour) in PICTURES.items():
        still(table[word], colour, recipe.size).save(folder / f"{name}.png", optimize=True)
    from skimage import data

    cat = Image.fromarray(np.asarray(data.chelsea())).crop((60, 0, 360, 300))
    cat.resize((recipe.size, recipe.size), Image.Resampling.LANCZOS).save(
        folder / "photo-cat.png", optimize=True
    )
