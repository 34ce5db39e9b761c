"""The borders of tiles are not seen in pictures of the pocket model.

Prints its figures; takes some minutes: `pytest -m slow -s` with this file.
"""

from __future__ import annotations

import json

import pytest

from inference.models import POCKET
from tests.benchmarks.parts import pocket_model
from tests.benchmarks.tiles import seams
from tests.integration.inference.pocket_sheet import Sheet

LIMIT = 1.05
"""The energy of the borders is at most 5 % higher than that of the lines beside them."""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("ignore:In CPU autocast")
def test_the_borders_of_tiles_have_the_energy_of_the_lines_beside_them() -> None:
    words = json.loads((POCKET / "vocabulary.json").read_text(encoding="utf-8"))
    sheet = Sheet(words["objects"], words["colours"], words["sample_size"])
    found = seams(pocket_model(), sheet, 20)
    print(json.dumps(found, indent=1))
    assert found["blended"]["ratio"] <= LIMIT
    # The figure sees borders: tiles that were put side by side fail.
    assert found["side by side"]["ratio"] > LIMIT
