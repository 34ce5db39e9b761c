"""The command line in the test process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.__main__ import main

ROOT = Path(__file__).parents[4]


@dataclass(frozen=True)
class Done:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


CommandLine = Callable[..., Done]


@pytest.fixture
def bot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandLine]:
    """Runs `python -m bot` in this process, without the developer's own settings.

    A new process would import the bot, and `check` torch, for each command.
    """
    root = logging.getLogger()
    handlers, level, environment = root.handlers[:], root.level, dict(os.environ)

    def run(*arguments: str, cwd: Path = tmp_path, **settings: str) -> Done:
        monkeypatch.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        os.environ.update({"DISCORD_TOKEN": "", "DTYPE": "float32", "DATA_DIR": str(tmp_path)})
        os.environ.update(settings)
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Done(code, out, err)

    yield run
    root.handlers[:] = handlers
    root.setLevel(level)
    os.environ.clear()
    os.environ.update(environment)
