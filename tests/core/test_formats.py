"""Data as people have it: each kind of docs/data-formats.md is made in its real format, read, and broken."""

import json
import re
from pathlib import Path

import pytest
import yaml

from core.config.schema import Mistakes
from core.config.trial import read_plug_in
from core.training.data_cache import read
from tests.core import array_kinds, document_kinds, image_kinds, scene_kinds, table_kinds, view_kinds

# Each list is in a file of its own, by who reads it.
KINDS = (
    *image_kinds.KINDS,
    *array_kinds.KINDS,
    *table_kinds.KINDS,
    *scene_kinds.KINDS,
    *view_kinds.KINDS,
    *document_kinds.KINDS,
)
BROKEN = [
    pytest.param(kind, broken, id=f"{kind.title}: {name}") for kind in KINDS for name, broken in kind.broken.items()
]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "data-formats.md"


def title(kind):
    return kind.title


@pytest.fixture(autouse=True)
def _in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def shown(command, data):
    """What `conclus data` says of a study's `data:`."""
    options = dict(yaml.safe_load(data))
    path = options.pop("path")
    return command("data", path, *(f"--set={key}={json.dumps(value)}" for key, value in options.items()))


@pytest.mark.parametrize("kind", KINDS, ids=title)
def test_what_is_read_is_what_was_written(kind, tmp_path, command):
    kind.make(tmp_path)
    mistakes = Mistakes()
    plug_in = read_plug_in("datasets", yaml.safe_load(kind.data), ("data",), mistakes)
    assert not mistakes.found
    kind.check(read(plug_in))
    code, out, err = shown(command, kind.data)
    assert code == 0, err
    assert out.splitlines()[0] == kind.line


@pytest.mark.parametrize(("kind", "broken"), BROKEN)
def test_what_is_broken_is_refused_in_one_line(kind, broken, tmp_path, command):
    kind.make(tmp_path)
    broken.make(tmp_path)
    code, out, err = shown(command, broken.data or kind.data)
    assert (code, out) == (2, ""), err
    (line,) = err.splitlines()
    assert line.startswith("Error: ")
    assert re.search(broken.said, line), line


def rows():
    """The cells of each row of the page's table; the marks of code around a whole cell are left out."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("kind", KINDS, ids=title)
def test_the_page_has_its_row(kind):
    assert [kind.title, kind.data, kind.line] in rows()


def test_each_kind_has_three_broken_siblings():
    assert [kind.title for kind in KINDS if set(kind.broken) < {"cut short", "wrong type", "ambiguous"}] == []
