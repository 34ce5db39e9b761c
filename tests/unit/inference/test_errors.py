"""The error tree of `inference`: complete, documented, and free of the bot's words."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import inference
from bot.cli.model_errors import REMEDIES, explain
from bot.config import Settings
from inference import InferenceError, ModelUnavailable, OutOfMemory, UnknownModel, errors

FOLDER = Path(inference.__file__).parent


def subclasses(base: type[InferenceError]) -> Iterator[type[InferenceError]]:
    for each in base.__subclasses__():
        yield each
        yield from subclasses(each)


ALL: list[type[InferenceError]] = [InferenceError, *subclasses(InferenceError)]


def test_every_error_is_in_the_drawn_tree_and_public() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or "")) | {"InferenceError"}
    assert {each.__name__ for each in ALL} == drawn
    assert drawn <= set(inference.__all__)


@pytest.mark.parametrize("error_type", ALL)
def test_errors_can_be_pickled(error_type: type[InferenceError]) -> None:
    copy = pickle.loads(pickle.dumps(error_type("a sentence.")))
    assert type(copy) is error_type
    assert str(copy) == "a sentence."


def strings(path: Path) -> Iterator[str]:
    """The string constants of a file, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            yield str(node.value)


def test_texts_of_inference_name_neither_a_setting_nor_the_bot() -> None:
    settings = "|".join(name.upper() for name in Settings.model_fields)
    forbidden = re.compile(rf"\b({settings})\b|\b[Bb]ot\b|Discord")
    paths = [path for path in FOLDER.rglob("*.py") if "recipe" not in path.parts]
    found = [
        (path.name, text)
        for path in paths
        for text in strings(path)
        # The name of the catalogue is also that of a setting; the bot passes the hub's variable on.
        if forbidden.search(text) and text not in {*inference.__all__, "HF_HOME"}
    ]
    assert found == []


@pytest.mark.parametrize("error_type", [*subclasses(ModelUnavailable)])
def test_the_bot_names_the_setting_for_each_error_of_the_model(
    error_type: type[ModelUnavailable],
) -> None:
    assert explain(error_type("It is wrong.")) == f"It is wrong. {REMEDIES[error_type]}"


def test_other_errors_are_explained_by_their_own_sentence() -> None:
    assert "MODEL" in explain(UnknownModel("There is no such model."))
    assert explain(OutOfMemory("It does not fit.")) == "It does not fit."
