"""The row of numbers below several pictures: it selects the one that the other buttons act on.

The selection is in the buttons' custom ids, and so in the message itself.
"""

from __future__ import annotations

import re

import discord

from bot.jobs.job import Job
from cogs.shared.job_buttons import Action, JobButton

SELECTED, OTHER = discord.ButtonStyle.success, discord.ButtonStyle.secondary
# https://discord.com/developers/docs/components/reference#button
LABEL_CHARACTERS = 80
_NUMBER = re.compile(r"^(redraw:(?P<action>[a-z]+):[0-9a-f]{16}:)(?P<number>\d)")


def selection_row(job: Job) -> list[JobButton]:
    """One button per picture, the first one selected; none if there is only one picture.

    The pictures of one sheet are labelled as on the sheet, with their strengths or styles.
    """
    if len(job.variants) == 1:
        return []
    row = []
    for number, variant in enumerate(job.variants, start=1):
        label = variant.label[:LABEL_CHARACTERS] if job.layout == "grid" else str(number)
        button = JobButton(Action.SELECT, job, number, label=label)
        button.style = SELECTED if number == 1 else OTHER
        row.append(button)
    return row


def with_selection(message: discord.Message, number: int) -> discord.ui.LayoutView:
    """The components of the message with this picture selected."""
    view = discord.ui.LayoutView.from_message(message, timeout=None)
    # Not kept by discord.py: the actions handle the clicks.
    view.stop()
    for item in view.walk_children():
        if isinstance(item, discord.ui.Button | discord.ui.Select) and item.custom_id:
            match = _NUMBER.match(item.custom_id)
            if match is None:
                continue
            if match["action"] == Action.SELECT and isinstance(item, discord.ui.Button):
                item.style = SELECTED if int(match["number"]) == number else OTHER
            else:
                item.custom_id = _NUMBER.sub(rf"\g<1>{number}", item.custom_id)
        elif isinstance(item, discord.ui.MediaGallery):
            # The message keeps its attachments; their addresses are for reading only.
            for media in item.items:
                media.media = f"attachment://{media.media.url.split('?')[0].rsplit('/', 1)[-1]}"
    return view
