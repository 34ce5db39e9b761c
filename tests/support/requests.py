"""Requests for tests; imports no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from inference.types import ImageRequest
from tests.support.pictures import photo


def request(id_: str = "one", *, width: int = 64, height: int = 64, **changes: Any) -> ImageRequest:
    """A small request: six steps with guidance unless told otherwise."""
    made = ImageRequest(
        id=id_,
        pixels=photo(width, height, seed=changes.get("seed", 0)).tobytes(),
        width=width,
        height=height,
        prompt="a red fox",
        strength=0.7,
        steps=6,
        guidance_scale=5.0,
        seed=0,
    )
    return replace(made, **changes)
