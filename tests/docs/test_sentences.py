"""Every sentence that is printed on a conclusion is in one list, with what it means and the test that backs it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import audit
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "reading-conclusions.md"
FEWEST_WORDS = 4
# Modules of jobs.present and jobs.analysis that print nothing on a conclusion.
OTHERS = {
    "bar": "how far a run is",
    "chosen": "which metric the study names",
    "clusters": "what clusters hold; docs/clusters.md",
    "health": "docs/health.md",
    "inputs": "wrong arguments",
    "names": "how metrics and parameters are called; docs/labels.md",
    "notices": "what is sent to people; docs/trackers.md",
    "options": "help of options",
    "origin": "docs/results.md",
    "output": "where a file was written",
    "phrases_en": "docs/health.md",
    "phrases_zh": "docs/health.md",
    "status": "docs/health.md",
    "status_advice": "docs/health.md",
    "status_page": "docs/health.md",
    "status_text": "docs/health.md",
    "student": "numbers only",
    "tables": "how tables are drawn",
    "trial_health": "docs/health.md",
    "visible": "how control characters are shown",
}
_ROW = re.compile(r"^\| (?P<said>.+) \| (?P<means>.+) \| (?P<backed>.+) \|$", re.MULTILINE)


def modules() -> list[Path]:
    """The modules that print sentences on conclusions."""
    found = [file for name in ("analysis", "present") for file in sorted((ROOT / "jobs" / name).glob("*.py"))]
    return [file for file in found if file.stem not in {*OTHERS, "__init__"}]


def sentences(source: str) -> Iterator[str]:
    """The texts of four words or more in a module, without docstrings and errors; … stands for what is filled in."""
    tree = ast.parse(source)
    passed: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            passed |= {one.value for one in node.body if isinstance(one, ast.Expr)}
        if isinstance(node, ast.Raise | ast.Subscript):
            passed |= set(ast.walk(node))
        if isinstance(node, ast.JoinedStr):
            passed |= {*node.values}
    for node in ast.walk(tree):
        if node in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(one.value if isinstance(one, ast.Constant) else "…" for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        else:
            continue
        if len(re.findall(r"[A-Za-z]\S*", text)) >= FEWEST_WORDS:
            yield " ".join(text.split())


def listed() -> dict[str, str]:
    """What backs each sentence of the page."""
    rows = [row for row in _ROW.finditer(PAGE.read_text(encoding="utf-8")) if row["said"] not in {"printed", "---"}]
    assert len({row["said"] for row in rows}) == len(rows), "a sentence stands twice"
    return {row["said"].replace("\\|", "|"): row["backed"] for row in rows}


def test_every_sentence_is_on_the_page_and_no_other():
    printed = {text for file in modules() for text in sentences(file.read_text(encoding="utf-8"))}
    assert len(printed) > 50
    assert printed - listed().keys() == set(), "say in docs/reading-conclusions.md what they mean and what backs them"
    assert listed().keys() - printed == set(), "no module prints them"


def test_what_backs_a_sentence_is_there():
    claims = {one.what for one in audit.claims()}
    for said, backed in listed().items():
        found = re.fullmatch(r"`(?:audit\.py: (?P<claim>.+)|(?P<file>[\w/]+\.py)::(?P<test>test_\w+))`", backed)
        assert found, f"{said}: {backed}"
        if found["claim"]:
            assert found["claim"] in claims, said
        else:
            text = (ROOT / "tests" / found["file"]).read_text(encoding="utf-8")
            assert f"def {found['test']}(" in text, f"{said}: {backed}"


def test_modules_that_print_nothing_on_a_conclusion_are_there():
    names = {file.stem for name in ("analysis", "present") for file in (ROOT / "jobs" / name).glob("*.py")}
    assert OTHERS.keys() <= names


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('x = f"Over the {n} best configurations."', ["Over the … best configurations."]),
        ('"""A docstring of many words."""\nraise E(f"an error of {many} more words")', []),
        ('x = "too few words"\ny = ("parts of one " "sentence are one")', ["parts of one sentence are one"]),
    ],
)
def test_a_new_sentence_is_seen(source, expected):
    assert list(sentences(source)) == expected
