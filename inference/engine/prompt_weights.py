"""`(word:1.3)` in a prompt: more or less of a word, through the library `compel`."""

from __future__ import annotations

import re
from typing import Any

import torch
from compel import Compel

# The notation that popular web UIs made customary. What it becomes is compel's own.
_WEIGHTED = re.compile(r"\(([^():]+):(\d(?:\.\d+)?)\)")


def is_weighted(prompt: str) -> bool:
    """Whether any part of the prompt carries a weight."""
    return _WEIGHTED.search(prompt) is not None


def embed(pipe: Any, prompt: str) -> torch.Tensor:
    """The prompt's embedding, (1, window, D), its weighted parts nearer to or further from what
    the prompt would be without them."""
    compel = Compel(tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder)
    made: torch.Tensor = compel(_WEIGHTED.sub(r"(\1)\2", prompt))
    return made.to(pipe.device, pipe.unet.dtype)
