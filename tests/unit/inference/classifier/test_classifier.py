"""The classifier process's protocol, and the models that it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inference.classifier.models import OPEN_NSFW, UnsafeLabelMissing, load
from tests.support.moderation.models import save_classifier
from tests.support.moderation.pictures import suspicious
from tests.support.pictures import photo

ROOT = Path(__file__).parents[4]


def answers(
    name: str, *labels: str, pictures: list[Image.Image], before: str = "pass"
) -> list[dict[str, Any]]:
    """What the process answers to these pictures, after some code. It ends with its input."""
    sent = b""
    for picture in pictures:
        header = {"width": picture.width, "height": picture.height}
        sent += json.dumps(header).encode() + b"\n" + picture.convert("RGB").tobytes()
    code = f"{before}; from inference.classifier.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT), name, *labels],
        input=sent,
        capture_output=True,
        cwd=ROOT,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_picture_gets_its_score_in_order() -> None:
    pictures = [photo(48, 32), suspicious(), photo(20, 30)]
    model = load(OPEN_NSFW, ())
    assert answers(OPEN_NSFW, pictures=pictures) == [
        {"ready": True},
        *({"score": pytest.approx(model.score(picture), abs=1e-6)} for picture in pictures),
    ]


def test_a_model_that_cannot_be_loaded_is_one_answer() -> None:
    without_torch = "import sys; sys.modules['torch'] = None"
    [answer] = answers("some/model", "nsfw", pictures=[photo(20, 30)], before=without_torch)
    assert set(answer) == {"error"}
    assert answer["error"].startswith("ModuleNotFoundError: import of torch halted")


def test_the_score_is_the_probability_of_the_unsafe_labels(tmp_path: Path) -> None:
    save_classifier(tmp_path, ["drawing", "Porn", "hentai"])
    scores = [load(str(tmp_path), [label]).score(photo()) for label in ("drawing", "porn")]
    both = load(str(tmp_path), ["PORN", "hentai"]).score(photo())
    assert all(0 < score < 1 for score in (*scores, both))
    assert scores[0] + both == pytest.approx(1)
    assert scores[1] < both


def test_a_model_without_an_unsafe_label_names_its_labels(tmp_path: Path) -> None:
    save_classifier(tmp_path, ["cat", "dog"])
    with pytest.raises(
        UnsafeLabelMissing, match=r"has the labels cat, dog; none of them is in nsfw\."
    ):
        load(str(tmp_path), ["nsfw"])
