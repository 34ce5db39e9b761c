"""No picture is shown while the classifier fails, in either kind of channel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import bot.app
from bot.moderation.detectors import classifier as classifier_module
from bot.moderation.detectors.classifier import ClassifierProcess
from inference import ImageResult
from tests.support.moderation.discord import Painter, open_moderated_server, pictures_in
from tests.support.simulated_discord import text_of

NOT_RUNNING = "The content checks are not running"
FAULTS = {
    "hangs": "import time; time.sleep(60)",
    "crashes": "os._exit(1)",
    "answers NaN": "print('{\"score\": NaN}', flush=True)",
}
# Fails at the first picture (the source), or lets so many pass and fails then.
CHILD = """
import json, os, sys
print('{{"ready": true}}', flush=True)
for number in range(1000):
    line = sys.stdin.buffer.readline()
    if not line:
        break
    header = json.loads(line)
    sys.stdin.buffer.read(3 * header["width"] * header["height"])
    if number < {passes}:
        print('{{"score": 0.0}}', flush=True)
    else:
        {fault}
"""


@pytest.mark.parametrize("passes", [0, 1], ids=["source", "result"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_nothing_passes_a_classifier_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, passes: int
) -> None:
    monkeypatch.setattr(classifier_module, "FIRST_PAUSE", 30.0)
    command = ("-c", CHILD.format(fault=fault, passes=passes))
    classifiers: list[ClassifierProcess] = []

    def new_classifier(model: str, labels: Sequence[str]) -> ClassifierProcess:
        # Time to start the process before the first answer.
        classifiers.append(
            ClassifierProcess(model, labels, seconds=30.0 if passes else 0.5, command=command)
        )
        return classifiers[-1]

    class PainterWithShortChecks(Painter):
        async def generate(self, *arguments: Any) -> ImageResult:
            classifiers[-1]._seconds = 0.5
            return await super().generate(*arguments)

    monkeypatch.setattr(bot.app, "ClassifierProcess", new_classifier)
    painter = PainterWithShortChecks()
    async with open_moderated_server(tmp_path, painter) as server:
        # Even a server that refuses no score needs a score.
        await server.open_log(age_restricted_threshold=1.0)
        for channel in (server.adult, server.channel):
            told = await server.redraw(channel)
            assert NOT_RUNNING in told or "is not running" in text_of(channel.history()[-1])
            assert pictures_in(channel) == []
        # A source that passed once is not scored again, so that both results meet the fault.
        assert len(painter.requests) == 2 * passes


async def test_nothing_passes_while_the_classifier_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = partial(ClassifierProcess, seconds=0.2, command=("-c", "raise SystemExit(1)"))
    monkeypatch.setattr(bot.app, "ClassifierProcess", process)
    async with open_moderated_server(tmp_path) as server:
        assert NOT_RUNNING in await server.redraw()
        assert server.channel.history() == []
