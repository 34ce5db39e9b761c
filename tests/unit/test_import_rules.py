"""Which module may import which. The contracts are in pyproject.toml, `[tool.importlinter]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL_LIBRARIES = ("torch", "diffusers", "transformers", "accelerate")


def test_the_import_contracts_hold() -> None:
    """In a process of its own: import-linter turns off all loggers that exist."""
    code = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "module", ["bot.cli.run", "bot.app", "bot.cli.check", "bot.cli.render", "inference"]
)
def test_importing_loads_no_model_library(module: str) -> None:
    """The contracts cover direct imports only; this covers all that happen at import time."""
    code = f"import sys, {module}; print([m for m in {MODEL_LIBRARIES!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
