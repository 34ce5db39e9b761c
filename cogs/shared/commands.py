"""Commands whose names, descriptions and options come from the locales."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from discord import app_commands

from bot.i18n.translate import localized_name


def command(
    section: str, name: str, *options: str
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], app_commands.Command[Any, ..., None]]:
    """A subcommand of the group `section`, with these options.

    The keys are `<section>.<name>.command`, `<section>.<name>.description` and
    `<section>.option.<option>`.
    """

    def decorate(
        callback: Callable[..., Coroutine[Any, Any, None]],
    ) -> app_commands.Command[Any, ..., None]:
        if options:
            described = {each: localized_name(f"{section}.option.{each}") for each in options}
            callback = app_commands.describe(**described)(callback)
        made: app_commands.Command[Any, ..., None] = app_commands.command(
            name=localized_name(f"{section}.{name}.command"),
            description=localized_name(f"{section}.{name}.description"),
        )(callback)
        return made

    return decorate
