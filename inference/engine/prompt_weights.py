"""The prompt notation of AUTOMATIC1111's web UI and of ComfyUI, parsed in linear time.

| notation      | effect on `text`                                  |
|---------------|---------------------------------------------------|
| `(text)`      | weight × 1.1; nested: `((text))` is × 1.21        |
| `[text]`      | weight ÷ 1.1                                      |
| `(text:1.3)`  | weight × 1.3                                      |
| `\\(` `\\)` `\\[` `\\]` | a literal bracket                         |

Everything else is literal text, including brackets without a partner and every other notation
that prompt libraries know. Source: the page "Features", section "Attention/emphasis", of the wiki
of AUTOMATIC1111/stable-diffusion-webui.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BRACKET_FACTOR = 1.1
MAX_WEIGHT = 10.0
"""Larger weights, e.g. of many nested brackets, are reduced to this one."""

_PARTNER = {")": "(", "]": "["}
_ESCAPABLE = frozenset("()[]\\")
# The longest suffix that is read as a weight; it bounds the work at each closing bracket.
_SUFFIX_LENGTH = 12
_WEIGHT_SUFFIX = re.compile(r":\s*(\d{1,3}(?:\.\d{0,4})?|\.\d{1,4})\s*\Z")


@dataclass(frozen=True, slots=True)
class Fragment:
    """Literal text and its weight; 1 is neutral."""

    text: str
    weight: float


def parse(prompt: str) -> tuple[Fragment, ...]:
    """Split a prompt into fragments of one weight each, in order; at least one.

    The time is linear in the length of the prompt, whatever it contains.
    """
    opening, closing = _match_brackets(prompt)
    weights = [1.0]
    runs: list[tuple[float, list[str]]] = []
    position = 0
    while position < len(prompt):
        if position in opening:
            weights.append(min(weights[-1] * opening[position], MAX_WEIGHT))
            position += 1
        elif position in closing:
            weights.pop()
            position = closing[position]
        else:
            if _is_escape(prompt, position):
                position += 1
            if not runs or runs[-1][0] != weights[-1]:
                runs.append((weights[-1], []))
            runs[-1][1].append(prompt[position])
            position += 1
    fragments = tuple(Fragment("".join(text), weight) for weight, text in runs)
    return fragments or (Fragment("", 1.0),)


def _is_escape(prompt: str, position: int) -> bool:
    return prompt[position] == "\\" and prompt[position + 1 : position + 2] in _ESCAPABLE


def _match_brackets(prompt: str) -> tuple[dict[int, float], dict[int, int]]:
    """The pairs of brackets: the factor at each opening position, and for each position where a
    group's text ends (its weight suffix or its closing bracket) the position after the group."""
    opening: dict[int, float] = {}
    closing: dict[int, int] = {}
    stack: list[int] = []
    unclosed = {"(": 0, "[": 0}
    position = 0
    while position < len(prompt):
        character = prompt[position]
        if _is_escape(prompt, position):
            position += 2
            continue
        if character in unclosed:
            stack.append(position)
            unclosed[character] += 1
        elif character in _PARTNER and unclosed[_PARTNER[character]]:
            # Brackets of the other kind that were opened inside this group stay literal.
            while prompt[start := stack.pop()] != _PARTNER[character]:
                unclosed[prompt[start]] -= 1
            unclosed[_PARTNER[character]] -= 1
            end, factor = position, 1 / BRACKET_FACTOR
            if character == ")":
                factor = BRACKET_FACTOR
                lookback = max(start + 1, position - _SUFFIX_LENGTH)
                if suffix := _WEIGHT_SUFFIX.search(prompt[lookback:position]):
                    end, factor = lookback + suffix.start(), float(suffix[1])
            opening[start] = factor
            closing[end] = position + 1
        position += 1
    return opening, closing
