"""The pictures that guide a request beside its source: its mask, and its structure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import discord
from PIL import Image, ImageOps

from bot.client import Services
from bot.images.picture import Picture
from cogs.requests.pictures.candidates import ImageCandidate
from cogs.requests.pictures.download import download, download_attachment
from cogs.requests.pictures.sources import RequestContext, find_source
from cogs.requests.pictures.stored_source import StoredSource, discard
from cogs.shared.errors import EmptyMask, TransparentNeedsImage, TwoMasks
from inference import Option


@dataclass(frozen=True, slots=True, kw_only=True)
class Guides:
    """The user's attachments. `transparent`: the source's transparent region is the mask."""

    mask: discord.Attachment | None = None
    structure: discord.Attachment | None = None
    transparent: bool = False

    @property
    def options(self) -> frozenset[Option]:
        """The settings of a model that they need."""
        given: dict[Option, bool] = {
            "mask": self.transparent or self.mask is not None,
            "structure": self.structure is not None,
        }
        return frozenset(option for option, is_given in given.items() if is_given)


async def find_guided_source(
    context: RequestContext, image: discord.Attachment | None, url: str | None, guides: Guides
) -> StoredSource:
    """The source as `find_source` finds it, with its mask and structure. It is a spoiler if one of
    the pictures is.

    Without an image and a link, a structure is the source, too.

    Raises:
        SourceError: a picture is missing, or cannot be downloaded or decoded.
        TwoMasks, TransparentNeedsImage, EmptyMask: the mask cannot be used.
    """
    if guides.transparent and guides.mask is not None:
        raise TwoMasks
    if guides.transparent and image is None:
        raise TransparentNeedsImage
    if image is None and url is None:
        image = guides.structure
    return await with_guides(context, await find_source(context, image, url), guides, image)


async def with_guides(
    context: RequestContext,
    source: StoredSource,
    guides: Guides,
    image: discord.Attachment | None = None,
) -> StoredSource:
    """The source with its mask and structure; if one cannot be used, the source is deleted.

    `image` is the source's file, where it is attached.

    Raises:
        SourceError: a picture cannot be downloaded or decoded.
        EmptyMask: the mask cannot be used.
    """
    services = context.bot.services
    try:
        if (masked := image if guides.transparent else guides.mask) is not None:
            data = await download_attachment(context.bot, masked)
            mask = await _mask(services, data, source, only_transparent=guides.transparent)
            stored = await services.store.pictures.put(mask)
            spoiler = source.spoiler or masked.is_spoiler()
            source = replace(source, mask=stored, spoiler=spoiler)
        if guides.structure is not None and guides.structure is not image:
            candidate = ImageCandidate(guides.structure.filename, guides.structure)
            data = await download(context.bot, candidate)
            structure = await _structure(context, data, source)
            stored = await services.store.pictures.put(structure)
            spoiler = source.spoiler or guides.structure.is_spoiler()
            source = replace(source, structure=stored, spoiler=spoiler)
    except BaseException:
        await discard(services, source)
        raise
    return source


async def _mask(
    services: Services, data: bytes, source: StoredSource, *, only_transparent: bool
) -> Picture:
    """The mask in the bytes, at the source's size, as grey RGB."""
    grey = await services.intake.mask_from_bytes(
        data, size=(source.width, source.height), only_transparent=only_transparent
    )
    if not any(grey):
        raise EmptyMask
    image = Image.frombytes("L", (source.width, source.height), grey)
    return Picture(image.convert("RGB").tobytes(), source.width, source.height)


async def _structure(context: RequestContext, data: bytes, source: StoredSource) -> Picture:
    """The picture in the bytes, cut at its longer sides to the source's size."""
    model = context.model
    size = (source.width, source.height)
    picture = await context.bot.services.intake.from_bytes(
        data, pixels=model.pixels, multiple=model.multiple, sizes=(size, *model.sizes)
    )

    def cut() -> Picture:
        image = Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
        return Picture(ImageOps.fit(image, size, Image.Resampling.LANCZOS).tobytes(), *size)

    return await asyncio.to_thread(cut)
