"""Stage `reference`: a sheet with a thumbnail of every object, for the tests."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from inference.pocket.recipe import sprites
from inference.pocket.recipe.settings import Recipe

CELL = 128
COLUMNS = 12
SHEET = Path(__file__).resolve().parents[3] / "tests/integration/inference/pocket_reference.webp"


def write(recipe: Recipe, path: Path = SHEET) -> None:
    """Write the objects in the vocabulary's order, row by row, each in a transparent cell."""
    table = sprites.load(recipe.cache)
    rows = -(-len(table) // COLUMNS)
    sheet = Image.new("RGBA", (COLUMNS * CELL, rows * CELL))
    for number, sprite in enumerate(table.values()):
        image = Image.fromarray(sprite, "RGBA")
        scale = CELL / max(image.size)
        image = image.resize(
            (round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS
        )
        row, column = divmod(number, COLUMNS)
        sheet.paste(
            image,
            (
                column * CELL + (CELL - image.width) // 2,
                row * CELL + (CELL - image.height) // 2,
            ),
        )
    sheet.save(path, "WEBP", quality=88, method=6)
    print(f"{path}: {path.stat().st_size / 1e3:.0f} kB", flush=True)
