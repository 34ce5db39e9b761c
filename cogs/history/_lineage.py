"""The lineage of a shown picture: its ancestors, and the pictures that were made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import discord

from bot.client import RedrawBot
from bot.i18n.translate import translate
from bot.jobs.job import Job, JobState
from cogs.shared.access import AccessRule, Decision, decide
from cogs.shared.channel_facts import job_facts
from cogs.shared.guard import SentComponent

Interaction = discord.Interaction[RedrawBot]

# Of each kind; a menu has at most 25 options.
# https://discord.com/developers/docs/components/reference#string-select
MAX_ANCESTORS, MAX_CHILDREN = 8, 16
LABEL_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Lineage:
    """The finished jobs that the user may see: ancestors, the nearest first, and children."""

    ancestors: tuple[Job, ...]
    children: tuple[Job, ...]


async def lineage_of(interaction: Interaction, job: Job) -> Lineage:
    """The lineage of a job, as far as the user may see it here.

    It ends at the first ancestor that is not stored or not visible.
    """
    store = interaction.client.services.store
    ancestors: list[Job] = []
    parent_id = job.parent_id
    while parent_id is not None and len(ancestors) < MAX_ANCESTORS:
        parent = await store.job(parent_id)
        if parent is None or not await _visible(interaction, parent):
            break
        ancestors.append(parent)
        parent_id = parent.parent_id
    children = [
        child for child in await store.children_of(job.id) if await _visible(interaction, child)
    ]
    return Lineage(tuple(ancestors), tuple(children[:MAX_CHILDREN]))


async def _visible(interaction: Interaction, job: Job) -> bool:
    if job.state is not JobState.DELIVERED:
        return False
    return decide(AccessRule.RESULT, await job_facts(interaction, job)) is Decision.ALLOWED


def lineage_rows(lineage: Lineage, locale: str) -> list[discord.ui.ActionRow[Any]]:
    """The button for one step back and the menu of all related pictures."""
    found: list[discord.ui.ActionRow[Any]] = []
    options = [
        *((job, f"↑ {job.shown_prompt}") for job in lineage.ancestors),
        *((job, f"↓ {job.shown_prompt}") for job in lineage.children),
    ]
    if lineage.ancestors:
        back = _Button(
            label=translate(locale, "show.back"),
            custom_id=f"redraw:back:{lineage.ancestors[0].id}",
        )
        found.append(discord.ui.ActionRow[discord.ui.LayoutView](back))
    if options:
        menu = _Menu(
            custom_id="redraw:related",
            placeholder=translate(locale, "show.related", count=len(options)),
            options=[
                discord.SelectOption(label=text[:LABEL_CHARACTERS], value=job.id)
                for job, text in options
            ],
        )
        found.append(discord.ui.ActionRow[discord.ui.LayoutView](menu))
    return found


# `Back` and `Related` handle their use.
class _Button(SentComponent, discord.ui.Button[discord.ui.LayoutView]):
    pass


class _Menu(SentComponent, discord.ui.Select[discord.ui.LayoutView]):
    pass
