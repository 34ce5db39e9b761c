"""Examines a sample of mutmut's mutants: `python -m tests.mutants bot.store`.

`tests/mutants.toml` names the modules and the tests of each package. Each package is examined in a
folder of its own, `mutants/PACKAGE`. The sample is the same in every run, as long as the package
does not change.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SELECTION = Path(__file__).with_suffix(".toml")
SEED = 1
SOURCES = ("bot", "cogs", "inference")
# What the tests read besides the sources.
OTHER_FILES = ("tests", "README.md", ".env.example", "docs", "constraints.txt", "Makefile", "ops")
SETTINGS = """
[tool.mutmut]
source_paths = {sources}
also_copy = {others}
only_mutate = {modules}
pytest_add_cli_args = [
  "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "tests.mutants_plugin",
  "-q", "--timeout=60"
]
pytest_add_cli_args_test_selection = {tests}
timeout_multiplier = 3.0
timeout_constant = 10.0
use_git_change_detection = false
"""
# The exit codes of pytest and of a killed process, as mutmut stores them.
NAMES = {0: "survived", 1: "killed", 3: "killed", 5: "no test", 33: "no test", None: "not run"}


def main() -> None:
    """Run the sample of one package; print the counts, and the mutants that were not detected."""
    packages = tomllib.loads(SELECTION.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", choices=packages)
    parser.add_argument("--number", type=int, default=100, help="of mutants in the sample")
    parser.add_argument("--left", action="store_true", help="run only those not killed before")
    parser.add_argument("--list", action="store_true", help="run nothing: print the last result")
    arguments = parser.parse_args()
    folder = prepare(arguments.package, packages[arguments.package])
    sample = sample_of(folder, packages[arguments.package]["modules"], arguments.number)
    results = results_in(folder)
    wanted = [name for name in sample if not arguments.left or results.get(name) != "killed"]
    if wanted and not arguments.list:
        if "tests_of" in packages[arguments.package]:
            tree = write_changed(folder, wanted)
            command = [sys.executable, "-m", "tests.mutants_by_module", arguments.package, *wanted]
            environment = {**os.environ, "PYTHONPATH": str(tree)}
            subprocess.run(command, cwd=tree, env=environment, check=True)
        else:
            mutmut = Path(sys.executable).with_name("mutmut")
            command = [str(mutmut), "run", "--max-children", "1", *wanted]
            subprocess.run(command, cwd=folder, check=True)
        results = results_in(folder)
    found = Counter(results.get(name, "not run") for name in sample)
    with contextlib.chdir(folder):
        for name in sorted(sample):
            if results.get(name, "not run") != "killed":
                print(f"\n{results.get(name, 'not run')}: {name}\n{change_of(name)}")
    print(f"\n{len(sample)} mutants sampled: {dict(found)}")


def prepare(package: str, selection: dict[str, Any]) -> Path:
    """A folder with links to the sources and mutmut's settings for the package."""
    folder = ROOT / "mutants" / package
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*SOURCES, *OTHER_FILES):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(os.path.relpath(ROOT / name, folder))
    settings = SETTINGS.format(
        sources=list(SOURCES),
        others=list(OTHER_FILES),
        modules=selection["modules"],
        tests=selection.get("tests", []),
    )
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(project + settings, encoding="utf-8")
    return folder


def sample_of(folder: Path, modules: list[str], number: int) -> list[str]:
    """The names of the sampled mutants."""
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.utils.format_utils import get_mutant_name

    names: list[str] = []
    with contextlib.chdir(folder):
        for path in sorted(path for pattern in modules for path in Path().glob(pattern)):
            made = mutate_file_contents(str(path), path.read_text(encoding="utf-8"))
            names += sorted(get_mutant_name(path, name) for name in made.mutant_names)
    return random.Random(SEED).sample(names, min(number, len(names)))


def write_changed(folder: Path, names: list[str]) -> Path:
    """A tree like the repository in which the modules of these mutants have them all."""
    from mutmut.mutation.file_mutation import mutate_file_contents

    tree = folder / "mutants"
    tree.mkdir(exist_ok=True)
    paths = {path_of(name) for name in names}
    changed = {path.parts[0] for path in paths}
    shutil.copy(folder / "pyproject.toml", tree)
    for name in (*SOURCES, *OTHER_FILES):
        if name in changed:
            shutil.copytree(ROOT / name, tree / name, dirs_exist_ok=True)
        elif not (tree / name).is_symlink():
            (tree / name).symlink_to(os.path.relpath(ROOT / name, tree))
    with contextlib.chdir(folder):
        for path in paths:
            made = mutate_file_contents(str(path), path.read_text(encoding="utf-8"))
            (tree / path).write_text(made.code, encoding="utf-8")
    return tree


def path_of(name: str) -> Path:
    """The path of a mutant's module."""
    path = Path(*name.split(".")[:-1])
    return path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py")


def results_in(folder: Path) -> dict[str, str]:
    """Mutant → the result of its last run."""
    results: dict[str, str] = {}
    for meta in (folder / "mutants").rglob("*.meta"):
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        # A mutant that takes too long is detected, too.
        results |= {name: NAMES.get(code, "killed") for name, code in codes.items()}
    return results


def change_of(name: str) -> str:
    """The changed lines."""
    from mutmut.mutation.diff_apply import find_mutant, get_diff_for_mutant

    lines = get_diff_for_mutant(name, path=find_mutant(name).path).splitlines()
    return "\n".join(line for line in lines[2:] if line.startswith(("+", "-")))


if __name__ == "__main__":
    main()
