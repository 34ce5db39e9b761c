"""Each error has a plain sentence or two, and can be pickled."""

import pickle
import re

import pytest

from bot.intake import errors
from bot.intake.errors import LinkError, PictureError

PARAMS = {
    "status": 404,
    "limit": 5,
    "seconds": 15.0,
    "mebibytes": 20.0,
    "megapixels": 52.0,
    "format": "SVG",
}
ERRORS = [
    value
    for value in vars(errors).values()
    if isinstance(value, type)
    and issubclass(value, (LinkError, PictureError))
    and value not in (LinkError, PictureError)
]


@pytest.mark.parametrize("error", ERRORS)
def test_each_error_has_a_plain_sentence(error: type[LinkError]) -> None:
    names = set(re.findall(r"{(\w+)", error.text))
    raised = error(**{name: PARAMS[name] for name in names})
    sentence = str(raised)
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert sentence.count(". ") <= 1
    assert len(sentence) < 130
    copy = pickle.loads(pickle.dumps(raised))
    assert (type(copy), str(copy)) == (error, sentence)
