"""A module that could post a stored picture checks it for the channel first."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Reading a stored picture, or making a file for Discord.
POSTING = re.compile(r"pictures\.get\(|\bdiscord\.File\(|\bread_file\(")
NO_POSTS = {
    "bot/delivery/message.py": "makes the files of what delivery and the cogs have checked",
    "bot/moderation/job_checks.py": "is the check",
    "bot/runner/job_inputs.py": "gives the pictures to the engine",
    "bot/store/picture_files.py": "reads the files",
    "bot/store/rows.py": "a dictionary of that name",
    "cogs/img2img/_selected.py": "reads a picture for a request, or for a check",
    "cogs/moderation/_cog.py": "the record as JSON",
    "cogs/moderation/_report.py": "thumbnails for moderators, as spoilers",
    "cogs/privacy/_archive.py": "the user's own data, for them alone",
    "cogs/privacy/_cog.py": "the user's own data, for them alone",
    "cogs/settings/_cog.py": "the settings as JSON",
}


def modules() -> dict[str, str]:
    paths = [path for name in ("bot", "cogs") for path in (ROOT / name).rglob("*.py")]
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def test_every_module_that_could_post_a_picture_checks_it() -> None:
    posting = {name for name, text in modules().items() if POSTING.search(text)}
    unchecked = {name for name in posting if ".check_post(" not in modules()[name]}
    assert unchecked == NO_POSTS.keys()
