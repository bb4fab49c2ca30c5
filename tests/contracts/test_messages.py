"""What messages propose works: every command and option in the source and the pages that a person is told to use."""

import ast
import functools
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest

import conclus

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = set(PROJECT["optional-dependencies"])
SOURCES = [ROOT / "conclus.py", *(file for one in conclus.PACKAGES for file in sorted((ROOT / one).rglob("*.py")))]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("studies/*.yaml")]

CONTEXT = click.Context(conclus.cli)
COMMANDS = {name: conclus.cli.get_command(CONTEXT, name) for name in conclus.cli.list_commands(CONTEXT)}
# What stands in a message for a value that it has at hand: `conclus run {file}`.
HOLE = "X"
IN_CODE = re.compile(r"`conclus ([a-z]+)\b([^`]*)`")
IN_PROSE = re.compile(rf"(?<!`)\bconclus ({'|'.join(COMMANDS)})\b" r"""((?:"(?:\\.|[^"\\])*"|[^`\n;,&("])*)""")
# Options of uv, Ray, Docker, git and click's own; names in style sheets.
OTHERS = {"--extra", "--inexact", "--no-dev", "--generate", "--head", "--no-wait", "--num-cpus", "--num-gpus"}
OTHERS |= {"--shm-size", "--porcelain", "--help", "--faint-line"}
OTHERS |= {"--autoscaling-config", "--block", "--gcs-address"}  # of ray start
SYNC = re.compile(r"\buv sync\b((?: +--[a-z-]+(?: +(?!--)[\w-]+)?)*)")


def texts(file):
    """The texts of a source file, docstrings included; that of an f-string in one piece."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    parts = {id(one) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for one in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(one.value if isinstance(one, ast.Constant) else HOLE for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


@functools.cache
def messages():
    """The texts of all source files, each with the file's name: seconds, for the process alone that needs them."""
    return [(file.name, text) for file in SOURCES for text in texts(file)]


@functools.cache
def pages():
    return [(file.name, file.read_text(encoding="utf-8")) for file in PAGES]


def refused(name, rest, *, whole):
    """Why the command line would not be taken; None if it would. Of prose only the options are looked at."""
    words = shlex.split(re.sub(r"[\[\]…]|[.:] *$", " ", rest), comments=True)
    command = COMMANDS.get(name)
    while isinstance(command, click.Group) and words and (whole or words[0] in command.commands):
        command = command.commands.get(words.pop(0))
    if command is None:
        return "there is no such command"
    if not whole:
        known = {flag for option in command.params for flag in option.opts}
        unknown = [one for one in words if one.startswith("--") and one.partition("=")[0] not in known]
        return f"there is no option {unknown[0]}" if unknown else None
    parser = command.make_parser(click.Context(command))
    try:
        left = parser.parse_args(list(words))[1]
    except click.BadOptionUsage:  # an option is named, and its value left out
        left = parser.parse_args([*words, HOLE])[1]
    except click.UsageError as error:
        return error.format_message()
    return f"{left} is too much" if left else None


def wrong_commands(said):
    found = [(file, *one, True) for file, text in said for one in IN_CODE.findall(text)]
    found += [(file, *one, False) for file, text in said for one in IN_PROSE.findall(text)]
    assert len(found) > 40
    lines = [(f"{file}: conclus {name}{rest}", refused(name, rest, whole=whole)) for file, name, rest, whole in found]
    return [f"{line}: {why}" for line, why in lines if why]


@pytest.mark.parametrize("said", [messages, pages], ids=["messages", "pages"])
def test_every_command_that_is_proposed_is_one(said):
    assert wrong_commands(said()) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("see `conclus plam STUDY`", "no such command"),
        ("use `conclus run STUDY --wrokers 2`", "No such option"),
        ("use: conclus run STUDY --wrokers 2", "no option --wrokers"),
        ("`conclus queue remove 3`", "no such command"),
        ("`conclus diff A B C D --study`", None),
        ("`conclus resume A B`", "too much"),
    ],
)
def test_one_that_is_none_is_seen(text, why):
    found = wrong_commands([*messages(), ("new.py", text)])
    assert [why in one for one in found] == ([True] if why else [])


def flags(command):
    """The options of a command and of those below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return {flag for one in command.params for flag in one.opts}.union(*map(flags, below))


def test_every_option_that_is_proposed_is_one():
    known = OTHERS.union(*map(flags, COMMANDS.values()))
    said = {(file, flag) for file, text in messages() for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)}
    assert not {one for one in said if one[1] not in known}


def extras_of(options):
    return set(re.findall(r"--extra +([\w-]+)", options)) - {"NAME"}


def wrong_installs(said):
    """What cannot be installed so (conclus is not on PyPI), would take away extras, or add the tools for tests."""
    found = [f"{file}: {one}" for file, text in said for one in re.findall(r"pip install[^`\n]*[^/]conclus\[", text)]
    synced = [(file, options) for file, text in said for options in SYNC.findall(text)]
    wrong = [
        (file, one)
        for file, one in synced
        if extras_of(one) - EXTRAS or ("--extra" in one and not {"--inexact", "--no-dev"} <= {*one.split()})
    ]
    return found + [f"{file}: uv sync{options}" for file, options in wrong]


def test_what_messages_propose_to_install_can_be():
    assert wrong_installs(messages()) == []
    proposed = {extra for _, text in messages() for options in SYNC.findall(text) for extra in extras_of(options)}
    assert proposed == EXTRAS


def test_pages_propose_to_install_what_can_be():
    # The change log tells what older versions said.
    assert wrong_installs([(file, text) for file, text in pages() if file != "CHANGELOG.md"]) == []


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("needs duckdb: pip install 'conclus[sql]'", False),
        ("needs duckdb: uv sync --extra sqll --inexact", False),
        ("needs duckdb: uv sync --extra sql", False),
        ("needs duckdb: uv sync --extra sql --inexact", False),
        ("needs duckdb: uv sync --extra sql --inexact --no-dev", True),
        ("needs both: `uv sync --extra sql --extra plot --inexact --no-dev`.", True),
    ],
)
def test_a_wrong_install_is_seen(text, right):
    assert (wrong_installs([("new.py", text)]) == []) == right
