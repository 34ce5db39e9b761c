"""The model that most tests of the engine use."""

from __future__ import annotations

import pytest

from inference.families.depth2img import Depth2ImgModel
from inference.pipelines import random_tiny


@pytest.fixture
def model() -> Depth2ImgModel:
    return Depth2ImgModel(random_tiny.build())
