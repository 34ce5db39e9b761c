"""Reads the settings and explains what is wrong with them in plain sentences."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic_settings import SettingsError

from bot.config import Settings
from bot.errors import StartError

# Values of these must not be printed.
SECRETS = {"discord_token", "hf_token"}
# What a value must be instead of its pattern.
PATTERNS = {"background": "a colour such as #ffffff", "device": "auto, cuda, cuda:N, mps or cpu"}
# How similar a name must be to a setting's name to be taken for a typing error.
SIMILARITY = 0.7


def load_settings() -> Settings:
    """The settings from the environment and `.env`.

    Raises:
        StartError: a value is not valid; one sentence for each.
    """
    try:
        return Settings()
    except ValidationError as error:
        sentences = [_sentence(problem) for problem in error.errors()]
        raise StartError("\n".join(dict.fromkeys(sentences))) from error
    except SettingsError as error:
        # Raised while a value is parsed as JSON; the name is in the message only.
        quoted = re.search(r'field "(\w+)"', str(error))
        name = quoted[1].upper() if quoted else "A setting"
        raise StartError(f'{name} must be JSON, such as {{"123": 2}}.') from error


def unknown_names(file: Path = Path(".env")) -> Iterator[str]:
    """One sentence for each name in `.env` that is not a setting."""
    known = [name.upper() for name in Settings.model_fields]
    for name in dotenv_values(file):
        if name.upper() in known:
            continue
        similar = difflib.get_close_matches(name.upper(), known, n=1, cutoff=SIMILARITY)
        hint = f" Did you mean {similar[0]}?" if similar else ""
        yield f"{name} in {file} is not a setting and is ignored.{hint}"


def _sentence(problem: Any) -> str:
    """One of pydantic's errors, in other words.

    The types: https://docs.pydantic.dev/latest/errors/validation_errors/
    """
    if not problem["loc"]:
        # About several settings; the sentence is in bot.config.
        return f"{problem['ctx']['error']}."
    field = str(problem["loc"][0])
    limits = problem.get("ctx", {})
    rules = {
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "float_parsing": "a number",
        "bool_parsing": "true or false",
        "dict_type": 'JSON of the form {"123": 2}',
        "greater_than": f"more than {limits.get('gt', 0):g}",
        "greater_than_equal": f"at least {limits.get('ge', 0)}",
        "less_than_equal": f"at most {limits.get('le', 0)}",
        "literal_error": f"one of {limits.get('expected', '')}",
        "string_pattern_mismatch": PATTERNS.get(field, ""),
    }
    rule = rules.get(problem["type"])
    if rule is None:
        return f"{field.upper()} is not valid: {problem['msg']}."
    given = "" if field in SECRETS else f", not {problem['input']!r}"
    return f"{field.upper()} must be {rule}{given}."
