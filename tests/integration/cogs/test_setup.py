"""Loading the cogs registers one handler for every button that a message can show."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from cogs.shared.job_buttons import Action
from tests.support.services import ScriptedService
from tests.support.simulated_discord import open_simulated_discord


async def test_every_action_has_exactly_one_handler(tmp_path: Path) -> None:
    async with open_simulated_discord(tmp_path, ScriptedService()) as discord_sim:
        patterns = list(discord_sim.bot._connection._view_store._dynamic_items)
        for action in Action:
            custom_id = f"redraw:{action}:{'0' * 16}:0"
            assert len([p for p in patterns if p.fullmatch(custom_id)]) == 1, action


def test_importing_a_feature_imports_no_other_feature() -> None:
    features = [
        *("img2img", "edit", "imagine"),
        *("history", "gallery", "queue", "privacy", "defaults", "help"),
    ]
    code = (
        "import importlib, sys\n"
        f"for feature in {features}:\n"
        "    for name in [name for name in sys.modules if name.startswith('cogs')]:\n"
        "        del sys.modules[name]\n"
        "    importlib.import_module(f'cogs.{feature}')\n"
        "    print({name.split('.')[1] for name in sys.modules if name.startswith('cogs.')})\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for feature, line in zip(features, out.stdout.splitlines(), strict=True):
        imported = ast.literal_eval(line)
        assert feature in imported
        assert imported <= {feature, "requests", "shared"}
