"""The packages of this repository, how many files each has, and who imports whom: `just architecture`.

It runs on any state of the repository, `python tests/contracts/architecture.py [FOLDER]`, and exits with 1 if packages
import one another in a circle or a bound below is passed. A module at the top of `core` or `jobs` counts as a package
of its own.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import grimp

ROOTS = ("jobs", "core", "cluster", "losses")
MOST_PACKAGES = 28
MOST_FILES = 25
ONE_FILE_EACH = "jobs.commands"  # one file is one command: it may hold more
MOST_AT_THE_TOP = {"jobs": 2, "core": 5}


def main(folder: Path) -> int:
    """Prints the packages of a checkout; 1 if there is a circle or a bound is passed."""
    files = [one.relative_to(folder) for root in ROOTS for one in sorted((folder / root).rglob("*.py"))]
    packages = Counter(".".join(one.parent.parts) for one in files)
    sys.path.insert(0, str(folder))
    arrows = imports()
    for package in sorted({*packages, *arrows}):
        print(f"{package:16} {packages[package] or 1:3} files -> {', '.join(sorted(arrows.get(package, ())))}")
    found = circles(arrows)
    print(f"\n{len(packages)} packages, {sum(map(len, arrows.values()))} arrows, {len(found)} circles")
    problems = [f"circle: {', '.join(sorted(one))}" for one in found]
    if len(packages) > MOST_PACKAGES:
        problems.append(f"{len(packages)} packages, more than {MOST_PACKAGES}")
    problems += [
        f"{one} has {n} files, more than {MOST_FILES}"
        for one, n in packages.items()
        if n > MOST_FILES and one != ONE_FILE_EACH
    ]
    problems += [
        f"{packages[top]} files at the top of {top}, more than {most}"
        for top, most in MOST_AT_THE_TOP.items()
        if packages[top] > most
    ]
    print("\n".join(problems))
    return 1 if problems else 0


def imports() -> dict[str, set[str]]:
    """Which packages each package imports."""
    graph = grimp.build_graph(*ROOTS, cache_dir=None)
    arrows = defaultdict[str, set[str]](set)
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            one, other = package_of(importer), package_of(imported)
            if one != other:
                arrows[one].add(other)
    return dict(arrows)


def package_of(module: str) -> str:
    """The first two names of a module in `core` or `jobs`, the first name elsewhere."""
    names = module.split(".")
    return ".".join(names[: 2 if names[0] in MOST_AT_THE_TOP else 1])


def circles(arrows: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Sets of packages of which each imports each other, directly or not."""
    reach = {one: reached(one, arrows) for one in arrows}
    return {frozenset(o for o in reach[one] if one in reach.get(o, ())) for one in arrows if one in reach[one]}


def reached(start: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """The packages that one imports, directly or not."""
    seen, left = set[str](), [start]
    while left:
        new = arrows.get(left.pop(), set()) - seen
        seen |= new
        left += new
    return seen


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
