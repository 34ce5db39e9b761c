"""Which models redraw pictures in tiles."""

from __future__ import annotations

import pytest

from inference.models import MODELS

ABLE = {"sd2-depth", "pocket", "noise", "sd15", "sd15-depth", "sdxl", "sdxl-depth"}


@pytest.mark.parametrize("name", MODELS)
def test_models_with_steps_and_guidance_redraw_in_tiles_of_their_sizes(name: str) -> None:
    entry = MODELS[name]
    sizes = entry.sizes or ((entry.multiple, entry.multiple),)
    assert all(entry.redraws_in_tiles(*size) is (name in ABLE) for size in sizes)


def test_tiles_larger_than_the_model_s_pictures_or_of_another_multiple_are_not_redrawn() -> None:
    entry = MODELS["sd2-depth"]
    assert not entry.redraws_in_tiles(1024, 1024)
    assert not entry.redraws_in_tiles(500, 512)
