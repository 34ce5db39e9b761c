"""A pytest plugin for runs of mutmut: context menu commands whose callbacks mutmut has wrapped.

discord.py resolves the annotations of a callback with the names of the callback's module. For a
function that mutmut has wrapped these are the names of mutmut's own module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from discord.app_commands import commands

_parameter = commands._get_context_menu_parameter


def _parameter_of_wrapped(callback: Callable[..., Any]) -> tuple[str, Any, Any]:
    """The parameter of the function in the wrapper, bound to the same cog."""
    function = inspect.unwrap(getattr(callback, "__func__", callback))
    cog = getattr(callback, "__self__", None)
    return _parameter(function if cog is None else function.__get__(cog))


vars(commands)["_get_context_menu_parameter"] = _parameter_of_wrapped
