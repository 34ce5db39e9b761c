"""The documents name files, commands and sentences that exist."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("inference/*/*.md"))
    # It also names what earlier versions had.
    if path.name != "CHANGELOG.md"
)
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")
CODE = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^```sh\n(.+?)^```", re.DOTALL | re.MULTILINE)
SLOW = re.compile(r"pytest\.mark\.slow\b")
PATH = re.compile(r"(?:bot|cogs|inference|tests|docs)(?:/[\w.]+)*/?")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_linked_or_named_file_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    linked = [
        (ROOT / document).parent / target
        for target in LINK.findall(text)
        if "://" not in target and not target.startswith("mailto:")
    ]
    # Also the arguments of commands.
    code = "\n".join([*CODE.findall(text), *BLOCK.findall(text)])
    named = [ROOT / word for word in code.split() if PATH.fullmatch(word)]
    assert [str(path) for path in [*linked, *named] if not path.exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_module_that_a_command_runs_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    modules = re.findall(r"python -m ((?:bot|inference|tests)[\w.]*)", text)
    paths = [ROOT / name.replace(".", "/") for name in modules]
    missing = [
        path
        for path in paths
        if not ((path / "__main__.py").exists() or path.with_suffix(".py").exists())
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    code = "\n".join([*CODE.findall(text), *BLOCK.findall(text)])
    named = set(re.findall(r"\bmake ([a-z]+)\b", code))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert named - set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE)) == set()


def test_every_slow_test_has_its_command_in_the_documents() -> None:
    text = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    slow = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if SLOW.search(path.read_text(encoding="utf-8"))
    }
    assert len(slow) >= 10
    named = {word for code in CODE.findall(text) if "-m " in code for word in code.split()}
    assert slow - named == set()


def texts_of_the_program() -> str:
    """Every string of the program, the parts of one f-string joined with a `{}` for each value."""
    texts = []
    for package in ("bot", "cogs", "inference"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in node.values]
                    texts.append("".join(str(part) for part in parts))
    return "\n".join(texts)


def test_the_messages_in_the_readme_are_those_of_the_program() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## When something fails")[1].split("\n## ")[0]
    symptoms = [line.split("|")[1] for line in section.splitlines() if line.startswith("| ")]
    quoted = [message for symptom in symptoms for message in re.findall(r'"([^"]+)"', symptom)]
    texts = texts_of_the_program()
    assert len(quoted) >= 5
    # An ellipsis stands for a value.
    patterns = {message: ".{1,40}".join(map(re.escape, message.split("…"))) for message in quoted}
    assert [quote for quote, pattern in patterns.items() if not re.search(pattern, texts)] == []


def test_no_text_has_words_that_readers_stumbled_over() -> None:
    """In documents, code, settings and the English locale."""
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "*.md",
            "*.py",
            "*.toml",
            "*.yml",
            "*.yaml",
            ".env.example",
            "Makefile",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    english = [name for name in listed if "/locales/" not in name or name.endswith("en.toml")]
    words = re.compile(r"\b(whoever|anew|strangers?|nobody|mends?|for ever)\b", re.IGNORECASE)
    found = {
        f"{name}:{number}: {match[0]}"
        for name in english
        if (ROOT / name).exists() and ROOT / name != Path(__file__)
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if (match := words.search(line))
    }
    assert found == set()
