"""Runs mutants with the tests of their module: for a package whose tests take minutes.

mutmut runs all tests of a package twice before the first mutant. Here each mutant runs in a copy
of a process that has imported the tests, with the tests that `tests_of` in `tests/mutants.toml` has
for the longest matching path. `tests.mutants` starts it in the folder with the changed modules.
"""

from __future__ import annotations

import os
import signal
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.mutants import path_of

OPTIONS = ["-p", "no:cacheprovider", "-p", "no:xdist", "-p", "tests.mutants_plugin", "-q"]
# For one mutant, in seconds.
LIMIT_SECONDS = 600
# As mutmut stores a mutant that took too long.
TIMED_OUT = 36


def main() -> None:
    """Run the mutants that the command line names after the package; store their exit codes."""
    from mutmut.mutation.data import SourceFileMutationData

    package, *names = sys.argv[1:]
    selection = tomllib.loads(Path("tests/mutants.toml").read_text(encoding="utf-8"))
    tests_of: dict[str, list[str]] = selection[package]["tests_of"]
    every = sorted({test for name in names for test in tests_for(name, tests_of)})
    os.environ["MUTANT_UNDER_TEST"] = ""
    # This imports them and the program.
    if run(["--collect-only", "-qqq", *every]):
        raise SystemExit("The tests cannot be imported.")
    for number, name in enumerate(names, 1):
        path = path_of(name)
        data = SourceFileMutationData(path=path)
        data.meta_path = Path(f"{path}.meta")
        data.load()
        data.exit_code_by_key[name] = exit_code_of(name, tests_for(name, tests_of))
        data.save()
        print(f"{number} of {len(names)}: {name}: {data.exit_code_by_key[name]}", flush=True)


def tests_for(name: str, tests_of: Mapping[str, list[str]]) -> list[str]:
    """The tests of the longest path that the mutant's module begins with."""
    path = str(path_of(name))
    return tests_of[max((each for each in tests_of if path.startswith(each)), key=len)]


def exit_code_of(name: str, tests: Sequence[str]) -> int:
    """pytest's exit code in a copy of this process that has the change."""
    child = os.fork()
    if child == 0:
        os.environ["MUTANT_UNDER_TEST"] = name
        signal.alarm(LIMIT_SECONDS)
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os._exit(run(["-x", *tests]))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return TIMED_OUT if code == -signal.SIGALRM else code


def run(arguments: Sequence[str]) -> int:
    """Run pytest in this process."""
    return int(pytest.main([*OPTIONS, *arguments]))


if __name__ == "__main__":
    main()
