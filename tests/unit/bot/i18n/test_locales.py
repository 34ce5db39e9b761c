"""What people read: in every language, complete, and within Discord's limits."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import string
from pathlib import Path

import pytest

import bot
import cogs
from bot.errors import UserError
from bot.i18n.translate import (
    LANGUAGES,
    WaitTime,
    catalogue,
    language_of,
    translate,
    translate_error,
)
from bot.jobs.queue import QueueFull
from cogs.shared.errors import TooManySteps
from inference import ServiceState, find_model

OTHERS = [language for language in LANGUAGES if language != "en"]
ROOT = Path(__file__).parents[4]


def every_error() -> dict[str, type[UserError]]:
    for package in (bot, cogs):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(("__main__", "demo")):
                importlib.import_module(module.name)
    found: dict[str, type[UserError]] = {}
    waiting = [UserError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if "text" in vars(kind) and kind is not UserError:
            found[kind.__name__] = kind
    return found


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_is_missing_and_nothing_left_over(language: str) -> None:
    # The demo speaks to whoever starts it in a terminal, in English.
    english = {key for key in catalogue("en") if not key.startswith("demo.")}
    errors = {f"errors.{name}" for name in every_error()}
    assert set(catalogue(language)) == english | errors


@pytest.mark.parametrize("language", OTHERS)
def test_every_translation_fills_in_what_the_english_does(language: str) -> None:
    english = catalogue("en") | {f"errors.{n}": kind.text for n, kind in every_error().items()}
    for key, template in catalogue(language).items():
        assert fields(template) == fields(english[key]), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_descriptions_and_labels_keep_discords_limits(language: str) -> None:
    for key, text in catalogue(language).items():
        if key.endswith(".command") or ".name." in key:
            # https://discord.com/developers/docs/interactions/application-commands#naming
            assert re.fullmatch(r"[-_'\w]{1,32}", text), key
            assert text == text.lower(), key
        elif ".option." in key or key.endswith(
            (".description", "privacy.delete", "privacy.export")
        ):
            assert 1 <= len(text) <= 100, key
        elif ".button." in key:
            assert 1 <= len(text) <= 80, key
        elif ".form." in key:
            assert 1 <= len(text) <= 45, key
        elif key.endswith(".menu"):
            assert 1 <= len(text) <= 32, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_two_options_never_share_a_name(language: str) -> None:
    names = [text for key, text in catalogue(language).items() if ".name." in key]
    assert len(names) == len(set(names))


def test_every_key_that_the_code_says_exists_and_every_key_is_said() -> None:
    said: set[str] = set()
    for path in [*(ROOT / "bot").rglob("*.py"), *(ROOT / "cogs").rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                said.add(node.value)
    # Buttons and form fields are named by what they do.
    dynamic = {key for key in catalogue("en") if re.match(r"img2img\.(button|form)\.", key)}
    states = {f"queue.state.{state}" for state in ServiceState}
    assert states <= set(catalogue("en"))
    notices = {key for key in catalogue("en") if key.startswith("notice.")}
    assert all(find_model(key.removeprefix("notice.")) for key in notices)
    assert set(catalogue("en")) - said - dynamic - states - notices == set()


@pytest.mark.parametrize(
    ("locale", "language"),
    [("de", "de"), ("es-ES", "es"), ("es-419", "es"), ("en-GB", "en"), ("pt-BR", "en")],
)
def test_locales_find_their_language(locale: str, language: str) -> None:
    assert language_of(locale) == language


def test_sentences_and_errors_come_in_the_persons_language() -> None:
    assert translate("fr", "img2img.button.cancel") == "Annuler"
    assert translate_error("de", TooManySteps(limit=5)) == "Hier sind höchstens 5 Schritte erlaubt."
    assert translate_error("pt-BR", TooManySteps(limit=5)) == "At most 5 steps are allowed here."


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "a few minutes"),
        (0.0, "a minute"),
        (61.0, "2 minutes"),
        (300.0, "5 minutes"),
        (5400.0, "90 minutes"),
        (7201.0, "3 hours"),
    ],
)
def test_waits_are_said_as_one_says_them(seconds: float | None, said: str) -> None:
    assert str(WaitTime(seconds)) == said


def test_a_wait_inside_a_sentence_is_said_in_its_language() -> None:
    said = {
        language: translate_error(language, QueueFull(wait=WaitTime(170.0)))
        for language in LANGUAGES
    }
    assert "in 3 Minuten wieder" in said["de"]
    assert "dans 3 minutes" in said["fr"]
    assert "en 3 minutos" in said["es"]
    assert "3 分 後" in said["ja"]
    assert str(QueueFull(wait=WaitTime(170.0))) == said["en"]
    assert "try again in 3 minutes" in said["en"]
