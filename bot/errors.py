"""What a person may be told when something does not work.

    PersonError                     carries one plain sentence; never a traceback
    ├── SourceError                 the picture that was to be redrawn
    │   ├── fetching a link         bot.intake.fetch
    │   └── decoding the bytes      bot.intake.decode
    ├── RequestError                what was asked for: options, limits, permissions
    └── UnavailableError            not the person's fault: loading, queue full, worker died

Each leaf is a class with an English template `text`; its parameters are keyword arguments. The
class name is the key under which a translation is found.
"""

from __future__ import annotations

from typing import Any, ClassVar


class PersonError(Exception):
    """An error with one sentence for a person. `str()` gives it in English."""

    text: ClassVar[str] = "Something went wrong."

    def __init__(self, **params: Any) -> None:
        self.params = params
        super().__init__(self.text.format(**params))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.params))


def _rebuild(cls: type[PersonError], params: dict[str, Any]) -> PersonError:
    return cls(**params)


class SourceError(PersonError):
    """The picture that was to be redrawn cannot be had."""


class RequestError(PersonError):
    """What was asked for cannot be done as it was asked."""


class UnavailableError(PersonError):
    """The bot cannot do it now; trying later may help."""
