"""Styles: prompt templates with a negative prompt and a suggested strength, from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.errors import RequestError, StartError

SHIPPED = Path(__file__).parent / "styles.toml"
# Where the person's own words go in a template.
PLACE = "{prompt}"


class NoSuchStyle(RequestError):
    """Typed instead of chosen."""

    text = "There is no style {name}: choose one from the list."


@dataclass(frozen=True, slots=True)
class Styled:
    """A prompt after its style; `strength` is what the style suggests, if anything."""

    prompt: str
    negative_prompt: str
    strength: float | None = None


class Styles:
    """The styles of one file, by name.

    Raises:
        StartError: the file cannot be read, or a style in it is not one.
    """

    def __init__(self, path: Path = SHIPPED) -> None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise StartError(f"STYLES_FILE {path} cannot be read: {error}.") from error
        self._styles: dict[str, Styled] = {}
        for name, entry in table.items():
            if not isinstance(entry, dict) or PLACE not in entry.get("prompt", ""):
                raise StartError(
                    f"STYLES_FILE {path}: style {name!r} needs a prompt with {PLACE} in it."
                )
            self._styles[name] = Styled(
                entry["prompt"], entry.get("negative_prompt", ""), entry.get("strength")
            )

    def matching(self, typed: str) -> Iterator[str]:
        """Names that contain what was typed so far."""
        return (name for name in self._styles if typed.lower() in name.lower())

    def apply(self, name: str | None, prompt: str, negative_prompt: str) -> Styled:
        """The prompt in its style; unchanged without one.

        Raises:
            NoSuchStyle: the name is none of the file's.
        """
        if name is None:
            return Styled(prompt, negative_prompt)
        style = self._styles.get(name)
        if style is None:
            raise NoSuchStyle(name=name[:80])
        negatives = [text for text in (negative_prompt, style.negative_prompt) if text]
        return Styled(style.prompt.replace(PLACE, prompt), ", ".join(negatives), style.strength)
