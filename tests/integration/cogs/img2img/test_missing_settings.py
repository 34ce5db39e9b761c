"""Requests with settings that the model does not have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.services import ScriptedService
from tests.support.simulated_discord import SimulatedDiscord, open_simulated_discord
from tests.support.simulated_users import CAT, press, redraw, reply_of, slash


@pytest_asyncio.fixture
async def sim(tmp_path: Path) -> AsyncIterator[SimulatedDiscord]:
    async with open_simulated_discord(tmp_path, ScriptedService()) as opened:
        yield opened


def have_strength_only(sim: SimulatedDiscord, patch: pytest.MonkeyPatch) -> None:
    """Leave the model one setting."""
    models = sim.bot.services.models
    model = replace(models.default, options=frozenset({"strength"}))
    patch.setattr(type(models), "for_task", lambda *_: model)
    patch.setattr(type(models), "with_task", lambda *_: [model])


@pytest.mark.parametrize(
    ("given", "setting"),
    [
        ({"image": CAT, "part": "background"}, "part"),
        ({"image": CAT, "mask": CAT}, "mask"),
        ({"image": CAT, "structure": CAT}, "structure"),
        ({"structure": CAT}, "structure"),
    ],
)
async def test_a_setting_is_refused_by_its_name(
    sim: SimulatedDiscord,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, object],
    setting: str,
) -> None:
    have_strength_only(sim, monkeypatch)
    result = await slash(sim.alice, sim.channel, "img2img", prompt="snow", **given)
    assert f"The model noise has no setting `{setting}`" in reply_of(result)


@pytest.mark.parametrize("setting", ["mask", "structure"])
async def test_the_pictures_of_an_earlier_request_are_settings_as_well(
    sim: SimulatedDiscord, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    given: dict[str, Any] = {setting: CAT}
    await redraw(sim, **given)
    have_strength_only(sim, monkeypatch)
    result = await press(sim, sim.alice, sim.last, "Again")
    assert f"The model noise has no setting `{setting}`" in reply_of(result)
