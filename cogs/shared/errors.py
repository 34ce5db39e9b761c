"""The errors that the cogs raise, each with one sentence for the user.

    UserError
    ├── SourceError                 the picture to redraw cannot be used
    │   ├── NoSource                neither given nor found in the channel
    │   ├── HistoryForbidden        the bot may not search the channel's messages
    │   ├── AttachmentGone          Discord does not deliver the attachment
    │   ├── MessageUnreadable       a linked message is gone, or closed to the user or the bot
    │   └── MessageWithoutPicture   a linked message has no picture that the bot can see
    └── RequestError                the request cannot be carried out as it was made
        ├── EmptyPrompt             the prompt is only white space
        ├── TwoSources              both an attachment and a link
        ├── TooManySteps            more steps than the operator allows
        ├── NotANumberBetween       a form field is not a number in its range
        ├── JobNotFound             the job is not stored, or is not visible to the user
        ├── NotOwner                the action is for the owner and moderators
        ├── AlreadyFinished         a finished job cannot be cancelled
        ├── NoGallery               no channel is set for sharing
        └── GalleryClosed           the bot cannot post in the gallery's channel

Errors of the bot itself (queue, permissions, model) are in `bot`; those of links and files are in
`bot.intake.errors`.
"""

from bot.errors import RequestError, SourceError


class NoSource(SourceError):
    """There is no attachment, no link, and no picture among the channel's newest messages."""

    text = (
        "I found no picture here to redraw. Attach one with the `image` option, "
        "or give a link to one with `url`."
    )


class HistoryForbidden(SourceError):
    """The bot lacks Read Message History, so it cannot find the channel's newest picture."""

    text = (
        "I may not read this channel, so I cannot find its newest picture. "
        "Attach one with the `image` option, or give a link with `url`."
    )


class AttachmentGone(SourceError):
    """Discord answered the download of an attachment with an error."""

    text = "Discord could not deliver that file. Please attach it again."


class MessageUnreadable(SourceError):
    """A linked message was deleted, or the user or the bot may not read its channel."""

    text = "I cannot read that message. It was deleted, or one of us may not see its channel."


class MessageWithoutPicture(SourceError):
    """A linked message has no picture that the bot can see."""

    text = "I see no picture in that message."


class EmptyPrompt(RequestError):
    """The prompt is only white space."""

    text = "The prompt is empty. Write what the picture should become."


class TwoSources(RequestError):
    """Both `image` and `url` were given."""

    text = "Give either a picture or a link, not both."


class TooManySteps(RequestError):
    """More steps than `MAX_STEPS`."""

    text = "At most {limit} steps are allowed here."


class NotANumberBetween(RequestError):
    """A form field is not a number in its range."""

    text = "{field} must be a number from {low:g} to {high:g}."


class JobNotFound(RequestError):
    """The job is not stored any more, never existed, or is not visible to the user."""

    text = "I no longer know this picture. It is older than the time for which I keep pictures."


class NotOwner(RequestError):
    """The action is for the job's owner and moderators."""

    text = "Only the user who asked for this picture, or a moderator, can do that."


class AlreadyFinished(RequestError):
    """The job finished before it could be cancelled."""

    text = "This picture is already finished."


class NoGallery(RequestError):
    """Neither the server nor the operator has set a channel for sharing."""

    text = "There is no channel for sharing here. A moderator can set one with /settings gallery."


class GalleryClosed(RequestError):
    """The gallery's channel was deleted, or the bot may not post there."""

    text = "I cannot post in the gallery's channel. A moderator should check my permissions there."
