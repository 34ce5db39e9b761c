"""The classifier process: real scores, and no score at all from one that hangs or breaks."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from bot.moderation.detectors import classifier as module
from bot.moderation.detectors.classifier import ClassifierProcess, ClassifierUnavailable
from inference.classifier.models import load
from tests.support.moderation.models import save_classifier
from tests.support.moderation.pictures import as_picture, suspicious
from tests.support.pictures import photo

# A process that reads the protocol and answers by the picture's width.
CHILD = """
import json, os, sys, time
print('{"ready": true}', flush=True)
while line := sys.stdin.buffer.readline():
    header = json.loads(line)
    sys.stdin.buffer.read(3 * header["width"] * header["height"])
    match header["width"]:
        case 1: time.sleep(60)
        case 2: os._exit(1)
        case 3: os.kill(os.getpid(), 11)
        case 4: print('{"score": NaN}', flush=True)
        case 5: print('{"score": Infinity}', flush=True)
        case 6: print('{"score": -0.1}', flush=True)
        case 7: print('{"score": "low"}', flush=True)
        case 8: print('{"score": true}', flush=True)
        case 9: print('[0.1]', flush=True)
        case 10: print('0.1', flush=True)
        case 11: print('not JSON', flush=True)
        case 12: print('{"score": null}', flush=True)
        case 13: print("[" * 100000, flush=True)
        case 14: print('{"score": 1.1}', flush=True)
        case _: print('{"score": 0.25}', flush=True)
"""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.0)


async def test_harmless_pictures_score_low_and_suspicious_ones_high() -> None:
    async with ClassifierProcess("open-nsfw", seconds=200.0) as classifier:
        assert await classifier.score(as_picture(photo(512, 384))) < 0.2
        assert await classifier.score(as_picture(suspicious())) > 0.8


@pytest.mark.parametrize("width", range(1, 15))
async def test_a_broken_classifier_gives_no_score_and_is_replaced(
    width: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with ClassifierProcess("", seconds=60.0, command=("-c", CHILD)) as classifier:
        assert await classifier.score(as_picture(photo(20, 4))) == 0.25
        if width == 1:
            # The child never answers.
            classifier._seconds = 0.2
        with pytest.raises(ClassifierUnavailable):
            await classifier.score(as_picture(photo(width, 4)))
        classifier._seconds = 60.0
        assert await classifier.score(as_picture(photo(20, 4))) == 0.25
    ends = [message for message in caplog.messages if "was ended" in message]
    assert len(ends) == 1
    assert re.fullmatch(r"The image classifier was ended: \w+Error", ends[0])


async def test_ending_a_process_that_has_ended_is_no_error() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    assert await process.wait() == 0
    await module._end(process)
    assert process.returncode == 0


async def test_a_process_has_ended_when_its_end_was_cancelled() -> None:
    """Its transport would otherwise outlive the event loop."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=PIPE)
    ending = asyncio.create_task(module._end(process))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert process.returncode == -signal.SIGKILL


# Answers when `answer` exists, and says with `asked` that it has read the picture.
LATE = """
            open(f"{sys.argv[-1]}/asked", "x").close()
            while not os.path.exists(f"{sys.argv[-1]}/answer"):
                time.sleep(0.01)
            print('{"score": 0.9}', flush=True)"""


async def test_a_cancelled_check_does_not_give_its_score_to_the_next_picture(
    tmp_path: Path,
) -> None:
    answers_late = CHILD.replace(" time.sleep(60)", LATE)
    command = ("-c", answers_late)
    async with ClassifierProcess(str(tmp_path), seconds=60.0, command=command) as classifier:
        await classifier.score(as_picture(photo(20, 4)))
        late = asyncio.create_task(classifier.score(as_picture(photo(1, 4))))
        while not (tmp_path / "asked").exists():  # noqa: ASYNC110 - made by another process
            await asyncio.sleep(0.01)
        late.cancel()
        (tmp_path / "answer").touch()
        assert await classifier.score(as_picture(photo(20, 4))) == 0.25


@pytest.mark.parametrize("child", ["raise SystemExit(1)", "import time; time.sleep(60)"])
async def test_there_is_no_score_while_the_process_does_not_start(child: str) -> None:
    async with ClassifierProcess("", seconds=0.2, command=("-c", child)) as classifier:
        with pytest.raises(ClassifierUnavailable):
            await classifier.score(as_picture(photo(20, 4)))


async def test_more_pictures_than_may_wait_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_LIMIT", 2)
    async with ClassifierProcess("", seconds=0.5, command=("-c", CHILD)) as classifier:
        hanging = [asyncio.create_task(classifier.score(as_picture(photo(1, 4)))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ClassifierUnavailable, match="waiting"):
            await classifier.score(as_picture(photo(20, 4)))
        await asyncio.gather(*hanging, return_exceptions=True)


async def test_the_event_loop_goes_on_while_a_picture_is_scored() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with ClassifierProcess("open-nsfw", seconds=200.0) as classifier:
        picture = as_picture(photo(512, 512))
        await classifier.score(picture)
        counting = asyncio.create_task(count())
        await classifier.score(picture)
        counting.cancel()
    assert turns > 100


async def test_a_model_of_transformers_is_scored_by_its_unsafe_label(tmp_path: Path) -> None:
    save_classifier(tmp_path, ["normal", "nsfw"])
    expected = load(str(tmp_path), ["nsfw"]).score(photo())
    assert abs(expected - 0.5) > 1e-4, "this test could not tell the labels apart"
    async with ClassifierProcess(str(tmp_path), ("NSFW",), seconds=200.0) as classifier:
        score = await classifier.score(as_picture(photo()))
    assert score == pytest.approx(expected, abs=1e-6)


# Torch cannot be imported, as on a machine that has only the bot.
WITHOUT_TORCH = (
    "import sys; sys.modules['torch'] = None; sys.path.insert(0, sys.argv[1]); "
    "from inference.classifier.main import main; main()"
)


async def test_a_model_that_cannot_be_loaded_is_not_used_and_its_error_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = ("-c", WITHOUT_TORCH)
    async with ClassifierProcess("a/model", ("nsfw",), seconds=0.2, command=command) as classifier:
        async with asyncio.timeout(120):
            while "did not start: ModuleNotFoundError: import of torch halted" not in caplog.text:
                with pytest.raises(ClassifierUnavailable):
                    await classifier.score(as_picture(photo(20, 4)))
