"""One name, one thing: no two public classes share a name, but those that a kind of plug-in asks for."""

import ast
from collections import defaultdict
from pathlib import Path

PACKAGES = ("jobs", "core", "cluster", "losses")
PLUG_INS = {"Loss", "Method", "Encoder", "Views", "Tracker"}
"""A plug-in is a file: the class in it has the name of its kind; see docs/plug-ins.md."""


def shared_names(root: Path) -> dict[str, list[str]]:
    """The public classes that more than one file defines, and these files."""
    places: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and node.name not in PLUG_INS:
                    places[node.name].append(str(file.relative_to(root)))
    return {name: files for name, files in places.items() if len(files) > 1}


def test_no_two_public_classes_share_a_name(root):
    assert shared_names(root) == {}


def test_a_second_class_of_one_name_is_seen(tmp_path):
    files = {
        "core/a.py": "Task",
        "jobs/b.py": "Task",
        "losses/c.py": "Loss",
        "losses/d.py": "Loss",
        "jobs/e.py": "_Run",
    }
    for file, name in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(f"class {name}:\n    pass\n")
    assert shared_names(tmp_path) == {"Task": ["jobs/b.py", "core/a.py"]}
