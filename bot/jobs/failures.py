"""Why an accepted job has no picture: one sentence each, kept with the job.

The errors are not raised; `translate_error` turns them into `Job.error`. `bot.errors` draws them.
"""

from __future__ import annotations

from bot.errors import UnavailableError
from bot.jobs.budgets import Charge
from inference import (
    DeadlineExceeded,
    FlatDepthMap,
    InferenceError,
    ModelNotConfigured,
    ModelNotLoaded,
    NonFiniteOutput,
    OutOfMemory,
    TaskNotSupported,
)


class JobFailure(UnavailableError):
    """Base of this module's errors. `case_id` is the moderation case that the user may appeal,
    `charge` the cost of a picture that was made and is not shown."""

    case_id: int | None = None
    charge: Charge | None = None


class WorkerDiedTwice(JobFailure):
    """The worker process died in both attempts."""

    text = "The model stopped working on this picture twice. The request was ended."


class BotDiedRepeatedly(JobFailure):
    """The bot's own process ended each time while this request ran."""

    text = "The bot's process ended three times during this request. The request was cancelled."


class TooLargeForModel(JobFailure):
    """The request does not fit the device's memory, not even alone."""

    text = "This picture is too large for the device's memory."


class NoValidPicture(JobFailure):
    """The model's output is not finite."""

    text = "The model produced no valid picture. Try another seed."


class NoPartFound(JobFailure):
    """The depth map is flat, so that it has no foreground and background."""

    text = (
        "This picture has no foreground and background that the model can tell apart. "
        "Redraw everything, or give a mask."
    )


class WaitedTooLong(JobFailure):
    """The request's deadline passed."""

    text = "The request waited too long and was ended."


class ModelRemoved(JobFailure):
    """The operator has removed the job's model since the job was accepted."""

    text = "The model {model} is no longer available here. Please ask again with another model."


class ModelCannotDoThat(JobFailure):
    """The job's model, which the catalogue does not have, turned out to lack the job's task."""

    text = "The model {model} cannot do that. Please ask again with another command or model."


class ModelNotLoadable(JobFailure):
    """One of several models cannot be loaded."""

    text = (
        "The model {model} cannot be loaded at the moment. Please choose another model, or tell "
        "the bot's operator."
    )


class GenerationFailed(JobFailure):
    """A bug in the bot or in the model."""

    text = "An error occurred while the picture was made. The operator can find it in the log."


class SourceLost(JobFailure):
    """The source picture's file is missing or damaged."""

    text = "The source picture could not be read again."


class ResultLost(JobFailure):
    """The result's file is missing or damaged."""

    text = "The picture was made, but its file could not be read again."


class ResultRefused(JobFailure):
    """Moderation refuses the result."""

    text = "The result is not shown: the image check refused it."

    def __init__(self, case_id: int | None = None) -> None:
        self.case_id = case_id
        super().__init__()


class ResultNotChecked(JobFailure):
    """The image check could not run, which counts as a refusal."""

    text = (
        "The result is not shown: the image check is not running at the moment. "
        "Please try again in a few minutes."
    )


class BlockedByDiscord(JobFailure):
    """Discord's moderation blocks this content."""

    text = "Discord's moderation blocked this picture."


class TooLargeForDiscord(JobFailure):
    """Discord refused even the smallest encoding."""

    text = "Even compressed, the picture is larger than Discord allows here."


class MessageRefused(JobFailure):
    """The bot built a message that Discord does not accept."""

    text = "The picture was made, but Discord refused its message."


class Undeliverable(JobFailure):
    """No delivery route is left. The sentence is shown when the job is looked up later."""

    text = "The answer could not be delivered."


def failure_of(error: InferenceError, model: str) -> JobFailure:
    """The failure for an error of that model; `GenerationFailed` if it is not an expected one."""
    match error:
        case ModelNotConfigured():
            return ModelRemoved(model=model)
        case TaskNotSupported():
            return ModelCannotDoThat(model=model)
        case ModelNotLoaded():
            return ModelNotLoadable(model=model)
        case OutOfMemory():
            return TooLargeForModel()
        case NonFiniteOutput():
            return NoValidPicture()
        case FlatDepthMap():
            return NoPartFound()
        case DeadlineExceeded():
            return WaitedTooLong()
    return GenerationFailed()
