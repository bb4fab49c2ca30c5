"""Where what a person is to see cannot be written: one line, exit code 1, no traceback."""

import subprocess
import sys

import pytest

COMMANDS = ["--help", "methods", "plan --help"]


def conclus(root, words, redirected):
    """The command in a shell: exit code, and both streams."""
    done = subprocess.run(
        ["sh", "-c", f'"$0" "$1" {words} {redirected}', sys.executable, str(root / "conclus.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    ("redirected", "says"), [(">/dev/full", "No space left on device"), (">&-", "standard output is closed")]
)
def test_an_output_that_cannot_be_written_is_one_line(root, words, redirected, says):
    code, _, said = conclus(root, words, redirected)
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("Error: ")
    assert says in said


@pytest.mark.parametrize("redirected", ["2>/dev/full", "2>&-"])
def test_what_needs_no_standard_error_works_without(root, redirected):
    code, shown, _ = conclus(root, "methods", redirected)
    assert code == 0
    assert shown.startswith("datasets")


def test_nobody_who_stops_reading_is_told(root):
    code, shown, said = conclus(root, "methods", "| head -n 1")
    assert (code, shown.count("\n"), said) == (0, 1, "")
