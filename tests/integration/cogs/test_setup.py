"""Loading the cogs registers one handler for every button that a message can show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cogs.shared.job_buttons import Action
from tests.support.services import ScriptedService
from tests.support.simulated_discord import open_simulated_discord


async def test_every_action_has_exactly_one_handler(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService()) as discord_sim:
        patterns = list(discord_sim.bot._connection._view_store._dynamic_items)
        for action in Action:
            custom_id = f"redraw:{action}:{'0' * 16}:0"
            assert len([p for p in patterns if p.fullmatch(custom_id)]) == 1, action


@pytest.mark.parametrize(
    "feature", ["img2img", "history", "gallery", "queue", "privacy", "defaults", "help"]
)
def test_importing_a_feature_imports_no_other_feature(feature: str) -> None:
    code = (
        f"import sys, cogs.{feature}; "
        "print({name.split('.')[1] for name in sys.modules if name.startswith('cogs.')})"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert eval(out.stdout) <= {feature, "requests", "shared"}
