"""What the demo's page can ask for, and what it gets back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import simcord
from simcord.enums import OptionType
from simcord.interactions import parse_option_input

from bot.i18n.translate import translate

File = tuple[str, bytes]


class ActionRefused(Exception):
    """The simulated Discord does not accept the action.

    `key` names a text of the locales; an error of simcord has an English sentence instead.
    """

    def __init__(self, key: str | None, sentence: str = "", **params: object) -> None:
        self.key = key
        self.sentence = sentence
        self.params = params
        super().__init__(self.translated("en"))

    def translated(self, language: str) -> str:
        """One sentence."""
        return translate(language, self.key, **self.params) if self.key else self.sentence


class NoResponse(ActionRefused):
    """The bot did not answer an interaction in time."""

    def __init__(self) -> None:
        super().__init__("demo.refused_response")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an action led to: a form that opens, or choices for an option."""

    modal_id: str | None = None
    modal: dict[str, Any] | None = None
    choices: list[dict[str, Any]] | None = None


def localized_paths(root: dict[str, Any], path: list[str]) -> dict[str, str]:
    """Locale → the command's path as that locale's users see it."""
    nodes, node = [root], root
    for name in path[1:]:
        node = next(option for option in node["options"] if option["name"] == name)
        nodes.append(node)
    locales = {locale for node in nodes for locale in node.get("name_localizations") or {}}
    return {
        locale: " ".join(
            (node.get("name_localizations") or {}).get(locale, node["name"]) for node in nodes
        )
        for locale in locales
    }


def read_options(
    commands: Sequence[dict[str, Any]],
    targets: Mapping[OptionType, Mapping[int, Any]],
    path: str,
    values: Mapping[str, Any],
    files: Mapping[str, File],
) -> dict[str, Any]:
    """The options of a command, as simcord takes them. `targets` holds the channels and users.

    Raises:
        ActionRefused: there is no such command or option, or a value does not fit it.
    """
    command = next((c for c in commands if c["path"] == path), None)
    if command is None:
        raise ActionRefused("demo.refused_command", path=path)
    declared = {option["name"]: option for option in command.get("options", [])}
    options: dict[str, Any] = dict(files)
    for name, value in values.items():
        option = declared.get(name)
        if option is None:
            raise ActionRefused("demo.refused_option", path=path, name=name)
        match option["type"]:
            case OptionType.CHANNEL | OptionType.USER as kind:
                options[name] = targets[OptionType(kind)][int(value)]
            case _:
                try:
                    options[name] = parse_option_input(path, option, value)
                except simcord.OptionError as error:
                    raise ActionRefused(None, f"{error}.") from error
    return options
