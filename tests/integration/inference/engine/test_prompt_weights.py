"""`(word:1.3)` changes how much of a word there is, and nothing else."""

from __future__ import annotations

import pytest
import torch

from inference.engine import prompt_weights
from inference.pipelines import random_tiny

PLAIN = "a red fox in the snow"


@pytest.fixture(scope="module")
def pipe() -> object:
    return random_tiny.build()


@torch.no_grad()
def distance(pipe: object, prompt: str) -> float:
    plain = pipe.encode_prompt(PLAIN, "cpu", 1, False)[0]  # type: ignore[attr-defined]
    return float((prompt_weights.embed(pipe, prompt) - plain).norm())


def test_only_the_customary_notation_counts_as_a_weight() -> None:
    assert prompt_weights.is_weighted("a (red:1.3) fox")
    for prompt in (PLAIN, "a (red) fox", "ratio 16:9", "(see: below)"):
        assert not prompt_weights.is_weighted(prompt)


def test_a_weight_of_one_changes_nothing(pipe: object) -> None:
    assert distance(pipe, "a (red:1.0) fox in the snow") == pytest.approx(0, abs=1e-4)


def test_more_weight_moves_the_prompt_further(pipe: object) -> None:
    near, far = (distance(pipe, f"a (red:{w}) fox in the snow") for w in (1.1, 1.5))
    assert 0.001 < near < far


def test_a_weighted_prompt_has_the_window_of_any_other(pipe: object) -> None:
    made = prompt_weights.embed(pipe, "(word:1.2) " * 100)
    assert made.shape == (1, 77, random_tiny.WIDTH)
    assert torch.isfinite(made).all()
