"""The commits of the hub's repositories: the one of the first download is used from then on."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from inference.model_entry import ExtraRepository, ModelEntry

# In the state folder: repository → commit.
REVISIONS = "revisions.json"

_COMMIT = re.compile(r"[0-9a-f]{40}")

Repository = ModelEntry | ExtraRepository


def revision_of(repository: Repository, state_dir: Path) -> str | None:
    """The remembered commit, else the set revision; None is the repository's main branch."""
    return _read(state_dir).get(_key(repository)) or repository.revision


def remember_commit(state_dir: Path, repository: Repository, commit: str) -> None:
    """Use this commit from now on, unless the repository's revision is a commit itself."""
    if _COMMIT.fullmatch(repository.revision or "") is None:
        _write(state_dir, {**_read(state_dir), _key(repository): commit})


def forget_commits(state_dir: Path, repositories: Iterable[Repository]) -> None:
    """Take the newest commit at the next download."""
    keys = {_key(repository) for repository in repositories}
    revisions = _read(state_dir)
    if keys & revisions.keys():
        _write(state_dir, {key: value for key, value in revisions.items() if key not in keys})


def _key(repository: Repository) -> str:
    source, revision = repository.source, repository.revision
    return f"{source}@{revision}" if revision else source


def _read(state_dir: Path) -> dict[str, str]:
    path = state_dir / REVISIONS
    revisions: dict[str, str] = json.loads(path.read_text()) if path.is_file() else {}
    return revisions


def _write(state_dir: Path, revisions: Mapping[str, str]) -> None:
    state_dir.mkdir(parents=True, exist_ok=True)
    path = state_dir / REVISIONS
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(revisions, indent=2))
    part.replace(path)
