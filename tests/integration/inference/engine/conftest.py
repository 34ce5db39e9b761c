"""The model that most tests of the engine use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from inference.families.depth2img import Depth2ImgModel
from tests.support.tiny_models import shared_model


@pytest.fixture
def model() -> Iterator[Depth2ImgModel]:
    with shared_model() as made:
        yield made
