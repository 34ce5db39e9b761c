"""A few training steps of the pocket model's recipe, with made-up objects."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionDepth2ImgPipeline
from PIL import Image, ImageDraw

from inference.pocket.recipe import (
    export,
    latents,
    networks,
    sprites,
    train_depth,
    train_text,
    train_unet,
    train_vae,
)
from inference.pocket.recipe.settings import Recipe
from inference.pocket.recipe.training import averaged

# The pipeline asks for float32 autocast around the depth estimator; torch warns and ignores it.
pytestmark = pytest.mark.filterwarnings("ignore:In CPU autocast")


def made_up_sprites() -> dict[str, sprites.Sprite]:
    """Three objects: a disc, a box and a triangle."""
    table = {}
    for word, colour in (("sun", "gold"), ("gift", "crimson"), ("tent", "navy")):
        image = Image.new("RGBA", (64, 64))
        pen = ImageDraw.Draw(image)
        if word == "sun":
            pen.ellipse((4, 4, 60, 60), fill=colour)
        elif word == "gift":
            pen.rectangle((8, 12, 56, 60), fill=colour)
        else:
            pen.polygon([(32, 4), (60, 60), (4, 60)], fill=colour)
        table[word] = sprites.cut(image)
    return table


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A minimal training of about a second per stage."""
    table = made_up_sprites()
    monkeypatch.setattr(sprites, "load", lambda _cache: table)
    (tmp_path / "cache").mkdir()
    return Recipe(
        cache=tmp_path / "cache",
        out=tmp_path / "out",
        size=64,
        vae_channels=(16, 16, 16, 16),
        unet_channels=(32, 32),
        text_width=48,
        text_layers=1,
        depth_width=32,
        crop=32,
        vae_batch=2,
        unet_batch=4,
        pictures=20,
        small_pictures=8,
        vae_minutes=0.01,
        depth_minutes=0.01,
        text_minutes=0.01,
        unet_small_minutes=0.01,
        unet_minutes=0.01,
    )


def test_a_few_steps_of_the_recipe_give_a_pipeline_folder_that_works(
    recipe: Recipe,
) -> None:
    train_vae.train(recipe)
    train_depth.train(recipe)
    latents.compute(recipe)
    train_text.train(recipe)
    train_unet.train(recipe)
    export.export(recipe)

    pipe = StableDiffusionDepth2ImgPipeline.from_pretrained(recipe.out, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    source = Image.fromarray(made_up_sprites()["tent"][..., :3]).resize((128, 64))
    picture = pipe(
        prompt="a sun on a red background, zzz é 漢",
        image=source,
        strength=1.0,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(0),
    ).images[0]
    assert picture.size == (128, 64)
    assert np.asarray(picture).std() > 0
    vocabulary = json.loads((recipe.out / "vocabulary.json").read_text(encoding="utf-8"))
    assert {"objects", "colours", "prompts", "sample_size", "defaults"} <= set(vocabulary)


def test_an_interrupted_stage_continues_from_its_checkpoint(recipe: Recipe) -> None:
    train_vae.train(recipe)
    first = torch.load(recipe.cache / "vae.pt", weights_only=True)
    # On a busy machine the last step may have taken long.
    longer = replace(recipe, vae_minutes=first["spent"] / 60 + recipe.vae_minutes)
    train_vae.train(longer)
    second = torch.load(recipe.cache / "vae.pt", weights_only=True)
    assert second["step"] > first["step"] > 0
    assert second["spent"] >= longer.vae_minutes * 60


def test_a_training_can_start_from_a_pipeline_folder(recipe: Recipe) -> None:
    start = recipe.out / "start"
    vae, depth = networks.vae(recipe), networks.depth_estimator(recipe)
    vae.save_pretrained(start / "vae")
    depth.save_pretrained(start / "depth_estimator")
    kept = replace(recipe, start=start, vae_minutes=0.0, depth_minutes=0.0)
    train_vae.train(kept)
    train_depth.train(kept)
    for stage, old, new in (
        ("vae", vae, networks.vae(recipe)),
        ("depth", depth, networks.depth_estimator(recipe)),
    ):
        made = averaged(recipe, stage, stage, new).state_dict()
        assert all(torch.equal(value, made[name]) for name, value in old.state_dict().items())
    # The export does not contain the path of that folder.
    assert not networks.vae(kept).config.get("_name_or_path")


def test_normalising_the_latents_changes_no_result(recipe: Recipe) -> None:
    torch.manual_seed(0)
    vae = networks.vae(recipe).eval()
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        plain = vae.encode(pixels).latent_dist.mean
        before = vae.decode(plain).sample
        mean, deviation = plain.mean((0, 2, 3)), plain.std((0, 2, 3))
        export.normalise_latents(vae, mean, deviation)
        normal = vae.encode(pixels).latent_dist.mean
        after = vae.decode(normal).sample
    assert normal.mean((0, 2, 3)).abs().max() < 1e-3
    assert (normal.std((0, 2, 3)) - 1).abs().max() < 1e-3
    assert (after - before).abs().max() < 1e-3
