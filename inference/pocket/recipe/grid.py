"""Stage `grid`: sheets of sources, their depth maps and the model's results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionDepth2ImgPipeline
from PIL import Image, ImageDraw, ImageFont

from inference.pocket.recipe.latents import normalised_depth
from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.vocabulary import DEFAULTS

DOCS = Path(__file__).resolve().parents[3] / "docs"
GRID, PHOTOGRAPHS = DOCS / "pocket-grid.webp", DOCS / "pocket-photographs.webp"
# Sample, prompt for `STRENGTHS`, prompt for strength 1.
ROWS = (
    ("fox", "a panda on a pink background", "a tiger on a blue background"),
    ("teddy", "a robot on an orange background", "a panda on a green background"),
    ("apple", "a basketball on a black background", "a watermelon on a teal background"),
    ("rocket", "a carrot on a white background", "a fire on a blue background"),
    ("cupcake", "a strawberry on a teal background", "a mushroom on a grey background"),
)
# The same, with the names of scikit-image's pictures.
PHOTOGRAPH_ROWS = (
    ("chelsea", "a cat on a pink background", "a tiger on a blue background"),
    ("coffee", "a donut on a white background", "a cookie on a green background"),
    ("astronaut", "a robot on a blue background", "a snowman on a red background"),
    ("rocket", "a rocket on a purple background", "a carrot on a white background"),
    ("page", "a gift on a yellow background", "a crown on a blue background"),
)
STRENGTHS = (0.3, 0.5, 0.7, 0.9)
CELL, GAP, LINE = 208, 10, 30
PAPER, INK = (250, 250, 248), (40, 40, 44)


@dataclass(frozen=True, slots=True)
class Row:
    """A source of any size, and its prompts: for `STRENGTHS`, and for strength 1."""

    source: Image.Image
    prompt: str
    other: str


def draw(recipe: Recipe) -> None:
    """Draw the sheet of the samples, and the sheet of photographs."""
    folder = recipe.out / "samples"
    rows = [Row(Image.open(folder / f"{name}.png"), *prompts) for name, *prompts in ROWS]
    draw_sheet(recipe, rows, GRID)
    draw_sheet(recipe, photographs(), PHOTOGRAPHS)


def photographs() -> list[Row]:
    """Photographs and a picture of text, from scikit-image; see LICENSES.md."""
    from skimage import data

    return [
        Row(_square(Image.fromarray(getattr(data, name)())), prompt, other)
        for name, prompt, other in PHOTOGRAPH_ROWS
    ]


def _square(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def draw_sheet(recipe: Recipe, rows: Sequence[Row], path: Path) -> None:
    """Run the exported model on the sources and paste the results side by side."""
    pipe = StableDiffusionDepth2ImgPipeline.from_pretrained(recipe.out, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    vocabulary = json.loads((recipe.out / "vocabulary.json").read_text(encoding="utf-8"))
    side = vocabulary["sample_size"]
    columns = ["source", "its depth", *(f"strength {s}" for s in STRENGTHS), "strength 1.0"]
    width = GAP + len(columns) * (CELL + GAP)
    height = LINE + len(rows) * (CELL + LINE + GAP) + GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    head, small = ImageFont.load_default(17), ImageFont.load_default(13)
    for column, name in enumerate(columns):
        pen.text((GAP + column * (CELL + GAP), 6), name, INK, font=head)
    for number, row in enumerate(rows):
        source = row.source.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        pictures = [source, depth_picture(pipe, source, recipe.size)]
        settings = [*((row.prompt, s) for s in STRENGTHS), (row.other, 1.0)]
        for words, strength in settings:
            pictures += pipe(
                prompt=words,
                image=source,
                strength=strength,
                num_inference_steps=int(DEFAULTS["steps"]),
                guidance_scale=DEFAULTS["guidance_scale"],
                generator=torch.Generator().manual_seed(recipe.seed + number),
            ).images
        top = LINE + number * (CELL + LINE + GAP)
        for column, picture in enumerate(pictures):
            left = GAP + column * (CELL + GAP)
            sheet.paste(picture.resize((CELL, CELL), Image.Resampling.LANCZOS), (left, top))
        line = top + CELL + 3
        pen.text((GAP + 2 * (CELL + GAP), line), f"“{row.prompt}”", INK, font=small)
        # Aligned right, because the text can be wider than its image.
        pen.text((width - GAP, line), f"“{row.other}”", INK, font=small, anchor="ra")
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=88, method=6)


def depth_picture(
    pipe: StableDiffusionDepth2ImgPipeline, source: Image.Image, size: int
) -> Image.Image:
    """The depth map that the UNet gets, as a grey image; near is bright."""
    pixels = torch.from_numpy(np.array(source)).permute(2, 0, 1)[None].float() / 127.5 - 1
    depth = normalised_depth(pipe.depth_estimator, pixels, size, (size, size))[0, 0]
    return Image.fromarray(((depth + 1) * 127.5).clamp(0, 255).byte().numpy())
