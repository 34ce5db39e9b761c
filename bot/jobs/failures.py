"""Why an accepted job ended without its picture: one sentence each, in its person's language.

    UnavailableError
    └── JobFailure
        ├── BrokeDownTwice, TooLargeForModel, ModelLost, WaitedTooLong, Broken   while it was made
        ├── SourceLost, ResultLost                                               on the disk
        └── BlockedByDiscord, TooLargeForDiscord, MessageRefused, Undeliverable  on its way

The classes' names are the keys of their translations.
"""

from __future__ import annotations

from bot.errors import UnavailableError
from inference import DeadlineExceeded, InferenceError, NonFiniteOutput, OutOfMemory


class JobFailure(UnavailableError):
    """Base of this module's errors; none is raised, their sentences are kept with the job."""


class BrokeDownTwice(JobFailure):
    """Both attempts ended with the worker's death."""

    text = "The model broke down over this picture twice, so it was given up."


class TooLargeForModel(JobFailure):
    """Out of memory, even alone."""

    text = "This picture is too large for the device's memory."


class NoValidPicture(JobFailure):
    """Not a number."""

    text = "The model lost itself in this picture: try another seed."


class WaitedTooLong(JobFailure):
    """Its deadline passed."""

    text = "It waited too long and was dropped."


class Broken(JobFailure):
    """A bug, ours or the model's."""

    text = "Something went wrong while the picture was made. The operator can find it in the log."


class SourceLost(JobFailure):
    """The picture to redraw is not on the disk any more."""

    text = "The picture to redraw could not be read again."


class ResultLost(JobFailure):
    """The made picture is not on the disk any more."""

    text = "The picture was made, but its file could not be read again."


class BlockedByDiscord(JobFailure):
    """Discord will not show this content."""

    text = "Discord's moderation did not let this picture through."


class TooLargeForDiscord(JobFailure):
    """Not even the smallest encoding was taken."""

    text = "The picture is larger than Discord takes here, even compressed."


class MessageRefused(JobFailure):
    """We built something that Discord does not accept."""

    text = "The picture was made, but its message could not be sent as it was built."


class Undeliverable(JobFailure):
    """No way is left; whoever looks the job up later reads this."""

    text = "The answer could not be delivered: Discord let it through on no way."


def failure_of(error: InferenceError) -> JobFailure:
    """What a person is told of an error of the model; what is not expected is `Broken`."""
    match error:
        case OutOfMemory():
            return TooLargeForModel()
        case NonFiniteOutput():
            return NoValidPicture()
        case DeadlineExceeded():
            return WaitedTooLong()
    return Broken()
