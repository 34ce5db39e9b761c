"""Checks users, prompts and pictures, and opens a case for what is refused. Fails closed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from bot.images.picture import Picture
from bot.moderation.assessment import Assessment, PictureAssessor, hash_of
from bot.moderation.cases import ModerationCases, NewCase
from bot.moderation.detectors.classifier import ImageClassifier
from bot.moderation.detectors.prompt_rules import Rule, RuleSet, RuleTooSlow
from bot.moderation.errors import ChecksUnavailable, PictureRefused, PromptRefused
from bot.moderation.lists import ModerationLists
from bot.moderation.model import EVERYWHERE, Case, CaseKind, Place
from bot.moderation.users import UserChecks
from bot.store.ledger import Ledger

log = logging.getLogger(__name__)

# A preview is small and blurred, so that its score says less: it is shown up to this fraction of
# the threshold, and not at all if the source reaches it.
PREVIEW_FRACTION = 0.5

CaseListener = Callable[[Case, Sequence[Picture], Sequence[Picture]], None]
"""Told of each new case, with its sources and its results."""


class Moderation:
    """The checks of every server; `users` has those of users.

    `classifier` is None where the operator turned picture checks off; bans and prompt rules hold
    all the same. `threshold` and `age_restricted_threshold` are the operator's: pictures with a
    higher score are refused. A server may lower the first, and choose the second.
    """

    def __init__(
        self,
        *,
        lists: ModerationLists,
        cases: ModerationCases,
        ledger: Ledger,
        classifier: ImageClassifier | None,
        threshold: float,
        age_restricted_threshold: float,
        on_case: CaseListener = lambda _case, _sources, _results: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lists = lists
        self.cases = cases
        self._assessor = PictureAssessor(classifier) if classifier else None
        self._threshold = threshold
        self._age_restricted_threshold = age_restricted_threshold
        self._on_case = on_case
        self._clock = clock
        self.users = UserChecks(lists, ledger, self._open, clock)

    async def check_prompt(
        self, place: Place, user_id: int, prompt: str, texts: Sequence[str]
    ) -> None:
        """Check the texts that reach the model. `prompt` is shown to moderators.

        Raises:
            PromptRefused: a rule matches.
            ChecksUnavailable: a rule did not end.
        """
        rules = await self.find_rules(place, texts)
        if rules:
            case = await self._open(
                NewCase(
                    kind=CaseKind.PROMPT,
                    guild_id=place.guild_id or EVERYWHERE,
                    channel_id=place.channel_id,
                    user_id=user_id,
                    reason=f"rule {rules[0].id}",
                    prompt=prompt,
                )
            )
            raise PromptRefused(case_id=await self._appealable(case))

    async def find_rules(self, place: Place, texts: Sequence[str]) -> list[Rule]:
        """Every rule that one of the texts breaks.

        Raises:
            ChecksUnavailable: a rule did not end.
        """
        rules = tuple(await self.lists.rules(place))
        if not rules:
            return []
        try:
            return await asyncio.to_thread(lambda: list(_rule_set(rules).matches(texts)))
        except RuleTooSlow as error:
            slow: Rule = error.args[0]
            log.error("prompt rule %d of server %s does not end", slow.id, slow.guild_id)
            raise ChecksUnavailable from error

    async def check_source(self, place: Place, user_id: int, prompt: str, picture: Picture) -> None:
        """Check a picture that a user wants to have redrawn.

        Raises:
            PictureRefused: it is not allowed in this place.
            ChecksUnavailable: the check could not run.
        """
        refused = await self._assess(picture, place)
        if refused:
            reason, assessment = refused
            case = await self._open(
                NewCase(
                    kind=CaseKind.SOURCE,
                    guild_id=place.guild_id or EVERYWHERE,
                    channel_id=place.channel_id,
                    user_id=user_id,
                    reason=reason,
                    score=assessment.score,
                    prompt=prompt,
                    bits=assessment.hash.bits,
                ),
                sources=[picture],
            )
            raise PictureRefused(case_id=await self._appealable(case))

    async def check_result(
        self,
        place: Place,
        user_id: int,
        prompt: str,
        job_id: str,
        *,
        sources: Sequence[Picture],
        result: Picture,
    ) -> None:
        """Check a picture that the model made of `sources`, before it is stored or shown.

        Raises:
            PictureRefused: it is not allowed in this place.
            ChecksUnavailable: the check could not run.
        """
        refused = await self._assess(result, place)
        listed = not refused and (await self.lists.policy(place.guild_id)).log_pictures
        if not (refused or listed):
            return
        reason, assessment = refused or ("", None)
        case = await self._open(
            NewCase(
                kind=CaseKind.RESULT if refused else CaseKind.PICTURE,
                guild_id=place.guild_id or EVERYWHERE,
                channel_id=place.channel_id,
                user_id=user_id,
                job_id=job_id,
                reason=reason,
                score=assessment.score if assessment else None,
                prompt=prompt,
                bits=await hash_of(result),
            ),
            sources=sources,
            results=[result],
        )
        if refused:
            raise PictureRefused(case_id=await self._appealable(case))

    async def check_upload(self, place: Place, picture: Picture) -> None:
        """Check a stored picture before it is posted in a place.

        Raises:
            PictureRefused: it is not allowed there.
            ChecksUnavailable: the check could not run.
        """
        if await self._assess(picture, place):
            raise PictureRefused

    async def may_preview(self, place: Place, sources: Sequence[Picture], preview: Picture) -> bool:
        """Whether a preview may be shown. False also where that cannot be checked."""
        if self._assessor is None:
            return True
        limit = PREVIEW_FRACTION * await self._limit(place)
        try:
            scores = [(await self._assessor.assess(each)).score for each in (*sources, preview)]
        except ChecksUnavailable:
            return False
        return max(scores) <= limit

    async def report(
        self,
        place: Place,
        reporter_id: int,
        *,
        job_id: str,
        user_id: int,
        prompt: str,
        sources: Sequence[Picture],
        results: Sequence[Picture],
    ) -> tuple[Case, bool]:
        """Record a report of a job's results; see `ModerationCases.report`."""
        hashes = [bits for result in results if (bits := await hash_of(result))]
        case, new = await self.cases.report(
            NewCase(
                kind=CaseKind.REPORT,
                guild_id=place.guild_id or EVERYWHERE,
                channel_id=place.channel_id,
                user_id=user_id,
                job_id=job_id,
                reason="reported",
                prompt=prompt,
                bits=b"".join(hashes) or None,
            ),
            reporter_id,
            self._clock(),
        )
        if new and case.reports == 1:
            self._on_case(case, sources, results)
        return case, new

    async def _assess(self, picture: Picture, place: Place) -> tuple[str, Assessment] | None:
        """Why the picture is refused in this place; None if it is not."""
        if self._assessor is None:
            return None
        assessment = await self._assessor.assess(picture)
        usable = assessment.hash.usable
        if usable and await self.lists.is_blocked(place, assessment.hash):
            return "blocked picture", assessment
        if assessment.score > await self._limit(place):
            return "score", assessment
        return None

    async def _limit(self, place: Place) -> float:
        policy = await self.lists.policy(place.guild_id)
        if place.age_restricted:
            chosen = policy.age_restricted_threshold
            return self._age_restricted_threshold if chosen is None else chosen
        chosen = policy.threshold
        return self._threshold if chosen is None else min(chosen, self._threshold)

    async def _open(
        self, new: NewCase, sources: Sequence[Picture] = (), results: Sequence[Picture] = ()
    ) -> Case:
        case = await self.cases.open(new, self._clock())
        self._on_case(case, sources, results)
        return case

    async def _appealable(self, case: Case) -> int | None:
        """The case's id if there is a log in which moderators would see an appeal."""
        policy = await self.lists.policy(case.guild_id)
        return case.id if policy.log_channel_id else None


@lru_cache(maxsize=256)
def _rule_set(rules: tuple[Rule, ...]) -> RuleSet:
    return RuleSet(rules)
