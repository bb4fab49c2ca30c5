"""Hostile texts in results: every command shows them, and no terminal or page obeys them."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import conclus
from cluster.executor import Event
from jobs.execution.notebook import NotebookProgress
from jobs.execution.progress import Progress
from jobs.ledger import delimited, markdown
from jobs.present import tables, visible
from jobs.results import writer
from jobs.results.layout import COMPACT, PREFIX
from jobs.results.schema import to_table
from tests.jobs.report.conftest import attempt

EVIL = "\x1b]0;OWNED\x07\x9b2J\u202egpj\u2028\r\u200b\x7f\U000e0041=x<b>|#"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\U000e0041]")


@pytest.fixture
def hostile(tmp_path):
    """A study every text of which is hostile: name, hosts, reasons, parameters, their names, metrics, notes, logs."""
    study = f"s{EVIL}".replace("/", "")
    rows = []
    for cell in range(4):
        params = {f"key{EVIL}": f"{cell % 2}{EVIL}", "rate": float(cell // 2), "method.name": f"cc{EVIL}"}
        for seed in range(3):
            texts = {"host": f"host{EVIL}", "ray_trial_id": EVIL, "code_hash": EVIL, "env": {"note": EVIL, EVIL: "x"}}
            one = attempt(study, cell, seed, params, 0.5 + cell / 10 + seed / 100, 3, **texts)
            one.metrics[f"extra{EVIL}"] = 1.0
            one.trial_key, one.attempt_id = f"{one.trial_key}", f"{one.attempt_id}{EVIL}"
            rows.append(one)
    for row, status in zip(rows[-3:], ("failed", "failed", "running"), strict=True):
        row.status, row.reason, row.source = status, f"why{EVIL}", "import"
    folder = tmp_path / "results" / f"{PREFIX}{study}"
    writer.put(folder / COMPACT / "part-0.parquet", writer.serialise(to_table(rows)))
    (folder / "logs").mkdir()
    (folder / "logs" / f"t{EVIL}.00000000000000000000000000.txt").write_text(f"Traceback {EVIL}\nError: OWNED\n")
    (folder / "trials").mkdir()
    (folder / "trials" / f"OWNED{EVIL}.x.parquet").write_text("damaged")
    (tmp_path / "t.csv").write_text(
        f"lr,dataset,NMI,{'x' + EVIL.replace(chr(13), '').replace(chr(0x2028), '')}\n0.1,x\x1b[2JOWNED,0.5,w\n"
    )
    return tmp_path / "results"


SHOWN = [
    *(["aggregate", "R", "--metric", "nmi", "--format", form] for form in tables.FORMATS),
    *(["aggregate", "R", "--attempts", "--format", form] for form in tables.FORMATS),
    ["aggregate", "R", "--columns", "ledger"],
    *(["effect", "R", "rate", "--metric", "nmi", "--format", form] for form in tables.FORMATS),
    *(["importance", "R", "--metric", "nmi", "--format", form] for form in tables.FORMATS),
    *(["interaction", "R", "rate", f"key{EVIL}", "--metric", "nmi", "--format", form] for form in tables.FORMATS),
    ["selection", "R"],
    ["diff", "R", "R", "--metric", "nmi"],
    *(["status", "R", "--format", form] for form in tables.FORMATS),
    *(["report", "R", "--metric", "nmi", "--format", form, "--out", "F"] for form in ("html", "markdown", "latex")),
    ["plot", "R", "leaderboard", "--metric", "nmi", "--out", "F.svg"],
    *(["sql", "R", "select * from trials", "--format", form] for form in tables.FORMATS),
    ["sql", "R", "select * from trials", "--out", "F.csv"],
    ["sql", "R", f'describe "OWNED{EVIL}"'],
    ["logs", "R"],
    ["logs", "R", "--trial", f"OWNED{EVIL}"],
    ["queue", "list", "--results", "R"],
    ["next", "R", "--metric", "nmi"],
    ["compact", "R"],
    ["plan", f"OWNED{EVIL}.yaml"],
    ["aggregate", "R", "--where", f"'OWNED{EVIL}' == rate"],
    ["import", "T", "--results", "N", "--yes"],
]
SILENT = {"queue", "compact"}
"""What may have nothing hostile to show."""


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
@pytest.mark.parametrize("words", SHOWN, ids=lambda words: " ".join(word for word in words if EVIL not in word))
def test_no_command_prints_or_writes_what_a_terminal_would_obey(command, hostile, tmp_path, words):
    places = {"R": hostile, "T": tmp_path / "t.csv", "N": tmp_path / "new", "F": tmp_path / "out.md"}
    places |= {"F.svg": tmp_path / "out.svg", "F.csv": tmp_path / "out.csv"}
    code, out, err = command(*(places.get(word, word) for word in words))
    written = "".join(file.read_text(encoding="utf-8") for file in tmp_path.glob("out.*"))
    assert code in {0, 1, 2}
    assert "Traceback (most" not in out + err
    found = RAW.search(out + err + written)
    assert found is None, (out + err + written)[max(0, found.start() - 80) : found.end() + 80]
    if words[0] not in SILENT and ".svg" not in words[-1]:
        assert "OWNED" in out + err + written, "the attack did not reach what is shown"


@pytest.mark.parametrize(
    "ask",
    [
        lambda one: one.leaderboard("nmi"),
        lambda one: one.effect("rate", "nmi"),
        lambda one: one.importance("nmi"),
        lambda one: one.interaction("rate", f"key{EVIL}", "nmi"),
        lambda one: one.health(),
        lambda one: one,
    ],
)
def test_no_object_of_python_shows_what_a_terminal_or_a_notebook_would_obey(hostile, ask):
    shown = ask(conclus.open(hostile))
    assert "OWNED" in repr(shown)
    assert not RAW.search(repr(shown))
    if hasattr(shown, "_repr_html_"):
        assert not RAW.search(shown._repr_html_())
        assert {*re.findall(r"</?([^ >]+)", shown._repr_html_())} <= {"table", "tr", "th", "td", "p", "b"}
        assert "&lt;b&gt;" in shown._repr_html_()
    for part in getattr(shown, "charts", ()):
        assert not RAW.search(json.dumps(shown.chart(part).to_dict(), ensure_ascii=False).replace("\\n", ""))


def test_even_a_terminal_that_knows_ascii_alone_gets_nothing_raw(root, hostile):
    call = [sys.executable, "-m", "conclus", "status", str(hostile)]
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONWARNINGS": ""}
    done = subprocess.run(call, cwd=root, env=env, capture_output=True, check=False)
    assert b"OWNED" in done.stdout
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f-\xff]", done.stdout + done.stderr)


def test_a_file_name_that_is_no_utf8_is_shown(command, tmp_path):
    code, _, err = command("plan", tmp_path / "OWNED\udcff.yaml")
    assert code == 2
    assert r"OWNED\udcff" in err


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize("wrapped", [True, False])
def test_progress_moves_the_cursor_itself_and_lets_no_reason_do_so(wrapped):
    screen = Terminal()
    progress = Progress(None, 3, 0, visible.Visible(screen) if wrapped else screen)  # type: ignore[arg-type]
    progress.draw(now=True)
    progress.say(f"trial x failed: {EVIL}\nforged")
    progress.hear(Event("waiting", "", error=f"2 CPU held by {EVIL}\nforged"))
    shown = screen.getvalue()
    assert "waiting: 2 CPU held by" in shown
    assert shown.count("\r\x1b[K") == 3
    assert "OWNED" in shown
    assert r"\nforged" in shown
    assert not RAW.search(shown.replace("\r\x1b[K", ""))


def test_the_bar_of_a_notebook_shows_a_reason_as_text(monkeypatch):
    drawn = []

    class Handle:
        def update(self, data, **_):
            drawn.append(data)

    def display(data, *, raw, display_id):
        drawn.append(data)
        return Handle()

    monkeypatch.setattr("IPython.core.display_functions.display", display)
    progress = NotebookProgress(None, 3, 0)  # type: ignore[arg-type]
    progress.close()
    assert not drawn, "nothing has begun"
    progress.say(f"trial x failed: {EVIL}\nforged")
    progress.hear(Event("waiting", "", error=f"2 CPU held by {EVIL}"))
    progress.close()
    assert len(drawn) == 3
    assert drawn[-1]["text/html"].startswith('<div><progress value="0.000" max="3"')
    assert r"\nforged" in drawn[-1]["text/html"]
    assert "&lt;b&gt;" in drawn[-1]["text/html"]
    assert not RAW.search("".join(drawn[-1].values()).replace("\n", ""))


def test_watch_draws_a_terminal_anew_and_nothing_else(root, hostile):
    ours, theirs = pty.openpty()
    call = [sys.executable, "-m", "conclus", "watch", str(hostile), "--every", "0.2"]
    with subprocess.Popen(call, cwd=root, stdout=theirs, stderr=subprocess.STDOUT) as running:
        os.close(theirs)
        shown = ""
        while shown.count("\x1b[H\x1b[J") < 2 and (part := os.read(ours, 65536)):
            shown += part.decode(errors="replace")
        running.kill()
    os.close(ours)
    assert "OWNED" in shown
    assert not RAW.search(shown.replace("\x1b[H\x1b[J", "").replace("\r\n", ""))


texts = st.text(
    st.characters(categories=("L", "N", "P", "S", "Zs"), include_characters="'=+-@|\\`*_<>#$&:[]"), max_size=12
)


@given(st.lists(texts, min_size=1, max_size=4))
@example(["=1+1"])
@example(["'=1", "''-x", "'quoted'", "-5", "+1e3", "-"])
def test_a_cell_is_no_formula_for_a_spreadsheet_and_the_same_when_it_is_read_again(cells):
    cells = [" ".join(cell.split()) for cell in cells]
    text = tables.render(["n", *(f"c{i}" for i in range(len(cells)))], [[1, *cells]], "csv")
    (_, shown) = csv.reader(io.StringIO(text))
    for cell in shown:
        assert cell[:1] not in {"=", "@", "\t", "\r"}
        assert cell[:1] not in {"+", "-"} or isinstance(float(cell), float)
    (table,) = delimited.tables(text.splitlines(), "t.csv")
    assert list(table.rows[0].cells[1:]) == [visible.visible(cell) for cell in cells]


@given(texts.map(lambda text: " ".join(text.split())))
@example("# title")
@example("[a](http://x)")
@example("<img src=x>&lt;")
@example("*a* **b** _c_ __d__ `e` $f$")
def test_a_markdown_cell_is_read_again_as_it_was(cell):
    text = tables.render(["a", "b"], [["x", cell]], "markdown")
    assert not re.search(r"(?<!\\)<\w", text)
    assert not re.search(r"(?<![\\:]):?//\w", text.replace("\\:", "")) or "\\://" in text or "://" not in cell
    (table,) = markdown.tables(text.splitlines(), "t.md")
    assert table.rows[0].cells == ("x", visible.visible(cell))


def test_json_has_its_own_escapes():
    text = tables.render([EVIL], [[EVIL]], "json")
    assert not RAW.search(text)
    assert json.loads(text) == [{EVIL: EVIL}]


def test_click_itself_writes_through_the_border(capsys):
    stream = visible.Visible(sys.stdout)
    click.echo(f"{EVIL}\tkept", file=stream)
    print(EVIL, file=stream)
    stream.writelines([EVIL, "\n"])
    out = capsys.readouterr().out
    assert out.count(r"\x1b]0;OWNED\x07\x9b2J\u202egpj\u2028\x0d\u200b\x7f\U000e0041") == 3
    assert "\tkept\n" in out


FORGED = "\nError: OWNED"
NAMED = [
    ["aggregate", "R"],
    ["compact", "R"],
    ["confirm", "R"],
    ["diff", "R", "R"],
    ["logs", "R"],
    ["logs", "R", "--trial", "none"],
    ["next", "R"],
    ["plan", "p.yaml", "--results", "R"],
    ["plan", "R/study=s/_study.yaml", "--results", "R"],
    ["plan", "q.yaml"],
    ["queue", "list", "--results", "R"],
    ["queue", "move", "1", "--front", "--results", "R"],
    ["report", "R", "--out", "r.md"],
    ["resume", "R"],
    ["run", "R/study=s/_study.yaml", "--results", "R"],
    ["sql", "R", "select 1"],
    ["status", "R"],
    ["stop", "R"],
    ["watch", "R"],
]


@pytest.mark.parametrize("words", NAMED, ids=lambda words: " ".join(words)[:30])
def test_a_new_line_in_a_name_makes_no_line(tmp_path, command, monkeypatch, words):
    """Neither of a folder, nor of a file that is damaged, foreign or not there."""
    monkeypatch.chdir(tmp_path)
    results = tmp_path / f"r{FORGED}"
    row = attempt("s", 0, 0, {"rate": 0.1}, 0.5, 3)
    writer.write(str(results), row)
    trials = results / "study=s" / "trials"
    (trials / f"x{FORGED}.parquet").write_text("damaged")
    (results / "study=").mkdir()
    for name in ("_study.yaml", "_study.json", "_job.json"):
        (results / "study=s" / name).write_text("damaged")
    (results / "_queue").mkdir()
    (results / "_queue" / "1.json").write_text("damaged")
    (results / "study=s" / "_logs").mkdir()
    (results / "study=s" / "_logs" / f"x{FORGED}.txt").write_text("whatever")
    data = f'data: {{name: file, path: "no{FORGED}.npz"}}'.replace("\n", "\\n")
    (tmp_path / "p.yaml").write_text("study: s\ntrial: {data: digits}\n")
    (tmp_path / "q.yaml").write_text(f"study: s\ntrial:\n  {data}\n")
    code, out, err = command(*(word.replace("R", str(results)) for word in words))
    assert code in {0, 1, 2}
    assert out + err
    assert not [line for line in (out + err).split("\n") if re.match("(Error: )+OWNED", line)]
    assert "Traceback" not in err


def test_a_mistake_of_several_lines_stays_several_lines(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text("study: s\ntrial: {data: digits, epoch: 1, batch: 2}\n")
    code, _, err = command("plan", "s.yaml")
    assert code == 2
    assert [line.partition(":")[0] for line in err.splitlines()] == ["Error", "Error"]
