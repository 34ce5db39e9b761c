"""User-visible texts are complete in every language and within Discord's limits."""

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
from bot.i18n.error_text import translate_error
from bot.i18n.names import Name
from bot.i18n.plurals import format_text
from bot.i18n.translate import LANGUAGES, catalogue, language_of, translate
from cogs.shared.errors import NoSource, PictureNotVisible, TooManySteps
from inference import MODELS, ModelState, ServiceState, find_model

OTHERS = [language for language in LANGUAGES if language != "en"]
ROOT = Path(__file__).parents[4]


def every_error() -> dict[str, type[UserError]]:
    for package in (bot, cogs):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
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
def test_every_language_has_exactly_the_english_keys(language: str) -> None:
    errors = {f"errors.{name}" for name in every_error()}
    assert set(catalogue(language)) == set(catalogue("en")) | errors


@pytest.mark.parametrize("language", OTHERS)
def test_every_translation_has_the_parameters_of_the_english_text(language: str) -> None:
    english = catalogue("en") | {f"errors.{n}": kind.text for n, kind in every_error().items()}
    for key, template in catalogue(language).items():
        assert fields(template) == fields(english[key]), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_descriptions_and_labels_are_within_discords_limits(language: str) -> None:
    for key, text in catalogue(language).items():
        if key.endswith(".command") or ".name." in key:
            # https://discord.com/developers/docs/interactions/application-commands#naming
            assert re.fullmatch(r"[-_'\w]{1,32}", text), key
            assert text == text.lower(), key
        elif (
            key.startswith("about.")
            or ".option." in key
            or key.endswith((".description", "privacy.delete", "privacy.export"))
        ):
            assert 1 <= len(text) <= 100, key
        elif ".button." in key:
            assert 1 <= len(text) <= 80, key
        elif ".form." in key:
            assert 1 <= len(text) <= 45, key
        elif key.endswith(".menu"):
            assert 1 <= len(text) <= 32, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_options_have_the_same_name(language: str) -> None:
    names = [text for key, text in catalogue(language).items() if ".name." in key]
    assert len(names) == len(set(names))


# Parameters that are numbers of things. A number is either the value of a label ("Files: 2"), or it
# has a unit, or the word after it has plural forms.
COUNTS = (
    *("count", "requests", "pictures", "pending", "days", "steps", "limit"),
    *("rows", "seconds", "megapixels", "tiles", "n"),
)
# Units, and words with one form for one and for several.
UNITS = ("s", "min", "h", "Megapixel", "Megapixeln", "fois")
# The words for one minute and one hour are in other texts, and one link has no number. "More" and
# "of these requests" have one form.
WITHOUT_FORMS = {
    *("wait.minutes", "wait.hours", "img2img.source.first_link"),
    *("moderation.more", "privacy.confirm_pending"),
}
_FORM = r"(?:[^{}|]|\{[^{}]*\})*"
PLURAL = re.compile(rf"\{{\w+:{_FORM}\|{_FORM}\}}")
COUNTED = re.compile(rf"\{{(?:{'|'.join(COUNTS)})(?::\.?\w+)?\}} (\w+)")


def templates(language: str) -> dict[str, str]:
    english = {f"errors.{name}": kind.text for name, kind in every_error().items()}
    return (english if language == "en" else {}) | catalogue(language)


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_a_word_after_a_number_has_plural_forms(language: str) -> None:
    for key, template in templates(language).items():
        if key not in WITHOUT_FORMS:
            words = COUNTED.findall(PLURAL.sub("…", template))
            assert set(words) <= set(UNITS), (key, template)


def test_plural_forms_follow_the_rules_of_the_language() -> None:
    def steps(language: str, number: float) -> str:
        return format_text(language, "{n:g} {n:one|many}", {"n": number})

    assert [steps("en", n) for n in (0, 0.5, 1, 2)] == ["0 many", "0.5 many", "1 one", "2 many"]
    assert [steps("fr", n) for n in (0, 0.5, 1, 2)] == ["0 one", "0.5 one", "1 one", "2 many"]
    assert translate("de", "cancel.done", pictures=1) == "1 Bild abgebrochen."
    assert translate("de", "cancel.done", pictures=2) == "2 Bilder abgebrochen."
    assert translate("es", "admin.statistics.title", days=7) == (
        "**Estadísticas de los últimos 7 días**"
    )
    assert str(TooManySteps(limit=1)) == "At most 1 step is allowed here."
    assert translate_error("fr", TooManySteps(limit=1)) == "Au plus 1 étape est autorisée ici."


def command_paths(language: str) -> set[str]:
    """Each command as users of the language type it, without the slash."""
    texts = catalogue(language)
    paths = set()
    for key in texts:
        section, *middle, last = key.split(".")
        if last == "command":
            nodes = [f"{section}.command"]
            nodes += [f"{section}.{'.'.join(middle[: i + 1])}.command" for i in range(len(middle))]
            paths.add(" ".join(texts[node] for node in nodes))
    return paths


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_name_commands_and_options_as_the_language_does(language: str) -> None:
    paths = command_paths(language)
    options = {text for key, text in catalogue(language).items() if ".name." in key}
    for key, template in templates(language).items():
        for typed in re.findall(r"(?<![\w/:.}])/(\w+(?: \w+)?)", template):
            assert typed in paths or typed.split(" ")[0] in paths, (key, template)
        for quoted in re.findall(r"`(\w+)`", template):
            assert quoted in options, (key, template)


def test_french_addresses_the_user_as_vous() -> None:
    for key, template in templates("fr").items():
        assert not re.search(r"\b(tu|toi|ton|ta|tes|réessaie|essaie)\b|\bt'", template, re.I), key


def keys_of_command(node: ast.AST) -> set[str]:
    """The keys of a decorator `command(section, name, option, ...)`; see `cogs.shared.commands`."""
    match node:
        case ast.Call(func=ast.Name(id="command"), args=arguments):
            section, name, *options = [ast.literal_eval(argument) for argument in arguments]
            described = {f"{section}.option.{option}" for option in options}
            return described | {f"{section}.{name}.{key}" for key in ("command", "description")}
    return set()


def test_every_key_in_the_catalogue_is_used() -> None:
    used: set[str] = set()
    for path in [*(ROOT / "bot").rglob("*.py"), *(ROOT / "cogs").rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                used.add(node.value)
            used |= keys_of_command(node)
    # The scripts of the demo's page name their texts without `demo.page.`.
    for path in (ROOT / "bot/cli/demo/page").iterdir():
        quoted = re.findall(r'"(\w+)"', path.read_text(encoding="utf-8"))
        used |= {f"demo.page.{word}" for word in quoted}
    # The keys of buttons, form fields and parts are built from their names.
    dynamic = {
        key
        for key in catalogue("en")
        if re.match(r"(img2img|privacy|settings)\.(button|form|part|setting)\.", key)
        or re.match(r"defaults\.(model|strength|style|steps|private|notification)", key)
        or re.match(r"moderation\.(button|form|case|log|effect|kind)\.", key)
        or re.fullmatch(r"moderation\.(ban|unban|timeout|allow|disallow)\.done", key)
    }
    states = {f"queue.state.{state}" for state in ServiceState}
    states |= {f"models.state.{state}" for state in ModelState}
    assert states <= set(catalogue("en"))
    abouts = {f"about.{name}" for name in MODELS}
    assert abouts == {key for key in catalogue("en") if key.startswith("about.")}
    notices = {key for key in catalogue("en") if key.startswith("notice.")}
    assert all(find_model(key.removeprefix("notice.")) for key in notices)
    assert set(catalogue("en")) - used - dynamic - states - notices - abouts == set()


def published_commands(language: str) -> set[str]:
    """The commands with the names of their groups; groups are none."""
    texts = catalogue(language)
    found = set()
    for key in texts:
        if key.endswith(".command"):
            parts = key.split(".")[:-1]
            path = [f"{'.'.join(parts[: n + 1])}.command" for n in range(len(parts))]
            found.add(" ".join(texts[each] for each in path))
    return {name for name in found if not any(other.startswith(f"{name} ") for other in found)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_name_commands_and_options_as_they_are_published(language: str) -> None:
    texts = dict(catalogue(language))
    if language == "en":
        texts |= {f"errors.{name}": kind.text for name, kind in every_error().items()}
    options = {texts[key] for key in texts if re.search(r"\.name\.\w+$", key)}
    commands = "|".join(map(re.escape, published_commands(language)))
    for key, text in texts.items():
        for option in re.findall(r"`([^`]+)`", text):
            assert re.match(r"[{/]", option) or option in options, key
        for rest in re.findall(r"(?:^|[\s（：])/(\w.*)", text):
            assert re.match(rf"({commands})(?!\w)", rest), key


@pytest.mark.parametrize(
    ("locale", "language"),
    [("de", "de"), ("es-ES", "es"), ("es-419", "es"), ("en-GB", "en"), ("pt-BR", "en")],
)
def test_a_locale_maps_to_its_language(locale: str, language: str) -> None:
    assert language_of(locale) == language


def test_texts_and_errors_are_in_the_users_language() -> None:
    assert translate("fr", "img2img.button.cancel") == "Annuler"
    assert translate_error("de", TooManySteps(limit=5)) == "Hier sind höchstens 5 Schritte erlaubt."
    assert translate_error("pt-BR", TooManySteps(limit=5)) == "At most 5 steps are allowed here."


def test_sentences_about_a_missing_picture_name_the_options_of_the_language() -> None:
    names = {"image": Name("img2img.name.image"), "link": Name("edit.name.links")}
    assert "Option `bild` an, oder gib mit `links`" in translate_error("de", NoSource(**names))
    menu = PictureNotVisible(menu=Name("edit.menu"))
    assert "Apps, Dies bearbeiten" in translate_error("de", menu)
