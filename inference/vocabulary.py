"""The words that a model with a small vocabulary knows."""

from __future__ import annotations

import json
import re
from functools import cache

from inference.models import POCKET

# Words of the captions that the bundled model was trained with, beside objects and colours.
COMMON_WORDS = frozenset(["a", "an", "and", "background", "in", "of", "on", "the", "to", "with"])
# A weight as in "(red fox:1.3)" is a number.
_WORD = re.compile(r"[^\W\d_]+")


def unknown_words(model: str, prompt: str) -> tuple[str, ...]:
    """The words of a prompt that the model does not know, each once, in their order.

    None for models that learned their words from the internet's captions: only the bundled model
    has a list of its words.
    """
    if model != "pocket":
        return ()
    found = (word for word in _WORD.findall(prompt) if word.lower() not in _pocket_words())
    return tuple(dict.fromkeys(found))


@cache
def _pocket_words() -> frozenset[str]:
    vocabulary = json.loads((POCKET / "vocabulary.json").read_text(encoding="utf-8"))
    return COMMON_WORDS.union(vocabulary["objects"], vocabulary["colours"])
