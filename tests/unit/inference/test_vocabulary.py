"""The words that the bundled model does not know are named."""

from __future__ import annotations

import json

import pytest

from inference import POCKET, unknown_words


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a panda on a pink background", ()),
        ("A PANDA, (red fox:1.3)", ()),
        ("a dragon in the snow, a dragon", ("dragon", "snow")),
        ("ein Fuchs im Schnee", ("ein", "Fuchs", "im", "Schnee")),
        ("パンダ", ("パンダ",)),
        ("", ()),
    ],
)
def test_each_unknown_word_is_named_once(prompt: str, expected: tuple[str, ...]) -> None:
    assert unknown_words("pocket", prompt) == expected


def test_every_prompt_that_the_demo_offers_is_known() -> None:
    offered = json.loads((POCKET / "vocabulary.json").read_text(encoding="utf-8"))["prompts"]
    assert [words for prompt in offered if (words := unknown_words("pocket", prompt))] == []


def test_other_models_have_no_list_of_words() -> None:
    assert unknown_words("sd2-depth", "a dragon") == ()
