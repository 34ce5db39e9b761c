"""Words and regular expressions that prompts may not contain, matched after normalisation."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import disarm
import regex

# A prompt has at most 1,000 characters and is matched in microseconds; an expression that needs
# this long backtracks without end.
RULE_SECONDS = 0.1
MAX_PATTERN_CHARACTERS = 200

_FLAGS = regex.IGNORECASE | regex.V1
_SPACED_LETTERS = regex.compile(
    r"(?<![\p{L}\p{N}])[\p{L}\p{N}](?:[^\p{L}\p{N}]+[\p{L}\p{N}](?![\p{L}\p{N}]))+"
)
# Characters that are letters to a reader and that TR39 keeps apart: regional indicators, of which
# flags are made, and the Arabic character that only lengthens a word.
_MORE_LOOK_ALIKES = {0x1F1E6 + index: ord("a") + index for index in range(26)} | {0x0640: None}
_LETTER = regex.compile(r"[\p{L}\p{N}]")
_PUNCTUATION = regex.compile(r"[^\p{L}\p{N}\s]+")


class RuleKind(StrEnum):
    """How a rule is matched."""

    WORD = "word"
    REGEX = "regex"


class InvalidPattern(ValueError):
    """The pattern is no regular expression, or contains nothing to match."""


class RuleTooSlow(Exception):
    """An expression backtracked without end; `args[0]` is its rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule of one server, or of the operator for every server (`guild_id` None)."""

    id: int
    guild_id: int | None
    kind: RuleKind
    pattern: str


def normalized(text: str) -> str:
    """The text as a reader sees it: look-alike characters, invisible characters, accents, case
    and spacing no longer differ. Both sides of a comparison must be normalised.

    Unicode TR39 skeletons (https://www.unicode.org/reports/tr39/) by `disarm`, which also equates
    `0` with `o` and `1` with `l`.
    """
    text = disarm.strip_obfuscation(text.translate(_MORE_LOOK_ALIKES))
    return disarm.skeleton_key(text, digit_policy="tr39")


def variants(text: str) -> tuple[str, ...]:
    """The normal forms of a text in which a word is looked for.

    Look-alikes differ between capitals and small letters (`Η` looks like `H`, `η` like `n`), so
    the text is normalised as it is written, in lower case and, because a sign can look like a
    letter (`|` like `l`), without punctuation (`nu||de`). Of each there is a form without
    punctuation (`nu-de`), and each run of letters that stand alone (`n u d e`, `n.u.d.e`) is
    joined, also without its first and last letter, which may be words (`a n u d e`). A word that is
    split by a space into syllables stays split: joining those would find words across word
    boundaries.
    """
    forms: list[str] = []
    written = (text, text.casefold(), _PUNCTUATION.sub("", text))
    for plain in dict.fromkeys(map(normalized, written)):
        forms += (plain, _PUNCTUATION.sub("", plain))
        for run in _SPACED_LETTERS.findall(plain):
            word = _PUNCTUATION.sub("", run).replace(" ", "")
            forms += (word, word[1:], word[:-1], word[1:-1])
    return tuple(dict.fromkeys(forms))


class RuleSet:
    """Rules that are ready to match."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = [(rule, _compiled(rule.kind, rule.pattern)) for rule in rules]

    def matches(self, texts: Sequence[str]) -> Iterator[Rule]:
        """Every rule that one of the texts breaks. Blocks for milliseconds; the interpreter lock
        is released meanwhile.

        Raises:
            RuleTooSlow: an expression took longer than `RULE_SECONDS`.
        """
        forms = [form for text in texts if text for form in (text, *variants(text))]
        for rule, pattern in self._rules:
            try:
                if any(
                    pattern.search(form, timeout=RULE_SECONDS, concurrent=True) for form in forms
                ):
                    yield rule
            except TimeoutError:
                raise RuleTooSlow(rule) from None


def check_pattern(kind: RuleKind, pattern: str) -> None:
    """Refuse what could never be matched.

    Raises:
        InvalidPattern: not an expression, or one that matches the empty text.
    """
    try:
        compiled = _compiled(kind, pattern)
    except regex.error as error:
        raise InvalidPattern(str(error)) from error
    if compiled.search(""):
        raise InvalidPattern("the pattern matches an empty text")


def _compiled(kind: RuleKind, pattern: str) -> regex.Pattern[str]:
    if kind is RuleKind.REGEX:
        return regex.compile(pattern, _FLAGS)
    forms = dict.fromkeys((normalized(pattern), normalized(pattern.casefold())))
    return regex.compile("|".join(_phrase(form.split()) for form in forms), _FLAGS)


def _phrase(words: list[str]) -> str:
    if not words:
        raise InvalidPattern("the pattern is empty")
    start = r"(?<!\w)" if _has_word_boundaries(words[0][0]) else ""
    end = r"(?!\w)" if _has_word_boundaries(words[-1][-1]) else ""
    pattern = regex.escape(words[0])
    for before, word in pairwise(words):
        # `kill-all` is the phrase "kill all", too. A word of signs could be a part of such a gap:
        # the expression would backtrack.
        has_signs_only = _LETTER.search(before) is None or _LETTER.search(word) is None
        pattern += (r"\s+" if has_signs_only else r"[^\p{L}\p{N}]+") + regex.escape(word)
    return start + pattern + end


def _has_word_boundaries(character: str) -> bool:
    """Whether the character's script separates words with spaces. Scripts with case do, and
    digits are used as in them; in the others (Chinese, Japanese, Thai, ...) a rule is found
    anywhere, also in those that do separate words."""
    return character.lower() != character.upper() or unicodedata.category(character) == "Nd"
