"""The classifier process: reads pictures from stdin, writes scores to stdout, ends with its input.

Arguments: the directory of this source tree, the model's name, and the unsafe labels. Each request
is a line of JSON with width and height, then the RGB pixels; each answer is a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from typing import BinaryIO

from PIL import Image

from inference.classifier.models import load


def main() -> None:
    """Load the model, say so, and answer until the input ends."""
    _root, name, *unsafe_labels = sys.argv[1:]
    answers = _own_stdout()
    try:
        model = load(name, unsafe_labels)
    except Exception as error:  # noqa: BLE001 - whatever a library raises, the bot's log gets it
        _write(answers, {"error": f"{type(error).__name__}: {error}"})
        return
    _write(answers, {"ready": True})
    while line := sys.stdin.buffer.readline():
        header = json.loads(line)
        width, height = header["width"], header["height"]
        pixels = sys.stdin.buffer.read(3 * width * height)
        image = Image.frombytes("RGB", (width, height), pixels)
        _write(answers, {"score": model.score(image)})


def _own_stdout() -> BinaryIO:
    """The stream for answers; what a library prints goes to stderr instead."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _write(answers: BinaryIO, answer: dict[str, object]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()
