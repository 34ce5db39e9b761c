"""The parser of prompt weights on any text."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from inference.engine.prompt_weights import BRACKET_FACTOR, MAX_WEIGHT, Fragment, parse

plain = st.text(alphabet="ab c,:.é猫12", min_size=1, max_size=8)
notation = st.text(alphabet="ab ()[]\\:1.9", max_size=40)

Group = tuple[str, "str | list[Group]", float]
"""Kind, text or children, and the weight's suffix."""
groups = st.recursive(
    plain.map(lambda text: ("text", text, 1.0)),
    lambda inner: st.tuples(
        st.sampled_from(["()", "[]", "(:)"]),
        st.lists(inner, min_size=1, max_size=3),
        st.sampled_from([0.5, 1.3, 2.0]),
    ),
    max_leaves=6,
)


def written(group: Group) -> str:
    kind, content, weight = group
    if isinstance(content, str):
        # A number after a colon in front of a bracket would be read as its weight.
        return content.replace(":", "") + "x"
    inside = "".join(written(child) for child in content)
    return f"({inside}:{weight})" if kind == "(:)" else f"{kind[0]}{inside}{kind[1]}"


def expected(group: Group, weight: float) -> Iterator[tuple[str, float]]:
    kind, content, suffix = group
    if isinstance(content, str):
        yield content.replace(":", "") + "x", weight
        return
    factor = {"()": BRACKET_FACTOR, "[]": 1 / BRACKET_FACTOR, "(:)": suffix}[kind]
    for child in content:
        yield from expected(child, min(weight * factor, MAX_WEIGHT))


@given(st.lists(groups, min_size=1, max_size=4))
def test_written_groups_are_read_with_their_weights(tree: list[Group]) -> None:
    got = parse("".join(written(group) for group in tree))
    wanted = [pair for group in tree for pair in expected(group, 1.0)]
    # Character by character: neighbours of one weight are one fragment.
    read = [(letter, one.weight) for one in got for letter in one.text]
    intended = [(letter, weight) for text, weight in wanted for letter in text]
    assert [letter for letter, _ in read] == [letter for letter, _ in intended]
    for (_, weight), (_, right) in zip(read, intended, strict=True):
        assert math.isclose(weight, right, rel_tol=1e-9)


@given(st.text(max_size=60) | notation)
def test_any_text_is_split_into_fragments_of_different_weights(prompt: str) -> None:
    got = parse(prompt)
    assert got
    assert all(0 < one.weight <= MAX_WEIGHT or ":" in prompt for one in got)
    assert all(one.text for one in got) or got == (Fragment("", 1.0),)
    assert all(a.weight != b.weight for a, b in itertools.pairwise(got))
    rest = iter(prompt)
    assert all(letter in rest for one in got for letter in one.text), "nothing is added"


@given(st.text(alphabet=st.characters(exclude_characters="()[]\\"), max_size=60))
def test_text_without_brackets_is_literal(prompt: str) -> None:
    assert parse(prompt) == (Fragment(prompt, 1.0),)


@given(st.text(max_size=30) | notation)
def test_escaped_text_is_literal(text: str) -> None:
    escaped = "".join(f"\\{letter}" if letter in "()[]\\" else letter for letter in text)
    assert parse(escaped) == (Fragment(text, 1.0),)
