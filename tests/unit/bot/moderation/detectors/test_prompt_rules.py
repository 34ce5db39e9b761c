"""Prompt rules: found however a word is written, and only where it is one."""

from __future__ import annotations

import pytest

from bot.moderation.detectors.prompt_rules import (
    InvalidPattern,
    Rule,
    RuleKind,
    RuleSet,
    RuleTooSlow,
    check_pattern,
)


def rule(pattern: str, kind: RuleKind = RuleKind.WORD, number: int = 1) -> Rule:
    return Rule(id=number, guild_id=None, kind=kind, pattern=pattern)


def found(pattern: str, text: str, kind: RuleKind = RuleKind.WORD) -> bool:
    return bool(list(RuleSet([rule(pattern, kind)]).matches([text])))


DISGUISED = {
    "as it is": "a naked man",
    "upper case": "a NAKED man",
    "Cyrillic letters": "a nаkеd man",
    "Greek letters": "a nακεd man",
    "Greek capitals": "a ΝΑΚΕD man",
    "full-width letters": "a ｎａｋｅｄ man",
    "mathematical letters": "a 𝓷𝓪𝓴𝓮𝓭 man",
    "letters in circles": "a ⓝⓐⓚⓔⓓ man",
    "letters in squares": "a 🅽🅰🅺🅴🅳 man",
    "small capitals": "a ɴᴀᴋᴇᴅ man",
    "zero-width spaces": "a n\u200ba\u200bk\u200be\u200bd man",
    "word joiners": "a na\u2060ked man",
    "soft hyphens": "a na\u00adked man",
    "right-to-left marks": "a na\u200fked man",
    "accents": "a nàkéd man",
    "combining strokes": "a n\u0336a\u0336k\u0336e\u0336d\u0336 man",
    "spaces": "a photo of n a k e d men",
    "spaces after a word of one letter": "a n a k e d man",
    "dots": "a photo of n.a.k.e.d men",
    "mixed separators": "a photo of n_a - k.e * d men",
    "a hyphen": "a na-ked man",
    "quotation marks": 'a "naked" man',
    "spoiler bars": "a na||ked|| man",
    "letters of flags": "a 🇳🇦🇰🇪🇩 man",
    "letters of flags apart": "a 🇳 🇦 🇰 🇪 🇩 man",
}


@pytest.mark.parametrize("text", DISGUISED.values(), ids=DISGUISED.keys())
def test_a_word_is_found_however_it_is_written(text: str) -> None:
    assert found("naked", text)
    assert found("NÀKED", text)


@pytest.mark.parametrize(
    "text",
    [
        "nakedness",
        "a snaked river",
        "",
        "nak ed",
        "a man's ex and her car",
        "a cat in a hat",
        "b a k e d bread",
        "🇸🇪 and 🇽🇰",
    ],
)
def test_a_word_is_not_found_inside_another_or_across_words(text: str) -> None:
    assert not found("naked", text)
    assert not found("sex", text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("裸", "裸の女"),
        ("ヌード", "ヌードの写真"),
        ("ヌード", "ﾇｰﾄﾞの写真"),
        ("Straße", "eine STRASSE"),
        ("голая", "ГОЛАЯ женщина"),
        ("red fox", "a red   fox"),
        ("red fox", "a red\u00a0fox"),
        ("red fox", "a red-fox"),
        ("red fox", "red... fox"),
        ("red fox", "a red_fox,"),
        ("عارية", "امرأة عــارية"),
        ("c++", "learn c++ now"),
        ("h3ll0", "HELLO".replace("E", "3")),
    ],
)
def test_words_of_other_scripts_and_phrases_are_found(pattern: str, text: str) -> None:
    assert found(pattern, text)


def test_a_rule_in_a_script_without_spaces_is_found_inside_a_text() -> None:
    # Letters before it, after it, and on both sides.
    for text in ("黒い裸", "裸の人", "黒い裸の人"):
        assert found("裸", text)
    # In scripts with spaces it is a whole word.
    for text in ("unwolf", "wolfish", "unwolfish"):
        assert not found("wolf", text)


def test_an_expression_is_matched_to_the_text_and_to_its_normal_form() -> None:
    assert found(r"\bn(aked|ude)\b", "a nudе person", RuleKind.REGEX)
    assert found(r"\d{3}", "agent 007", RuleKind.REGEX)
    assert not found(r"\bn(aked|ude)\b", "a noodle", RuleKind.REGEX)


def test_every_rule_that_matches_any_of_the_texts_is_given() -> None:
    rules = [rule("fox", number=1), rule("cat", number=2), rule("dog", number=3)]
    matches = RuleSet(rules).matches(["a dog", "", "a fox"])
    assert [each.id for each in matches] == [1, 3]


def test_an_expression_that_backtracks_without_end_is_stopped() -> None:
    rules = RuleSet([rule(r"(?:(?:a|a)+)+$", RuleKind.REGEX)])
    # Without a limit the match would not end.
    with pytest.raises(RuleTooSlow):
        list(rules.matches(["a" * 200 + "!"]))


@pytest.mark.parametrize("text", ["🔫" * 1000, "🔫 " * 500, "-" * 1000])
def test_a_phrase_of_signs_is_searched_quickly(text: str) -> None:
    assert not found("🔫 🔫 🔫 🔫 🔫 🔫 x - - - - - -", text)
    assert found("🔫 🔫 x", "a 🔫  🔫 x")


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        (RuleKind.REGEX, "(unclosed"),
        (RuleKind.REGEX, "a*"),
        (RuleKind.WORD, "\u200b"),
        (RuleKind.WORD, "   "),
    ],
)
def test_a_pattern_that_can_match_nothing_or_everything_is_refused(
    kind: RuleKind, pattern: str
) -> None:
    with pytest.raises(InvalidPattern):
        check_pattern(kind, pattern)
    check_pattern(kind, "fox")
