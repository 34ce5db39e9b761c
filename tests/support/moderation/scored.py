"""A `Moderation` over a real database, with scores that a test decides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot.images.picture import Picture
from bot.moderation.cases import ModerationCases
from bot.moderation.detectors.classifier import ClassifierUnavailable
from bot.moderation.errors import PictureRefused
from bot.moderation.lists import ModerationLists
from bot.moderation.model import Case, Effect, Place, Restriction, Subject
from bot.moderation.moderation import Moderation
from bot.store.store import Store
from tests.support.jobs import job
from tests.support.moderation.pictures import as_picture
from tests.support.pictures import photo

THRESHOLD = 0.2
AGE_RESTRICTED_THRESHOLD = 0.8


@dataclass
class ScriptedClassifier:
    """Gives the score that `score_of` decides; None: it is not available."""

    score_of: Callable[[Picture], float | None] = lambda _picture: 0.0
    seen: list[Picture] = field(default_factory=list)

    async def score(self, picture: Picture) -> float:
        self.seen.append(picture)
        score = self.score_of(picture)
        if score is None:
            raise ClassifierUnavailable("scripted")
        return score


@dataclass
class ModerationFixture:
    """`now` is the clock in seconds."""

    store: Store
    moderation: Moderation
    classifier: ScriptedClassifier
    heard: list[tuple[Case, Sequence[Picture]]]
    now: list[float]

    async def accept(self, place: Place, user_id: int) -> None:
        """Store an accepted request of the user in this place."""
        one = job(user_id=user_id, created_at=self.now[0])
        destination = replace(one.destination, guild_id=place.guild_id)
        await self.store.accept(replace(one, destination=destination))


@asynccontextmanager
async def open_moderation(
    folder: Path, *, enabled: bool = True
) -> AsyncIterator[ModerationFixture]:
    """Moderation over the database in `folder`."""
    classifier = ScriptedClassifier()
    heard: list[tuple[Case, Sequence[Picture]]] = []
    now = [1_000_000.0]
    async with Store.open(folder) as store:
        yield ModerationFixture(
            store,
            Moderation(
                lists=ModerationLists(store.database),
                cases=ModerationCases(store.database),
                ledger=store.ledger,
                classifier=classifier if enabled else None,
                threshold=THRESHOLD,
                age_restricted_threshold=AGE_RESTRICTED_THRESHOLD,
                on_case=lambda case, *pictures: heard.append((case, (*pictures[0], *pictures[1]))),
                clock=lambda: now[0],
            ),
            classifier,
            heard,
            now,
        )


GUILD, OTHER_GUILD, CHANNEL = 10, 20, 11
USER, ROLE = 5, 6
HERE = Place(GUILD, CHANNEL)
ADULT = replace(HERE, age_restricted=True)
ELSEWHERE = Place(OTHER_GUILD, 21)
DIRECT = Place(None, 31)
PICTURE = as_picture(photo(256, 192))
OTHER = as_picture(photo(256, 192, seed=9))


def entry(effect: Effect, subject: Subject = Subject.USER, guild: int = GUILD) -> Restriction:
    return Restriction(
        guild_id=guild,
        subject=subject,
        subject_id=USER if subject is Subject.USER else ROLE,
        effect=effect,
    )


async def refused(moderation: Moderation, picture: Picture, place: Place) -> bool:
    try:
        await moderation.check_source(place, USER, "a fox", picture)
    except PictureRefused:
        return True
    return False
