"""The parts of a picture that a user can choose, in commands and forms."""

from __future__ import annotations

from typing import get_args

from inference import Part

PARTS: tuple[Part, ...] = get_args(Part)

TRANSPARENT = "transparent"
"""A choice of `/img2img`: the attached picture's transparent region is its mask."""


def part_named(name: str) -> Part:
    """The part of this name; everything for other names."""
    return next((part for part in PARTS if part == name), "everything")
