"""Whether a picture can be redrawn with new detail, and the errors where it cannot.

`cogs.shared.errors` draws the errors.
"""

from __future__ import annotations

from bot.client import Services
from bot.errors import RequestError
from cogs.requests.draft import Draft
from cogs.requests.tasks import model_for


class NoNewDetail(RequestError):
    """The model cannot redraw a larger picture in tiles, or not in tiles of this size."""

    text = "The model {model} cannot add new detail to a larger picture."


class NewDetailOfPart(RequestError):
    """New detail was requested for a picture of which only a part was redrawn."""

    text = "Only a part of this picture was redrawn, and new detail would change all of it."


class LargestAlready(RequestError):
    """The picture is as large as the operator allows with new detail."""

    text = (
        "With new detail, the longer side of a picture has at most this many pixels here: {limit}."
    )


def check_tiles(services: Services, draft: Draft) -> None:
    """Check that the draft's model can redraw a picture in tiles of the draft's size.

    Raises:
        NoNewDetail: it cannot.
    """
    model = model_for(services, draft.task, draft.model)
    if draft.tile is None or not model.redraws_in_tiles(*draft.tile):
        raise NoNewDetail(model=model.name)
