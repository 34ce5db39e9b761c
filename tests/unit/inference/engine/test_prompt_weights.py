"""The prompt notation: what is a weight, what is literal text, and the time that parsing takes."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from inference.engine.prompt_weights import MAX_WEIGHT, parse


def pairs(prompt: str) -> list[tuple[str, float]]:
    return [(fragment.text, round(fragment.weight, 4)) for fragment in parse(prompt)]


@pytest.mark.parametrize(
    ("prompt", "fragments"),
    [
        ("a red fox", [("a red fox", 1.0)]),
        ("a (red) fox", [("a ", 1.0), ("red", 1.1), (" fox", 1.0)]),
        ("((red))", [("red", 1.21)]),
        ("[red]", [("red", 0.9091)]),
        ("[[red]]", [("red", 0.8264)]),
        ("(red:1.3)", [("red", 1.3)]),
        ("(red: 1.3 )", [("red", 1.3)]),
        ("(red:.5)", [("red", 0.5)]),
        ("(red:0)", [("red", 0.0)]),
        ("((red:1.3))", [("red", 1.43)]),
        ("(a (b) c:1.5)", [("a ", 1.5), ("b", 1.65), (" c", 1.5)]),
        ("(a, [b]:2)", [("a, ", 2.0), ("b", 1.8182)]),
        ("(red:100)", [("red", MAX_WEIGHT)]),
        ("()", [("", 1.0)]),
        ("", [("", 1.0)]),
    ],
)
def test_the_customary_notation_gives_weights(
    prompt: str, fragments: list[tuple[str, float]]
) -> None:
    assert pairs(prompt) == fragments


@pytest.mark.parametrize(
    "prompt",
    [
        r"\(red\)",
        r"\[red\]",
        "a smile :)",
        "(a",
        "a)",
        "a]",
        "[a",
        "16:9",
        "red:1.3",
        "red:1.3)",
        '"cat", "dog"',
        "a\\",
        "a\\b",
        "red++ blue--",
        "{red|blue}",
        "<lora:x:1>",
    ],
)
def test_everything_else_is_literal_text(prompt: str) -> None:
    literal = prompt.replace("\\(", "(").replace("\\)", ")").replace("\\[", "[")
    assert pairs(prompt) == [(literal.replace("\\]", "]"), 1.0)]


@pytest.mark.parametrize(
    ("prompt", "fragments"),
    [
        ("(see: below)", [("see: below", 1.1)]),
        ("(a:1.2:1.3)", [("a:1.2", 1.3)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a:-1)", [("a:-1", 1.1)]),
        (r"(a\):1.3)", [("a)", 1.3)]),
        ("(a [b) c]", [("a [b", 1.1), (" c]", 1.0)]),
        ("(a]:2)", [("a]", 2.0)]),
        (
            '("cat","dog").and() in (snow:1.2)',
            [('"cat","dog"', 1.1), (".and in ", 1.0), ("snow", 1.2)],
        ),
    ],
)
def test_other_notations_inside_brackets_stay_text(
    prompt: str, fragments: list[tuple[str, float]]
) -> None:
    assert pairs(prompt) == fragments


def test_weights_of_any_nesting_are_finite_and_bounded() -> None:
    for prompt in ("(" * 5000 + "a" + ")" * 5000, "[" * 5000 + "a" + "]" * 5000):
        ((text, weight),) = pairs(prompt)
        assert text == "a"
        assert 0 <= weight <= MAX_WEIGHT


class CountingText(str):
    """A string that counts how often its characters are read."""

    reads = 0

    def __getitem__(self, key: object) -> str:
        part = str(self)[key]  # type: ignore[index]
        CountingText.reads += len(part)
        return part


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "([",
        "(a:1.2)",
        "((((best quality)))), (fox:1.2) ",
        "\\(",
        ":1.2)",
        "(a [b) c]",
    ],
)
def test_the_work_is_linear_in_the_length(pattern: str) -> None:
    reads = []
    for repeats in (100, 200, 400):
        CountingText.reads = 0
        parse(CountingText(pattern * repeats))
        reads.append(CountingText.reads)
    for small, large in pairwise(reads):
        assert large <= 2.1 * small


@pytest.mark.parametrize("depth", [200, 400])
def test_the_work_is_linear_in_the_depth_of_nesting(depth: int) -> None:
    prompt = "(" * depth + "fox" + ":1.1)" * depth
    CountingText.reads = 0
    parse(CountingText(prompt))
    assert CountingText.reads <= 30 * len(prompt)


def test_no_text_is_lost_or_invented() -> None:
    """Random prompts: the fragments' text is the prompt without brackets, weights and escapes."""
    rng = random.Random(0)
    alphabet = ["a", "fox ", "🦊", "日本", ":", "1.3", ".", '"', ",", "\\"]
    for _ in range(2000):
        words = [rng.choice(alphabet) for _ in range(rng.randrange(12))]
        assert "".join(text for text, _ in pairs("".join(words))) == "".join(words).replace(
            "\\\\", "\\"
        )
