"""Each setting that a model of the catalogue has can be given."""

from __future__ import annotations

from typing import get_args

from cogs.img2img._cog import Img2Img
from inference import MODELS, Option


def test_the_command_has_an_option_for_each_setting_of_a_model() -> None:
    names = {parameter.name for parameter in Img2Img.img2img.parameters}
    assert set(get_args(Option)) <= names
    assert frozenset().union(*(entry.options for entry in MODELS.values())) <= names
