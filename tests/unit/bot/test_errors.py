"""The error tree in the docstring of `bot.errors` is the one in the code."""

from __future__ import annotations

import importlib
import pkgutil
import re

import bot
from bot import errors

# Each of these packages draws its own branch in its `errors.py`.
OWN_TREE = ("bot.intake", "bot.moderation")


def error_classes() -> dict[str, type[Exception]]:
    """Every error class that the package `bot` defines, by name."""
    return {
        name: value
        for info in pkgutil.walk_packages(bot.__path__, "bot.")
        if not info.name.endswith("__main__")
        for name, value in vars(importlib.import_module(info.name)).items()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and value.__module__.startswith("bot.")
    }


def drawn_bases() -> dict[str, str | None]:
    """Every class in the drawing → its parent in the drawing."""
    drawn: dict[str, str | None] = {}
    open_branches: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        prefix = re.match(r"    [ │├└─]*", line)
        if prefix is None:
            continue
        column = len(prefix.group())
        # The names stand before the remark, which three spaces separate.
        names = re.findall(r"[A-Z]\w+", re.split(r"\s{3,}", line[column:])[0])
        open_branches = [branch for branch in open_branches if branch[0] < column]
        for name in names:
            drawn[name] = open_branches[-1][1] if open_branches else None
        if len(names) == 1 and (column == 4 or "─" in prefix.group()):
            open_branches.append((column, names[0]))
    return drawn


def test_every_error_is_drawn_below_its_base() -> None:
    classes, drawn = error_classes(), drawn_bases()
    bases = {name: kind.__mro__[1] for name, kind in classes.items()}
    expected = {
        name: None if base is Exception else base.__name__
        for name, base in bases.items()
        # The first class of such a branch may be drawn here, too.
        if name in drawn or not classes[name].__module__.startswith(OWN_TREE)
    }
    assert drawn == expected
