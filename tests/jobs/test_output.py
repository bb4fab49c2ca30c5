"""Where what a person is to see cannot be written: one line, exit code 1, no traceback."""

import contextlib
import io
import os
import pty
import subprocess
import sys

import pytest

from jobs.present import output

COMMANDS = ["--help", "methods", "plan --help"]


def conclus(root, words, redirected):
    """The command in a shell: exit code, and both streams."""
    done = subprocess.run(
        ["sh", "-c", f'"$0" "$1" {words} {redirected}', sys.executable, str(root / "conclus.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
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


def in_terminal(root, folder, columns, *arguments):
    """What the command shows in a terminal that is so wide."""
    parent, child = pty.openpty()
    env = {**os.environ, "COLUMNS": str(columns)}
    run = [sys.executable, str(root / "conclus.py"), *arguments]
    subprocess.run(run, cwd=folder, env=env, stdin=child, stdout=child, stderr=child, check=False)
    os.close(child)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says at the end that the terminal is gone.
        while part := os.read(parent, 65536):
            shown += part
    os.close(parent)
    return shown.decode().replace("\r\n", "\n")


def test_long_lines_are_broken_between_words_in_a_terminal_and_stay_whole_in_a_pipe(root, tmp_path, command):
    (tmp_path / "s.yaml").write_text(
        "study: s\ntrial: {data: digits, epochz: 1}\nspace: {method: {choice: [cc, tcl]}}\n"
    )
    shown = in_terminal(root, tmp_path, 50, "plan", "s.yaml")
    lines = shown.splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 50
    assert [line.startswith(("Error: ", "  ")) for line in lines] == [True] * len(lines)
    code, _, err = command("plan", str(tmp_path / "s.yaml"))
    assert (code, err.count("\n")) == (2, 1)
    assert " ".join(shown.split()).replace("s.yaml", "") == " ".join(err.split()).replace(str(tmp_path / "s.yaml"), "")


def test_a_command_at_the_end_of_a_sentence_stays_on_a_line_of_its_own(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "40")
    typed = "conclus assign results --study a-study-of-mine --out clusters.csv"
    sentence = f"clusters are kept of 4 trials; those of the best: {typed}"
    found = output.fitted(sentence, Terminal()).split("\n")
    assert found == ["clusters are kept of 4 trials; those of", "  the best:", f"  {typed}"]
    assert output.fitted(sentence, io.StringIO()) == sentence
    assert output.fitted("  digits  short", Terminal()) == "  digits  short"


def test_a_line_is_not_broken_within_a_short_bracket():
    line = "digits: 1,797 samples of 1 channel, 8 rows and 8 columns, labels: 10 classes (0 … 9)"
    assert output.wrapped(line, 80, "  ") == [line.removesuffix(" (0 … 9)"), "  (0 … 9)"]
    long = f"left out: {'one of many, ' * 5}(" + "and one more, " * 6 + "for many reasons)"
    assert max(map(len, output.wrapped(long, 40))) <= 40
