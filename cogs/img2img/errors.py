"""What can be wrong with what a person asked `/img2img` for."""

from bot.errors import RequestError, SourceError, UnavailableError


class EmptyPrompt(RequestError):
    """Nothing but white space."""

    text = "The prompt is empty: write what the picture should become."


class TwoSources(RequestError):
    """An attachment and a link."""

    text = "Give me either a picture or a link, not both."


class TooManySteps(RequestError):
    """More than the operator allows."""

    text = "At most {limit} steps are allowed here."


class ModelFailed(UnavailableError):
    """The service has given up; the operator's log says why."""

    text = "The model could not be started, so I cannot draw: whoever runs this bot must mend it."


class NoSource(SourceError):
    """Neither given nor found."""

    text = (
        "I found no picture here to redraw: attach one with the `image` option, "
        "or give a link to one with `url`."
    )


class HistoryForbidden(SourceError):
    """The bot may not look for the newest picture in this channel."""

    text = (
        "I may not read this channel, so I cannot look for its newest picture: "
        "attach one with the `image` option, or give a link with `url`."
    )


class AttachmentGone(SourceError):
    """Discord no longer has it, or does not answer."""

    text = "Discord did not give me that file: please attach it again."


class MessageUnreadable(SourceError):
    """A link to a message that the person or the bot may not read, or that is gone."""

    text = "I cannot read that message: it is gone, or one of us may not see its channel."


class MessageWithoutPicture(SourceError):
    """A link to a message that carries no picture that the bot can see."""

    text = "I see no picture in that message."
