"""`python -m inference.pocket.recipe [stage ...]`: run all stages of the training, or some."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from inference.pocket.recipe import (
    export,
    grid,
    latents,
    reference,
    samples,
    sprites,
    train_depth,
    train_text,
    train_unet,
    train_vae,
)
from inference.pocket.recipe.settings import Recipe

STAGES: dict[str, Callable[[Recipe], object]] = {
    "data": lambda recipe: sprites.fetch(recipe.cache),
    "vae": train_vae.train,
    "depth": train_depth.train,
    "latents": latents.compute,
    "text": train_text.train,
    "unet-small": train_unet.train_small,
    "unet": train_unet.train,
    "export": export.export,
    "samples": samples.draw,
    "reference": reference.write,
    "grid": grid.draw,
}


def main() -> None:
    """Parse the arguments and run the stages; a finished stage does nothing."""
    parser = argparse.ArgumentParser(prog="python -m inference.pocket.recipe", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="stage", help=", ".join(STAGES))
    parser.add_argument("--cache", type=Path, default=Path(".cache/pocket"))
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1])
    parser.add_argument(
        "--warm-start",
        dest="start",
        type=Path,
        help="a pipeline folder whose VAE and DPT are trained further",
    )
    parser.add_argument("--compile", action="store_true", help="compile the UNet for training")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    for name in ("vae", "depth", "text", "unet-small", "unet"):
        parser.add_argument(f"--{name}-minutes", type=float)
    given = parser.parse_args()
    unknown = set(given.stages) - set(STAGES)
    if unknown:
        parser.error(
            f"no such stage: {', '.join(sorted(unknown))}; the stages are {', '.join(STAGES)}"
        )
    minutes = {
        key: value
        for key, value in vars(given).items()
        if key.endswith("_minutes") and value is not None
    }
    recipe = Recipe(
        cache=given.cache,
        out=given.out,
        start=given.start,
        compiled=given.compile,
        **minutes,
    )
    recipe.cache.mkdir(parents=True, exist_ok=True)
    if given.threads:
        torch.set_num_threads(given.threads)
    # `unet` runs `unet-small` first.
    for name in given.stages or [name for name in STAGES if name != "unet-small"]:
        STAGES[name](recipe)


if __name__ == "__main__":
    main()
