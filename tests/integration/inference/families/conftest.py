"""The model of most tests: a depth-to-image pipeline of tiny size with random weights."""

from __future__ import annotations

from typing import Any

import pytest

from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_tiny


@pytest.fixture(scope="module")
def model() -> Depth2ImgModel:
    pipe: Any = random_tiny.build()
    pipe.set_progress_bar_config(disable=True)
    return Depth2ImgModel(pipe)
