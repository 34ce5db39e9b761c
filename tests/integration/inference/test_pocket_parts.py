"""The pocket model redraws a part in the requested colour and keeps the rest.

Three pictures of each kind; all of them: `pytest -m slow -s` with this file.
"""

from __future__ import annotations

import json

import pytest

from inference.models import POCKET
from tests.benchmarks.parts import measure, pocket_model
from tests.integration.inference.pocket_sheet import Sheet

PICTURES = 40
LARGEST_DIFFERENCE = 2.0
"""Mean absolute difference to the source outside the part, of 255."""
COLOUR_REACHED = 0.9


@pytest.mark.parametrize(
    "pictures",
    [
        3,
        pytest.param(PICTURES, marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
@pytest.mark.parametrize("setting", ["background", "foreground"])
@pytest.mark.filterwarnings("ignore:In CPU autocast")
def test_a_part_gets_its_colour_and_the_rest_is_kept(setting: str, pictures: int) -> None:
    words = json.loads((POCKET / "vocabulary.json").read_text(encoding="utf-8"))
    sheet = Sheet(words["objects"], words["colours"], words["sample_size"])
    found = measure(pocket_model(), sheet, setting, pictures, control=False)
    print(json.dumps(found, indent=1))
    assert found["largest difference outside"] <= LARGEST_DIFFERENCE
    assert found["colour reached, and by the control"][0] >= COLOUR_REACHED
