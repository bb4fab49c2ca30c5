"""Plug-ins by file name: `core/methods/cc.py` is the method `cc`.

Names and options are read from the source, so a check of a study file imports neither torch nor the plug-in. A name
with a slash, or one that ends in `.py`, is the path of the user's own file. Any other unknown name is looked up in the
entry-point group `conclus.<kind>`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import shlex
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from core.config import schema
from core.config.annotations import type_of
from core.config.schema import Option
from core.errors import UserError

# The name that a file of each kind defines; its keyword-only parameters are the options in a study file.
ENTRY = {
    "datasets": "load",
    "encoders": "Encoder",
    "views": "Views",
    "methods": "Method",
    "losses": "Loss",
    "trackers": "Tracker",
}
_PACKAGES = {"losses": "losses", "trackers": "jobs.tracking"}
"""The packages of those kinds that are not in `core`, by name: nothing of `jobs` is imported here."""

_AS_WRITTEN = {"losses", "datasets"}
"""The kinds in which results have names with underscores and with hyphens."""
_LARGEST = 2**20
"""The largest size of a plug-in's source, in bytes."""
_allowed: set[str] = set()
"""The sha256 of the content of each plug-in file that may be run in this process."""
_installed: dict[str, str] = {}
"""The sha256 of each module of another distribution, as it was when it was imported."""


def is_path(name: str) -> bool:
    """Whether a plug-in's name is the path of its file."""
    return "/" in name or name.endswith(".py")


@lru_cache(maxsize=16)
def _folder(kind: str) -> Path:
    package = _PACKAGES.get(kind, f"core.{kind}")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the package {package!r} of conclus is missing: install conclus again")
    return Path(spec.submodule_search_locations[0])


@lru_cache(maxsize=16)
def names(kind: str) -> tuple[str, ...]:
    """The plug-ins of a kind, sorted; nothing is imported. Hyphens replace the underscores of file names."""
    own = {path.stem.replace("_", "-") for path in _folder(kind).glob("*.py") if not path.stem.startswith("_")}
    theirs = {point.name for point in metadata.entry_points(group=f"conclus.{kind}")} if _any_entry_points() else set()
    return tuple(sorted(own | theirs))


@lru_cache(maxsize=1)
def _any_entry_points() -> bool:
    """Whether any installed distribution has plug-ins; cached, since it reads the metadata of all distributions."""
    return any(group.startswith("conclus.") for group in metadata.entry_points().groups)


def listed(kind: str, name: str) -> str:
    """A plug-in's name as `names` lists it, so that `gc_atm` and `gc-atm` are one method with one key.

    Losses and data sets keep their spelling: earlier results have both, and the keys of their trials must stay.
    """
    if kind in _AS_WRITTEN or is_path(name) or name in names(kind):
        return name
    return own if (own := name.replace("_", "-")) in names(kind) else name


def source(kind: str, name: str) -> Path:
    """The file that defines a plug-in.

    Raises:
        UserError: there is no such file.
    """
    if is_path(name):
        return _existing(kind, Path(name))
    if own := _own(kind, name):
        return own
    if module := _entry_point(kind, name):
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.origin:
            return Path(spec.origin)
    near = schema.did_you_mean(name, names(kind))
    also = ", or a file of that name in the folder $CONCLUS_DATA" if kind == "datasets" else ""
    raise UserError(
        f"{name!r} is none of the {kind}{near}; known: {', '.join(names(kind))}, or the path of a .py file{also}"
    )


@lru_cache(maxsize=256)
def _own(kind: str, name: str) -> Path | None:
    """The file of a plug-in of conclus."""
    own = _folder(kind) / f"{name.replace('-', '_')}.py"
    return own if own.is_file() else None


@lru_cache(maxsize=256)
def _entry_point(kind: str, name: str) -> str:
    """The module that an installed distribution offers under this name; empty where none does."""
    return next((point.module for point in metadata.entry_points(group=f"conclus.{kind}", name=name)), "")


def _existing(kind: str, path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"the file {path} of {kind} does not exist")
    return path


def digest(kind: str, name: str) -> str:
    """The sha256 of the file of a plug-in that is not one of conclus's own; empty for those.

    Every byte counts, comments too. What the file imports does not.

    Raises:
        UserError: no such plug-in, or its file cannot be read.
    """
    path = source(kind, name)
    if not is_path(name) and path.parent == _folder(kind):
        return ""
    return file_digest(path)


def file_digest(path: Path) -> str:
    """The sha256 of a plug-in's file, whoever named it.

    Raises:
        UserError: it cannot be read.
    """
    return hashlib.sha256(_content(path)).hexdigest()


def options(kind: str, name: str) -> tuple[Option, ...]:
    """The options of a plug-in: its entry's keyword-only parameters, read from the source by `ast`.

    Their descriptions come from `Args:` in the entry's docstring.

    Raises:
        UserError: the plug-in does not exist, its file does not define the entry, or an option has a type or default
            that a study file cannot hold.
    """
    return _options(kind, *_versioned(kind, name))


def _versioned(kind: str, name: str) -> tuple[Path, tuple[int, ...]]:
    """A plug-in's file, and what changes when it is edited: in one process it must not be read as it was.

    Those of conclus are modules, which a process imports once; a plan asks some 25 times for each configuration.
    """
    if not is_path(name) and (own := _own(kind, name)):
        return own, ()
    path = source(kind, name)
    status = path.stat()
    return path, (status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _options(kind: str, path: Path, _version: tuple[int, ...]) -> tuple[Option, ...]:
    arguments, said = _parameters(path, ENTRY[kind])
    return tuple(
        _option(path, argument, default, said.get(argument.arg, ""))
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    )


def _tree(path: Path) -> ast.Module:
    """The syntax tree of a plug-in's source, which is not run.

    Raises:
        UserError: the file cannot be read, or is not Python.
    """
    try:
        return ast.parse(_content(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path} is not a Python file: {str(error) or 'it is nested too deep'}") from error


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes() if path.is_file() and path.stat().st_size <= _LARGEST else None
    except OSError as error:
        raise UserError(f"the plug-in {path} cannot be read: {error.strerror or error}") from error
    if content is None:
        raise UserError(f"the plug-in {path} is not a file of at most {_LARGEST // 2**20} MiB")
    return content


def _parameters(path: Path, entry: str) -> tuple[ast.arguments, dict[str, str]]:
    """The parameters of a file's entry, and their descriptions from its docstrings."""
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef) and node.name == entry:
            return node.args, _said(node)
        if isinstance(node, ast.ClassDef) and node.name == entry:
            return _constructor(node)
    raise UserError(f"{path} does not define {entry!r}, the name that conclus loads from it")


def _constructor(node: ast.ClassDef) -> tuple[ast.arguments, dict[str, str]]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return item.args, _said(node) | _said(item)
    return ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[]), {}


def _said(node: ast.FunctionDef | ast.ClassDef) -> dict[str, str]:
    return schema.descriptions(ast.get_docstring(node))


def _option(path: Path, argument: ast.arg, default: ast.expr | None, description: str) -> Option:
    try:
        type_ = type_of(argument.annotation)
        value = None if default is None else ast.literal_eval(default)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise UserError(
            f"{path}, line {argument.lineno}: the option {argument.arg!r} needs a type that a study file can hold "
            f"(int, float, bool, str, Literal, tuple, one of core.config.schema's) and a literal default: {error}"
        ) from error
    return Option(argument.arg, type_, value, required=default is None, description=description)


def constant(kind: str, name: str, attribute: str, default: Any) -> Any:
    """The literal that a plug-in's class assigns to `attribute`, read from the source; `default` if there is none.

    Raises:
        UserError: the plug-in does not exist, or the value is not a literal.
    """
    return _constant(kind, *_versioned(kind, name), attribute, default)


@lru_cache(maxsize=256)
def _constant(kind: str, path: Path, _version: tuple[int, ...], attribute: str, default: Any) -> Any:
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef) and node.name == ENTRY[kind]:
            for item in node.body:
                if (value := _assigned(item, attribute)) is not None:
                    return _literal(path, attribute, value)
    return default


def _literal(path: Path, name: str, value: ast.expr) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise UserError(
            f"{path}, line {value.lineno}: {name!r} must be a literal, since it is read without running the file"
        ) from error


def _assigned(item: ast.stmt, name: str) -> ast.expr | None:
    """The value that a statement assigns to a name; None if it assigns none."""
    targets = item.targets if isinstance(item, ast.Assign) else [item.target] if isinstance(item, ast.AnnAssign) else []
    is_it = any(isinstance(one, ast.Name) and one.id == name for one in targets)
    return getattr(item, "value", None) if is_it else None


def summary(kind: str, name: str) -> str:
    """The first line of a plug-in's docstring."""
    text = ast.get_docstring(_tree(source(kind, name))) or ""
    return text.partition("\n")[0]


def load(kind: str, name: str) -> Any:
    """Imports a plug-in and returns its entry (a class or a function).

    Raises:
        UserError: the plug-in does not exist, or does not define its entry.
    """
    return function(kind, name, ENTRY[kind])


def function(kind: str, name: str, attribute: str) -> Any:
    """Imports a plug-in and returns its attribute `attribute`.

    Raises:
        UserError: the plug-in does not exist, or does not define the attribute.
    """
    module = _module(kind, name)
    if not hasattr(module, attribute):
        raise UserError(f"{module.__file__} does not define {attribute!r}, which conclus needs of its {kind}")
    return getattr(module, attribute)


def _module(kind: str, name: str) -> Any:
    path = source(kind, name)
    if is_path(name):
        return _load_file(path.resolve())
    if path.parent == _folder(kind):
        return importlib.import_module(f"{_PACKAGES.get(kind, f'core.{kind}')}.{path.stem}")
    return _imported(_entry_point(kind, name), file_digest(path), path)


def _imported(module: str, sha256: str, path: Path) -> Any:
    """An installed module, as its file is now: a process imports it once."""
    if _installed.setdefault(module, sha256) != sha256:
        raise UserError(f"the plug-in {path} was edited after this process imported it: start anew")
    return importlib.import_module(module)


def allow(*digests: str) -> None:
    """Allows this process to run plug-in files with these digests (sha256).

    Results also name plug-ins, and results may come from a stranger. So a file is run only if the user has named it.
    """
    _allowed.update(digests)


def allow_named(*paths: str | Path) -> list[str]:
    """Allows this process to run the files that the user named; returns the sha256 of each.

    Raises:
        UserError: a file cannot be read.
    """
    digests = [file_digest(Path(path)) for path in paths]
    allow(*digests)
    return digests


def checked(path: Path) -> str:
    """The sha256 of a plug-in's file, after a check that it may be run.

    Raises:
        UserError: the file may not be run, or cannot be read.
    """
    return _checked(path)[1]


def _checked(path: Path) -> tuple[bytes, str]:
    content = _content(path)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 not in _allowed:
        raise UserError(
            f"the plug-in {path} is not allowed: you have neither named it nor run a file of this content before. "
            f"Read it, and if you trust it, add --plug-in {shlex.quote(str(path))}"
        )
    return content, sha256


def file_function(path: str, name: str) -> Any:
    """A function or class of the user's own file.

    Raises:
        UserError: the file or the name does not exist, or the file may not be run.
    """
    module = _load_file(Path(path).resolve())
    if not hasattr(module, name):
        raise UserError(f"{path} does not define {name!r}")
    return getattr(module, name)


def _load_file(path: Path) -> Any:
    """Runs the user's own file under a private name, so that it can hide none of ours: the bytes that were checked.

    Each content runs once in a process, an edited file anew.
    """
    content, sha256 = _checked(path)
    module_name = f"conclus_plugin_{path.stem}_{sha256}"
    known = sys.modules.get(module_name)
    if known is not None and known.__file__ == str(path):
        return known
    module = ModuleType(module_name)
    module.__file__ = str(path)
    sys.modules[module_name] = module
    try:
        exec(compile(content, str(path), "exec"), vars(module))  # noqa: S102 - only so do the bytes run that were checked
    except BaseException:
        del sys.modules[module_name]
        raise
    return module
