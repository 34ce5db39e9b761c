"""The errors of the `bot` package.

    UserError                        one plain sentence for the user; never a traceback
    ├── SourceError                  the source picture: see `bot.intake.errors`
    ├── RequestError                 the request itself: options, limits, permissions
    │   ├── MissingPermissions       bot.permissions
    │   ├── NoSuchStyle              bot.styles
    │   ├── ModelNotOffered, ModelLacksTask, TaskNotOffered    bot.models
    │   ├── CommandNotOffered        bot.commands.command_tree
    │   ├── ServerNotAllowed, DirectMessagesOff    bot.commands.allowed_places
    │   ├── UserQueueLimitReached, TooManyPictures, ErasedMeanwhile    bot.jobs.admission
    │   ├── ModerationRefusal        `bot.moderation.errors` draws this branch
    │   ├── LimitExceeded            bot.jobs.budgets: the user's roles do not allow the request
    │   │   ├── TooManyStepsForRole, TooManyPicturesForRole, PictureTooLargeForRole
    │   │   └── ModelNotForRole, PrivateNotForRole
    │   ├── BudgetExceeded           bot.jobs.budgets: the day's budget does not allow the request
    │   │   └── BudgetSpent, BudgetTooSmall, ServerBudgetSpent, ServerBudgetTooSmall
    │   ├── StillPreparing           bot.images.slow_work
    │   └── DoesNotFit               bot.images.encode
    ├── UnavailableError             not the user's fault; trying again later may help
    │   ├── ModelFailed
    │   ├── Stopping
    │   ├── StorageFull
    │   ├── SettingsUnreadable       bot.store.guild_settings
    │   ├── Paused                   bot.runner.acceptance
    │   ├── ChecksUnavailable        bot.moderation.errors
    │   ├── QueueFull                bot.jobs.admission
    │   ├── TooSlowForPrivate        bot.jobs.admission
    │   ├── TooManyPreparing         bot.images.slow_work
    │   └── JobFailure               bot.jobs.failures: why an accepted job has no picture
    │       ├── ModelRemoved, ModelNotLoadable, ModelCannotDoThat           model
    │       ├── WorkerDiedTwice, BotDiedRepeatedly, TooLargeForModel, NoValidPicture, NoPartFound,
    │       │   WaitedTooLong, GenerationFailed                             generation
    │       ├── SourceLost, ResultLost                                      storage
    │       ├── ResultRefused, ResultNotChecked                             moderation
    │       └── BlockedByDiscord, TooLargeForDiscord, MessageRefused,
    │           Undeliverable                                               delivery
    └── Unexpected                   a bug; the sentence holds a reference to the log
    StartError                       one sentence for the operator: the bot cannot start or go on
    ├── StoreLocked, StoreDamaged    bot.store.opening
    └── StoreTooNew                  bot.store.schema
    InternalError                    handled inside the bot, never shown
    ├── JobNotActive                 the job's state does not allow the change
    ├── StoredPictureMissing         a stored picture was deleted, or its file is damaged
    ├── UnreadableRow                bot.store.rows: a stored job cannot be read
    └── RenderFailed                 a message could not be built
    ActionRefused                    bot.cli.demo.actions: the simulated Discord refuses it
    └── NoResponse                   the bot did not answer an interaction in time

`bot.intake` and `bot.moderation` draw their branches in an `errors.py` of their own.

Every leaf of `UserError` is a class with an English template `text` (see `bot.i18n.plurals`); its
parameters are keyword arguments. The translation is found under `errors.<class name>`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from bot.i18n.plurals import format_text


class UserError(Exception):
    """An error with one sentence for a user. `str()` gives it in English."""

    text: ClassVar[str] = "Something went wrong."

    def __init__(self, **params: Any) -> None:
        self.params = params
        super().__init__(format_text("en", self.text, params))

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.params))


def _rebuild(cls: type[UserError], params: dict[str, Any]) -> UserError:
    return cls(**params)


class SourceError(UserError):
    """The source picture cannot be found, fetched or decoded."""


class RequestError(UserError):
    """The request cannot be carried out as it was made."""


class UnavailableError(UserError):
    """The bot cannot do it now; trying again later may help."""


class ModelFailed(UnavailableError):
    """The inference service gave up; the operator's log says why."""

    text = "The model failed to start. Please tell the bot's operator."


class Stopping(UnavailableError):
    """The bot is shutting down."""

    text = "The bot is about to restart. Please try again in a minute."


class StorageFull(UnavailableError):
    """There is no space on the disk with the jobs and pictures."""

    text = "The bot's disk is full. Please tell the bot's operator."


class Unexpected(UserError):
    """A bug. The operator finds the reference in the log."""

    text = (
        "Something went wrong. If it happens again, tell the bot's operator "
        "the reference {reference}."
    )


class StartError(Exception):
    """The bot cannot start or cannot continue; the message says why and what to do."""


class InternalError(Exception):
    """An error that the bot handles itself; no user sees it."""


class JobNotActive(InternalError):
    """The job's state does not allow the change: cancelled, erased, or it never existed."""


class StoredPictureMissing(InternalError):
    """A stored picture was deleted, or its file is damaged."""


class RenderFailed(InternalError):
    """A message could not be built because of a bug; the bug is its `__cause__`."""
