"""The file of a model's weights: where it lies, and the hash of its content, which is part of a trial's identity.

The module imports nothing heavy.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path, PurePosixPath

from core.data.dataset import content_hash
from core.errors import UserError

KEY = "encoder.weights"
"""The key of a trial that names such a file. Not the name but the content of the file is part of the trial's key."""


def in_package(named: str) -> tuple[str, str] | None:
    """The package and the path in it of `PACKAGE:FILE`, a file that comes with an installed package; else None."""
    package, colon, file = named.partition(":")
    return (package, file) if colon and package.isidentifier() and len(package) > 1 else None


def located(named: str) -> Path:
    """The file that a study names: a path, or `PACKAGE:FILE`. No package is imported.

    Raises:
        UserError: there is no such file.
    """
    path = Path(named)
    if inside := in_package(named):
        package, file = inside
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"trial.{KEY}: the package {package} is not installed: install it, or name a file")
        if ".." in PurePosixPath(file).parts:
            raise UserError(f"trial.{KEY}: {named} leads out of the package {package}: name a file in it")
        path = Path(spec.submodule_search_locations[0]) / file
    try:
        is_there = path.is_file()
    except ValueError:  # It holds a NUL.
        is_there = False
    if not is_there:
        raise UserError(
            f"trial.{KEY}: there is no file {named}: give the path of a file of weights on this machine, .safetensors "
            "or one of torch.save, or PACKAGE:FILE of an installed package"
        )
    return path


def digest(named: str) -> str:
    """The sha256 of the content of a file of weights, which is hashed again only when the file changes.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    return content_hash(located(named))
