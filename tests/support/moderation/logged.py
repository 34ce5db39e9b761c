"""A moderated server with a log, a prompt rule, and scores that a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bot.images.picture import Picture
from bot.moderation.assessment import PictureAssessor
from bot.moderation.detectors.prompt_rules import RuleKind
from bot.moderation.model import Case
from tests.support.moderation.discord import ModeratedServer, open_moderated_server
from tests.support.moderation.scored import ScriptedClassifier


@asynccontextmanager
async def open_logged_server(folder: Path) -> AsyncIterator[ModeratedServer]:
    """A server with a log. Its rule refuses the word `wolf`; no picture is checked."""
    async with open_moderated_server(folder, moderation=False) as opened:
        await opened.open_log()
        await opened.services.moderation.lists.add_rule(opened.guild_id, RuleKind.WORD, "wolf")
        yield opened


def score(server: ModeratedServer, score_of: Callable[[Picture], float]) -> None:
    """Check pictures, with these scores."""
    server.services.moderation._assessor = PictureAssessor(ScriptedClassifier(score_of))


async def logged(server: ModeratedServer, condition: Callable[[], bool]) -> None:
    """Wait for the log, which is written after the user was answered."""
    async with asyncio.timeout(60):
        while not condition():
            await server.sim.env.settle()
            await asyncio.sleep(0.01)


async def the_case(server: ModeratedServer) -> Case:
    """The only case of the server."""
    (case,) = await server.services.moderation.cases.cases(server.guild_id)
    return case


def header(server: ModeratedServer, case: Case, words: str) -> str:
    """The first line of an entry about a request of Alice."""
    when = f"<t:{int(case.created_at)}:R>"
    words = words.format(user=server.alice.mention, channel=f"<#{server.channel.id}>")
    return f"**Case {case.id}:** {words} {when}"
