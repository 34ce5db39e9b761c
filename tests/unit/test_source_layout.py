"""The layout of the source tree: short modules, small folders, standard names."""

from __future__ import annotations

import ast
import io
import subprocess
import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_LINES = 300
# About a dozen.
MAX_MODULES = 13

# Modules that are still to be split, and folders that are still to be divided. A test below fails
# when an entry is no longer needed. Add no entry: say in the module's first lines why it is long.
LONG_MODULES: set[str] = set()
LARGE_FOLDERS = {
    # One script for each stage of the training, run by hand and in order.
    "inference/pocket/recipe",
}

# Names of earlier versions that were hard to understand, and what replaced them.
OLD_NAMES = {
    "CannotDraw": "RenderFailed",
    "Found": "ImageCandidate",
    "JobForgotten": "JobNotFound",
    "JobGone": "JobNotActive",
    "ModelBroken": "ModelFailed",
    "ModelGone": "ModelFailed",
    "ModelLost": "NoValidPicture",
    "NotANumber": "NonFiniteOutput",
    "NotYours": "NotOwner",
    "Pace": "StepTimeEstimator",
    "Pacer": "EditRateLimiter",
    "PersonError": "UserError",
    "PictureLost": "StoredPictureMissing",
    "Presenter": "JobRenderer",
    "Reaction": "ErrorAction",
    "TooManyOfYours": "UserQueueLimitReached",
    "Verified": "StoredSource",
    "Way": "DeliveryRoute",
    "Ways": "RouteSender",
    "World": "Scenario",
    "forget_job": "erase_job",
    "forget_user": "erase_user",
    "in_discords_words": "permission_names",
    "make_engine": "build_engine",
    "no_checkpoint": "no_failpoint",
    "pacer": "edit_limiter",
    "presenter": "renderer",
    "reaction": "action",
    "reaction_to": "action_for",
    "say_error": "translate_error",
    "stir": "request_dispatch",
    "torn": "partially_stepped",
    "ways": "routes or methods",
    "ways_to": "open_routes",
    "world": "the servers or the scenario",
}
OLD_MODULES = {
    "desk": "delivery_fixture",
    "forgetting": "erasure",
    "house": "minimal_bot",
    "making": "attempt",
    "montage": "compose",
    "office": "running_bot",
    "pacer": "edit_limiter",
    "reactions": "error_policy",
    "victim": "bot_process",
    "ways": "routes",
    "words": "translate",
    "world": "state",
}


def source_files() -> list[Path]:
    """Every Python file that git knows and that exists."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in sorted(listed.stdout.split()) if (ROOT / name).exists()]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def gives_a_reason(path: Path) -> bool:
    """Whether the module's docstring says why the module is longer than the limit."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return f"{MAX_LINES} lines" in docstring


def test_a_module_is_short_or_says_why_it_is_not() -> None:
    too_long = {
        relative(path)
        for path in source_files()
        if len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES
        and not gives_a_reason(path)
    }
    assert too_long - LONG_MODULES == set(), "split it, or explain it in the module's docstring"
    assert LONG_MODULES - too_long == set(), "remove these entries from LONG_MODULES"


def test_a_folder_holds_about_a_dozen_modules_at_most() -> None:
    modules = Counter(
        relative(path.parent)
        for path in source_files()
        if path.name not in ("__init__.py", "conftest.py")
    )
    too_large = {folder for folder, number in modules.items() if number > MAX_MODULES}
    assert too_large - LARGE_FOLDERS == set(), "divide it into packages"
    assert LARGE_FOLDERS - too_large == set(), "remove these entries from LARGE_FOLDERS"


def old_names_in(path: Path) -> set[str]:
    """The old names that a module has or uses, each with its replacement."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    names = {token.string.lstrip("_") for token in tokens if token.type == tokenize.NAME}
    found = {f"{name}, now {OLD_NAMES[name]}" for name in names & OLD_NAMES.keys()}
    if path.stem in OLD_MODULES:
        found.add(f"{path.stem}.py, now {OLD_MODULES[path.stem]}.py")
    return found


def test_no_identifier_or_module_has_an_old_name() -> None:
    found = {relative(path): old_names_in(path) for path in source_files()}
    assert {path: names for path, names in found.items() if names} == {}
