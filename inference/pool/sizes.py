"""The size of a model in the device's memory, from its catalogue entry and what was measured."""

from __future__ import annotations

from inference.model_entry import ModelEntry
from inference.pool.switching import ModelSize


def model_size(entry: ModelEntry, device: str, half: bool, weights: int = 0) -> ModelSize:
    """The size of a model: of its weights as measured, or else by the catalogue, and of the memory
    that the catalogue has beyond them."""
    weights = weights or (entry.parameters or 0) * (2 if half else 4)
    needed = int(entry.memory.on(device, half=half)[0] * 2**30) if entry.memory else 0
    return ModelSize(weights=weights or needed, working=max(0, needed - weights) if weights else 0)
