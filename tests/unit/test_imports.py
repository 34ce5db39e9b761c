"""The fence between the process that talks to Discord and the one that owns the device."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "diffusers", "transformers", "accelerate")


@pytest.mark.parametrize("module", ["bot", "bot.config", "bot.delivery", "inference"])
def test_the_discord_process_imports_no_model_library(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
