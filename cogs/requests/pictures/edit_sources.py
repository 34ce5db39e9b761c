"""Finds the pictures of a request to edit, which may have several."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import discord

from bot.intake.links import all_links
from cogs.requests.pictures.candidates import ImageCandidate, is_spoilered
from cogs.requests.pictures.guides import Guides, with_guides
from cogs.requests.pictures.sources import RequestContext, find_linked, find_source, store_candidate
from cogs.requests.pictures.stored_source import StoredSource, combined, discard
from cogs.shared.errors import TooManyReferences


def candidates_of(attachments: Sequence[discord.Attachment]) -> list[ImageCandidate]:
    """Attached files as pictures that may be downloaded."""
    return [ImageCandidate(each.filename, each, spoiler=each.is_spoiler()) for each in attachments]


async def find_edit_sources(
    context: RequestContext,
    candidates: Sequence[ImageCandidate],
    links: str | None = None,
    mask: discord.Attachment | None = None,
) -> StoredSource:
    """The given pictures, then those that the typed links lead to; without any, the newest one in
    the channel. The `mask` is that of the first picture.

    Raises:
        EmptyMask: nothing in the mask is white.
        TooManyReferences: more pictures than the model reads.
        SourceError: there is none, or one cannot be downloaded or decoded. None is stored.
        AgeRestricted: a linked message is in an age-restricted channel, the request is not.
    """
    source = await _find_sources(context, candidates, links)
    return await with_guides(context, source, Guides(mask=mask))


async def _find_sources(
    context: RequestContext, candidates: Sequence[ImageCandidate], links: str | None
) -> StoredSource:
    limit = context.model.max_references
    typed = [] if links is None else all_links(links) or [links]
    if not candidates and not typed:
        return await find_source(context, None, None)
    if len(candidates) + len(typed) > limit:
        raise TooManyReferences(limit=limit, count=len(candidates) + len(typed))
    found: list[StoredSource] = []
    try:
        for given in itertools.chain[ImageCandidate | str](candidates, typed):
            source = await _find(context, given, links or "")
            found.append(source)
    except BaseException:
        for source in found:
            await discard(context.bot.services, source)
        raise
    return combined(found)


async def _find(context: RequestContext, given: ImageCandidate | str, text: str) -> StoredSource:
    if isinstance(given, ImageCandidate):
        return await store_candidate(context, given)
    source = await find_linked(context, given)
    return replace(source, spoiler=source.spoiler or is_spoilered(text, given))
