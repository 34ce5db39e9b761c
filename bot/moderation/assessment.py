"""What is known of a picture, the same in every place: its score and its hash. Remembered."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass

from cachetools import LRUCache

from bot.images.picture import Picture
from bot.moderation.detectors.classifier import ClassifierUnavailable, ImageClassifier
from bot.moderation.detectors.picture_hash import PictureHash
from bot.moderation.errors import ChecksUnavailable

log = logging.getLogger(__name__)

# A picture is scored once for its request, its answer and its buttons.
REMEMBERED_PICTURES = 4096


@dataclass(frozen=True, slots=True)
class Assessment:
    """`score` from 0 to 1 as of `ImageClassifier`."""

    score: float
    hash: PictureHash


class PictureAssessor:
    """Assesses pictures off the event loop. What fails is not remembered."""

    def __init__(self, classifier: ImageClassifier) -> None:
        self._classifier = classifier
        self._known: LRUCache[bytes, Assessment] = LRUCache(REMEMBERED_PICTURES)

    async def assess(self, picture: Picture) -> Assessment:
        """Score and hash a picture.

        Raises:
            ChecksUnavailable: the classifier gives no score.
        """
        key = await asyncio.to_thread(_content_key, picture)
        known = self._known.get(key)
        if known is not None:
            return known
        try:
            score, hash_ = await asyncio.gather(
                self._classifier.score(picture), asyncio.to_thread(PictureHash.of, picture)
            )
        except ClassifierUnavailable as error:
            log.error("a picture could not be checked: %s", error)
            raise ChecksUnavailable from error
        found = self._known[key] = Assessment(score, hash_)
        return found


async def hash_of(picture: Picture) -> bytes | None:
    """The picture's perceptual hash; None if it is too plain to be recognised by it."""
    found = await asyncio.to_thread(PictureHash.of, picture)
    return found.bits if found.usable else None


def _content_key(picture: Picture) -> bytes:
    size = f"{picture.width}x{picture.height}:".encode()
    return hashlib.sha256(size + picture.pixels).digest()
