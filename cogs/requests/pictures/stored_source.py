"""The stored pictures of a request that is not a job yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from bot.client import Services
from bot.images.picture import Picture
from inference import ModelEntry, Option


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSource:
    """A decoded and stored source picture: its content hash, size, and name as users read it.

    `channel_id` is the channel of the message that it was taken from. `age_restricted` says
    whether that channel is, `spoiler` and `age_restricted` hold for the `references`, too: the
    further pictures of a request to edit. `mask` and `structure` are stored pictures of the same
    size. A request to draw from text has `stored` None, an empty
    name, and the size of the result.
    """

    stored: str | None
    width: int
    height: int
    name: str
    spoiler: bool = False
    age_restricted: bool = False
    channel_id: int | None = None
    references: tuple[Self, ...] = ()
    mask: str | None = None
    structure: str | None = None

    @property
    def guides(self) -> frozenset[Option]:
        """The settings of a model that the mask and the structure need."""
        given: dict[Option, str | None] = {"mask": self.mask, "structure": self.structure}
        return frozenset(option for option, stored in given.items() if stored is not None)

    @property
    def pictures(self) -> tuple[str, ...]:
        """The content hashes of all pictures."""
        own = (self.stored, self.mask, self.structure)
        further = (picture for each in self.references for picture in each.pictures)
        return *(picture for picture in own if picture is not None), *further


async def discard(services: Services, source: StoredSource) -> None:
    """Delete the pictures of a request that does not become a job."""
    for picture in source.pictures:
        await services.store.discard(picture)


def combined(sources: Sequence[StoredSource]) -> StoredSource:
    """One source of several: the first one with the others as its references. It is a spoiler, or
    age-restricted, if one of them is."""
    return replace(
        sources[0],
        references=tuple(sources[1:]),
        spoiler=any(source.spoiler for source in sources),
        age_restricted=any(source.age_restricted for source in sources),
    )


async def store_picture(
    services: Services, data: bytes, name: str, model: ModelEntry
) -> StoredSource:
    """Decode untrusted bytes in the sandbox and store the picture, at a size of the model.

    Raises:
        PictureError: the bytes are not a usable picture.
    """
    picture: Picture = await services.intake.from_bytes(
        data, pixels=model.pixels, multiple=model.multiple, sizes=model.sizes
    )
    return StoredSource(
        stored=await services.store.pictures.put(picture),
        width=picture.width,
        height=picture.height,
        name=name,
    )


async def refitted(services: Services, source: StoredSource, model: ModelEntry) -> StoredSource:
    """The stored pictures of a request at sizes of the model: those of an earlier job may have been
    fitted to another model.

    Raises:
        StoredPictureMissing: a picture is not stored any more.
    """
    new: list[StoredSource] = []
    try:
        return await _refitted(services, source, model, new)
    except BaseException:
        for each in new:
            await discard(services, each)
        raise


async def _refitted(
    services: Services, source: StoredSource, model: ModelEntry, new: list[StoredSource]
) -> StoredSource:
    """As `refitted`. Each picture that it stores is added to `new`."""
    references = [await _refitted(services, each, model, new) for each in source.references]
    source = replace(source, references=tuple(references))
    width, height, multiple = source.width, source.height, model.multiple
    fits = width % multiple == 0 and height % multiple == 0 and width * height <= model.pixels
    if source.stored is None or fits:
        return source
    changes: dict[str, Any] = {}
    # The mask and the structure have the source's size: they are cut in the same way.
    for role in ("stored", "mask", "structure"):
        if (name := getattr(source, role)) is not None:
            data = await asyncio.to_thread(services.store.pictures.read_file, name)
            fitted = await store_picture(services, data, source.name, model)
            new.append(fitted)
            changes |= {role: fitted.stored, "width": fitted.width, "height": fitted.height}
    return replace(source, **changes)
