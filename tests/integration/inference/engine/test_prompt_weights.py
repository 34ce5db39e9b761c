"""Weighted prompts become embeddings: tokens of the window, moved by their weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from inference.families.prompts import ClipPrompts, tokenize
from inference.pipelines import random_tiny

PLAIN = "a red fox in the snow"


@pytest.fixture(scope="module")
def pipe() -> Any:
    return random_tiny.build()


@torch.no_grad()
def embedding(pipe: Any, *prompts: str) -> torch.Tensor:
    encoder = ClipPrompts(pipe)
    tokens = [encoder.tokenize(prompt, negative=False) for prompt in prompts]
    return torch.cat([each[0] for each in encoder.embed(tokens)])


@torch.no_grad()
def library(pipe: Any, prompt: str) -> torch.Tensor:
    made: torch.Tensor = pipe.encode_prompt(prompt, "cpu", 1, False)[0]
    return made


@pytest.mark.parametrize(
    "prompt", ["", PLAIN, "x" * 75, "x " * 200, "Ünïcode ✓ 日本語 🦊", "  two  spaces "]
)
def test_a_prompt_without_weights_is_embedded_as_by_the_library(pipe: Any, prompt: str) -> None:
    assert torch.equal(embedding(pipe, prompt), library(pipe, prompt))


def test_escaped_brackets_are_the_library_s_literal_brackets(pipe: Any) -> None:
    assert torch.equal(embedding(pipe, r"a \(red\) fox"), library(pipe, "a (red) fox"))


def test_a_weight_of_one_changes_nothing(pipe: Any) -> None:
    assert torch.equal(embedding(pipe, "a (red:1.0) fox"), library(pipe, "a red fox"))


def test_a_weight_scales_the_distance_from_the_empty_prompt(pipe: Any) -> None:
    empty, plain = library(pipe, ""), library(pipe, PLAIN)
    weighted = embedding(pipe, "a (red:1.5) fox in the snow")
    # "a" is one token of the random model's vocabulary, "red" the next three.
    expected = plain.clone()
    expected[:, 2:5] = empty[:, 2:5] + 1.5 * (plain - empty)[:, 2:5]
    assert torch.allclose(weighted, expected, atol=1e-6)
    assert not torch.allclose(weighted, plain, atol=1e-3)


def test_nested_weights_multiply(pipe: Any) -> None:
    assert torch.allclose(embedding(pipe, "((red))"), embedding(pipe, "(red:1.21)"), atol=1e-6)


def test_a_weighted_prompt_does_not_change_the_others_of_its_batch(pipe: Any) -> None:
    together = embedding(pipe, PLAIN, "(fox:1.4)")
    assert torch.allclose(together[:1], library(pipe, PLAIN), atol=1e-6)
    assert torch.allclose(together[1:], embedding(pipe, "(fox:1.4)"), atol=1e-6)


@pytest.mark.parametrize(
    "prompt",
    [
        '("cat","dog").and() in (snow:1.2)',
        '("cat","dog").blend(0.5, 0.5)',
        "cat.swap(dog)",
        "((((((((best quality)))))))), (fox:1.2)",
        "(word:1.2) " * 100,
    ],
)
def test_every_prompt_fills_exactly_one_window(pipe: Any, prompt: str) -> None:
    made = embedding(pipe, prompt)
    assert made.shape == (1, 77, random_tiny.WIDTH)
    assert torch.isfinite(made).all()


@pytest.mark.parametrize(
    ("prompt", "ignored"),
    [
        ("fox", ""),
        ("(" + "x" * 75 + ":1.2) the [end]", "the end"),
        ("x" * 74 + "(yz:1.3) tail", "z tail"),
    ],
)
def test_the_ignored_part_of_a_weighted_prompt_is_named(
    pipe: Any, prompt: str, ignored: str
) -> None:
    assert tokenize(pipe.tokenizer, prompt).ignored == ignored
