"""Prints a sample of mutmut's mutants: `python -m tests.mutants 20 bot.jobs`.

A run of mutmut has to have written `mutants/` before. The sample is the same in every run.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

SEED = 1


def main() -> None:
    """Print the names, one a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int)
    parser.add_argument("prefix", help="of the mutants' names, such as bot.jobs")
    arguments = parser.parse_args()
    names: list[str] = []
    for meta in sorted(Path("mutants").rglob("*.meta")):
        names += sorted(json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"])
    chosen = [name for name in names if name.startswith(arguments.prefix)]
    print(*random.Random(SEED).sample(chosen, min(arguments.number, len(chosen))), sep="\n")


if __name__ == "__main__":
    main()
