"""What a person may be told when something does not work, and the one place that tells it.

    PersonError                     carries one plain sentence; never a traceback
    ├── SourceError                 the picture that was to be redrawn: bot.intake.errors, cogs
    ├── RequestError                what was asked for: options, limits, permissions
    └── UnavailableError            not the person's fault: loading, queue full, worker died

Each leaf is a class with an English template `text`; its parameters are keyword arguments. The
class name is the key under which a translation is found.
"""

from __future__ import annotations

from typing import Any, ClassVar


class UserError(Exception):
    """An error with one sentence for a person. `str()` gives it in English."""

    text: ClassVar[str] = "Something went wrong."

    def __init__(self, **params: Any) -> None:
        self.params = params
        super().__init__(self.text.format(**params))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.params))


def _rebuild(cls: type[UserError], params: dict[str, Any]) -> UserError:
    return cls(**params)


class SourceError(UserError):
    """The picture that was to be redrawn cannot be had."""


class RequestError(UserError):
    """What was asked for cannot be done as it was asked."""


class UnavailableError(UserError):
    """The bot cannot do it now; trying later may help."""


class Unexpected(UserError):
    """A bug. The reference is what the operator finds in the log."""

    text = (
        "Something went wrong on my side. If it happens again, tell whoever runs this bot "
        "the reference {reference}."
    )


class StartError(Exception):
    """The bot cannot start, or not go on; the operator is told why and what to do."""
