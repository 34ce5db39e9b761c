"""The errors that the cogs raise, each with one sentence for the user.

    UserError
    ├── SourceError                 the picture to redraw cannot be used
    │   ├── NoSource                neither given nor found in the channel
    │   ├── NoPictureMentioned      the same, for a mention
    │   ├── HistoryForbidden        the bot may not search the channel's messages
    │   ├── AttachmentGone          Discord does not deliver the attachment
    │   ├── MessageUnreadable       a linked message is gone, or closed to the user or the bot
    │   ├── MessageWithoutPicture   a linked message has no picture that the bot can see
    │   ├── PictureNotVisible       Discord hides other users' pictures from the bot
    │   ├── OnlyOwnPicturesVisible  the same, for the newest picture of a channel
    │   ├── LinkToChannel           a link to a channel, not to a message or thread
    │   ├── StickerNotSupported     a sticker in a vector format
    │   ├── LinksOff                the operator turned links off
    │   └── DiscordLinksOnly        the operator allows links to Discord only
    └── RequestError                the request cannot be carried out as it was made
        ├── EmptyPrompt             the prompt is only white space
        ├── TwoSources              both an attachment and a link
        ├── NoNewDetail             the model cannot redraw a larger picture in tiles
        ├── NewDetailOfPart         new detail for a picture of which a part was redrawn
        ├── LargestAlready          a picture as large as the operator allows
        ├── TwoMasks                a mask, and the transparent region
        ├── TransparentNeedsImage   the transparent region of a picture that is not attached
        ├── EmptyMask               nothing in the mask is white
        ├── TooManySteps            more steps than the operator allows
        ├── OptionNotOffered        the model does not have a setting
        ├── OptionOfOtherModels     the same, and other models have it
        ├── ThresholdWithoutPart    the threshold of a part that is not chosen
        ├── TooManyReferences       more pictures than the model reads
        ├── NotManager              the action is for members with Manage Server
        ├── NotInThisChannel        the server uses the bot in other channels
        ├── RoleNeeded              the server uses the bot with certain roles
        ├── AttachFilesNeeded       the user may not attach files here
        ├── NotANumberBetween       a form field is not a number in its range
        ├── JobNotFound             the job is not stored, or is not visible to the user
        ├── NotOwner                the action is for the owner and moderators
        ├── AgeRestricted           a picture of an age-restricted channel stays in such channels
        ├── SourceElsewhere         a source of another channel is not posted here
        ├── AlreadyFinished         a finished job cannot be cancelled
        ├── AlreadyShared           the result is in the gallery
        ├── TooManyFavourites       the user has as many favourites as they may
        ├── NotDeleted              Discord does not let the bot delete the message
        ├── NoGallery               no channel is set for sharing
        └── GalleryClosed           the bot cannot post in the gallery's channel

Errors of the bot itself (queue, permissions, model) are in `bot`; those of links and files are in
`bot.intake.errors`.
"""

from bot.errors import RequestError, SourceError


class NoSource(SourceError):
    """There is no attachment, no link, and no picture among the channel's newest messages."""

    text = (
        "I found no picture here. Attach one with the `{image}` option, "
        "or give a link to one with `{link}`."
    )


class NoPictureMentioned(SourceError):
    """A mention has no picture, no link, and replies to no picture."""

    text = (
        "I found no picture. Attach one to your message, write a link to one, "
        "or reply to a message with one."
    )


class HistoryForbidden(SourceError):
    """The bot lacks Read Message History, so it cannot find the channel's newest picture."""

    text = (
        "I may not read this channel, so I cannot find its newest picture. "
        "Attach one with the `{image}` option, or give a link with `{link}`."
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


class PictureNotVisible(SourceError):
    """Without the message content intent, other users' attachments are not sent to the bot."""

    text = (
        "Discord does not show me pictures of other users. Open the menu of that message, "
        "and choose Apps, {menu}."
    )


class OnlyOwnPicturesVisible(SourceError):
    """`PictureNotVisible`, for the newest picture of a channel."""

    text = (
        "Discord does not show me pictures of other users, so I cannot find the newest one here. "
        "Attach it, or open the menu of its message and choose Apps, {menu}."
    )


class LinkToChannel(SourceError):
    """A link to a channel, forum or category instead of a message or thread."""

    text = "That link leads to a channel. Give a link to a message, a thread or a forum post."


class StickerNotSupported(SourceError):
    """A Lottie sticker is a vector animation, which the intake does not decode."""

    text = "That sticker is a vector animation, which cannot be redrawn. Attach a picture instead."


class LinksOff(SourceError):
    """`LINKS` is off."""

    text = "Links are turned off here. Attach the picture, or give a link to a Discord message."


class DiscordLinksOnly(SourceError):
    """`LINKS` is set to Discord's file servers."""

    text = "Only links to Discord are allowed here. Attach the picture instead."


class AttachFilesNeeded(RequestError):
    """The author of a mention may not attach files, so they may not have the bot do it."""

    text = "You need the permission Attach Files in this channel to get pictures here."


class NotManager(RequestError):
    """The member lacks Manage Server."""

    text = "Only members with the permission Manage Server can do that."


class NotInThisChannel(RequestError):
    """The server's managers chose other channels."""

    text = "In this server the bot may be used only in these channels: {channels}."


class RoleNeeded(RequestError):
    """The server's managers chose roles, and the user has none of them."""

    text = "In this server the bot may be used only with one of these roles: {roles}."


class EmptyPrompt(RequestError):
    """The prompt is only white space."""

    text = "The prompt is empty. Write what the picture should become."


class TwoSources(RequestError):
    """Both `image` and `url` were given."""

    text = "Give either a picture or a link, not both."


class TwoMasks(RequestError):
    """Both a mask and the transparent region of the picture."""

    text = "Give either a mask or the transparent region, not both."


class TransparentNeedsImage(RequestError):
    """The transparent region is asked for, but the picture is not attached."""

    text = "To use the transparent region of a picture, attach it with the option `image`."


class EmptyMask(RequestError):
    """The mask is black everywhere."""

    text = "The mask is black everywhere: nothing would be redrawn. White is redrawn."


class OptionNotOffered(RequestError):
    """A setting was given that the model does not have."""

    text = "The model {model} has no setting `{option}`. Please leave it out."


class OptionOfOtherModels(RequestError):
    """A setting was given that the model does not have, and other configured models have."""

    text = (
        "The model {model} has no setting `{option}`. Please leave it out, "
        "or choose another model: {models}."
    )


class ThresholdWithoutPart(RequestError):
    """A threshold, but neither the foreground nor the background."""

    text = "The option `{threshold}` needs the foreground or the background as `{part}`."


class TooManyReferences(RequestError):
    """More pictures than the model reads in one request."""

    text = (
        "The model reads at most {limit} {limit:picture|pictures} in one request, "
        "and you gave {count}."
    )


class TooManySteps(RequestError):
    """More steps than `MAX_STEPS`."""

    text = "At most {limit} {limit:step is|steps are} allowed here."


class NotANumberBetween(RequestError):
    """A form field is not a number in its range."""

    text = "{field} must be a number from {low:g} to {high:g}."


class JobNotFound(RequestError):
    """The job is not stored any more, never existed, or is not visible to the user."""

    text = "I no longer know this picture. It was deleted, or its storage time has ended."


class NotOwner(RequestError):
    """The action is for the job's owner and moderators."""

    text = "Only the user who asked for this picture, or a moderator, can do that."


class AgeRestricted(RequestError):
    """The picture belongs to an age-restricted channel and the reply would not."""

    text = "This picture is from an age-restricted channel. Use it in such a channel only."


class SourceElsewhere(RequestError):
    """The source or the request is from another channel, which other users may read."""

    text = "The source of this picture is from another channel. Post this picture only there."


class AlreadyShared(RequestError):
    """The result is in the gallery."""

    text = "This picture is already shared in {channel}."


class TooManyFavourites(RequestError):
    """The user has `FAVOURITES_PER_USER` favourites."""

    text = (
        "At most {limit} {limit:favourite is|favourites are} allowed here. "
        "Remove one with its ⭐ first."
    )


class NotDeleted(RequestError):
    """Discord does not let the bot delete the message."""

    text = "I may not delete the message with this picture. Delete it with Discord's own menu."


class AlreadyFinished(RequestError):
    """The job finished before it could be cancelled."""

    text = "This picture is already finished."


class NoGallery(RequestError):
    """Neither the server nor the operator has set a channel for sharing."""

    text = (
        "There is no channel for sharing here. "
        "The managers of this server can choose one with /settings gallery."
    )


class GalleryClosed(RequestError):
    """The gallery's channel was deleted, or the bot may not post there."""

    text = "I cannot post in the gallery's channel. A moderator should check my permissions there."
