"""The fence: who may import whom, and what the process that talks to Discord never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "diffusers", "transformers", "accelerate")


def imports(package: str) -> Iterator[tuple[Path, str]]:
    """(file, imported module) for every import anywhere in a package's files."""
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield path, node.module


def test_inference_knows_nothing_of_discord() -> None:
    for path, module in imports("inference"):
        assert module.split(".")[0] not in ("bot", "cogs", "discord"), path


@pytest.mark.parametrize("package", ["bot", "cogs"])
def test_the_bot_sees_only_the_public_names_of_inference(package: str) -> None:
    for path, module in imports(package):
        assert not module.startswith("inference."), path


@pytest.mark.parametrize("package", ["bot", "cogs"])
def test_no_file_of_the_discord_process_imports_a_model_library(package: str) -> None:
    for path, module in imports(package):
        assert module.split(".")[0] not in HEAVY, path


def test_only_the_composition_root_takes_from_the_cogs() -> None:
    takers = {path.name for path, module in imports("bot") if module.startswith("cogs")}
    assert takers == {"app.py"}


@pytest.mark.parametrize(
    "module", ["bot.cli.run", "bot.app", "bot.cli.check", "bot.cli.render", "inference"]
)
def test_importing_loads_no_model_library(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
