"""The reference is what the program says today; every page is part of the site; extras that are named are there."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib

import pytest

from core.config import plugins as registry
from tests.docs.pages import PAGES, ROOT, name_of


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_fresh():
    # In a process of its own: click keeps the help option that a command was first called with.
    code = "import json, runpy; print(json.dumps(runpy.run_path('docs/generate.py')['pages']()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    pages = json.loads(done.stdout)
    stale = [name for name, text in pages.items() if (ROOT / "docs" / "reference" / name).read_text("utf-8") != text]
    assert len(pages) > 3
    assert stale == [], "run: uv run python docs/generate.py"


def test_an_option_without_a_description_is_seen(generate, tmp_path):
    file = tmp_path / "mine.py"
    text = '"""Mine."""\n\n\nclass Loss:\n    def __init__(self, *, delta: float = 1.0):\n        """Mine.{}"""\n'
    file.write_text(text.format(""))
    with pytest.raises(KeyError, match="delta"):
        generate.descriptions("losses", str(file))
    file.write_text(text.format("\n\n        Args:\n            delta: above 0.\n        "))
    assert generate.descriptions("losses", str(file)) == {"delta": "above 0."}


def test_every_page_stands_in_the_site_s_contents():
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert set(re.findall(r'= "(.+?\.md)"', (ROOT / "zensical.toml").read_text())) == pages


def test_the_page_of_data_names_every_option_and_that_of_methods_every_plug_in():
    data, methods = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("data.md", "methods.md"))
    options = {one.name for name in registry.names("datasets") for one in registry.options("datasets", name)}
    assert {one for one in options if f"`{one}`" not in data} == set()
    named = {name for kind in ("methods", "encoders", "views") for name in registry.names(kind)}
    assert {name for name in named if f"| `{name}`" not in methods} == set()


def test_the_extras_that_pages_name_are_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {
        (name_of(page), name)
        for page in PAGES
        for name in re.findall(r"--extra (\w+)", page.read_text(encoding="utf-8"))
    }
    assert named
    assert {one for one in named if one[1] not in extras} == set()
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [name for name in extras if f"| `{name}` |" not in index] == []


def test_no_page_installs_conclus_from_a_registry():
    """It is on none."""
    assert [
        name_of(page) for page in PAGES if re.search(r"pip install '?conclus", page.read_text(encoding="utf-8"))
    ] == []
