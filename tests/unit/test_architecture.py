"""docs/architecture.md describes the source tree as it is."""

from __future__ import annotations

import re
from pathlib import Path

from tests.unit.test_source_layout import relative, source_files

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"`([^`\n]+)`")
# Folders whose packages have rows of their own.
DIVIDED = ("bot", "inference")


def rows(section: str) -> list[list[str]]:
    """The cells of each row of the table in this section, without its head."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    lines = text.split(f"\n## {section}\n")[1].split("\n## ")[0].splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    return cells[2:]


def named_tests(cell: str) -> list[Path]:
    """The files and folders of tests; a bare name is in the folder of the path before it."""
    named: list[Path] = []
    for code in CODE.findall(cell):
        for word in code.split():
            if word.startswith("tests/"):
                named.append(ROOT / word)
            elif word.endswith(".py"):
                named.append(named[-1].with_name(word))
    return named


def test_every_guarantee_names_tests_that_exist() -> None:
    guarantees = rows("Guarantees")
    assert len(guarantees) >= 15
    for guarantee, _, cell in guarantees:
        named = named_tests(cell)
        assert named, guarantee
        for path in named:
            files = sorted(path.rglob("test_*.py")) if path.is_dir() else [path]
            assert files, f"{guarantee}: {path} has no tests"
            for file in files:
                assert "def test_" in file.read_text(encoding="utf-8"), f"{guarantee}: {file}"


def test_the_list_of_packages_is_complete_and_names_no_other() -> None:
    named = {code.rstrip("/") for first, _ in rows("Packages") for code in CODE.findall(first)}
    assert {name for name in named if not (ROOT / name).exists()} == set()
    packages = {
        f"{top}/{path.relative_to(ROOT / top).parts[0]}"
        for top in DIVIDED
        for path in source_files()
        if path.is_relative_to(ROOT / top) and len(path.relative_to(ROOT / top).parts) > 1
    }
    assert packages - named == set()


def test_every_term_of_the_glossary_is_used_in_the_source() -> None:
    terms = [term for term, _ in rows("Glossary")]
    assert terms == sorted(terms)
    texts = "\n".join(
        path.read_text(encoding="utf-8").lower()
        for path in source_files()
        if relative(path).startswith(("bot/", "cogs/", "inference/"))
    )
    # In a sentence, a name of a variable, or a name of a class.
    forms = {term: [term, term.replace(" ", "_"), term.replace(" ", "")] for term in terms}
    assert [term for term in terms if not any(form in texts for form in forms[term])] == []
