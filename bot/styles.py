"""Styles: prompt templates with a negative prompt and a suggested strength, from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bot.errors import RequestError, StartError

SHIPPED = Path(__file__).parent / "styles.toml"
# Models that do not know the words of the shipped styles have a file of their own.
SHIPPED_FOR_MODEL = {"pocket": Path(__file__).parent / "styles_pocket.toml"}
# Stands for the user's prompt in a template.
PLACEHOLDER = "{prompt}"


class NoSuchStyle(RequestError):
    """The name of the style is not in the list."""

    text = 'There is no style "{name}". Choose one from the list.'


@dataclass(frozen=True, slots=True)
class Styled:
    """A prompt with its style applied; `strength` is the style's suggestion, if it has one."""

    prompt: str
    negative_prompt: str
    strength: float | None = None


class Styles:
    """The styles of one file, by name.

    Raises:
        StartError: the file cannot be read, or a style in it is not valid.
    """

    def __init__(self, path: Path = SHIPPED) -> None:
        self._path = path
        self._styles = _read(path)

    def reload(self) -> int:
        """Read the file again; returns the number of styles.

        Raises:
            StartError: it is not valid; the styles are not changed.
        """
        self._styles = _read(self._path)
        return len(self._styles)

    @classmethod
    def shipped_for(cls, model: str) -> Self:
        """The shipped styles that suit a model."""
        return cls(SHIPPED_FOR_MODEL.get(model, SHIPPED))

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of the file."""
        return tuple(self._styles)

    def matching(self, typed: str) -> Iterator[str]:
        """The names that contain the text."""
        return (name for name in self._styles if typed.lower() in name.lower())

    def apply(self, name: str | None, prompt: str, negative_prompt: str) -> Styled:
        """Apply a style to a prompt; without a style the prompt is unchanged.

        Raises:
            NoSuchStyle: no style has this name.
        """
        if name is None:
            return Styled(prompt, negative_prompt)
        style = self._styles.get(name)
        if style is None:
            raise NoSuchStyle(name=name[:80])
        negatives = [text for text in (negative_prompt, style.negative_prompt) if text]
        return Styled(
            style.prompt.replace(PLACEHOLDER, prompt), ", ".join(negatives), style.strength
        )


def _read(path: Path) -> dict[str, Styled]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartError(f"STYLES_FILE {path} cannot be read: {error}.") from error
    styles = {}
    for name, entry in table.items():
        if not isinstance(entry, dict) or PLACEHOLDER not in entry.get("prompt", ""):
            raise StartError(
                f"STYLES_FILE {path}: style {name!r} needs a prompt with {PLACEHOLDER} in it."
            )
        styles[name] = Styled(
            entry["prompt"], entry.get("negative_prompt", ""), entry.get("strength")
        )
    return styles
