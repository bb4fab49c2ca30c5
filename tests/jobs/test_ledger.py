# ruff: noqa: E501, RUF001 - one case a line, as people write it
import json
import os
import pty
import re
import subprocess
import sys
from datetime import datetime

import openpyxl
import pytest

from jobs.ledger import names
from jobs.ledger.cells import Number, moment, number
from jobs.ledger.prepare import prepare
from jobs.present import bar
from jobs.results.reader import read_results

LEDGER, DAMAGED, TOPICS = "000_dee93d7c7ae24ca5.txt", "001_13b010761b2be151.txt", "002_fb78fcae5ff5f597.txt"
PARAMS = {
    "learning_rate": "optimiser.learning_rate",
    "cluster_temperature": "method.cluster_temperature",
    "instance_temperature": "method.instance_temperature",
    "threshold": "method.threshold",
}


@pytest.fixture
def documents(root):
    folder = root.parent / "shared" / "documents"
    if not folder.is_dir():
        pytest.skip("the documents lie beside the repository, in shared/")
    return folder


def imported(command, path, results, *more):
    code, out, err = command("import", path, "--results", results, "--yes", *more)
    assert code == 0, err
    return out


def test_a_long_import_shows_how_far_it_is(tmp_path, command, monkeypatch):
    monkeypatch.setattr(bar, "PLAIN_SECONDS", 0.0)
    lines = [f"cc,0.1,{seed},0.5" for seed in range(1000)]
    (tmp_path / "t.csv").write_text("\n".join(["method,lr,seed,nmi", *lines, ""]))
    code, _, err = command("import", tmp_path / "t.csv", "--results", tmp_path / "r", "--yes")
    assert code == 0
    for work in ("reading columns", "reading rows", "writing rows", "writing histories"):
        assert re.search(rf"^{work}: [\d,]+ of [\d,]+ \(\d+%", err, re.MULTILINE), work


def rows(results):
    return sorted(read_results(str(results)).to_pylist(), key=lambda row: int(json.loads(row["env_json"])["line"]))


def content(row):
    unlike = {"study", "attempt_id", "seed", "env_json"}
    return {key: value for key, value in row.items() if key not in unlike}


def by_eye(row):
    return (*(row[f"param.{key}"] for key in PARAMS.values()), row["metric.loss"])


def test_the_ledger_and_its_damaged_copy_give_the_same_36_rows(command, documents, tmp_path):
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    out = imported(command, documents / LEDGER, whole, "--study", "ledger", "--year", "2025")
    assert "Blank and left out: 2 rows." in out
    assert "36 rows were imported" in out
    assert "Damaged by a wrong encoding, and repaired: 7 rows" in imported(
        command, documents / DAMAGED, damaged, "--study", "ledger", "--year", "2025"
    )
    first, second = rows(whole), rows(damaged)
    assert len(first) == 36
    assert [content(row) for row in first] == [content(row) for row in second]
    assert [row["seed"] for row in first] == [row["seed"] for row in second]
    assert {(row["source"], row["status"]) for row in first} == {("import", "ok")}
    # Checked against the document by eye: its first, 17th, 23rd, 24th and last row.
    assert [by_eye(first[i]) for i in (0, 16, 22, 23, 35)] == [
        (0.0002, 0.5, 0.3, 0.93, 1.48),
        (0.0005, 0.8, 0.05, 0.95, 0.55),
        (0.0005, 0.8, 0.03, 0.95, 0.48),
        (0.0005, 0.8, 0.05, 0.95, 0.54),
        (0.01, 0.8, 0.03, 0.98, 0.76),
    ]
    times = [row["started"] and f"{row['started'].astimezone():%m-%d %H:%M:%S}" for row in first]
    assert [times[i] for i in (0, 16, 21, 22, 23)] == [
        "06-07 08:18:15", "06-11 04:21:13", "06-13 08:32:06", None, "06-13 20:50:42",
    ]  # fmt: skip
    assert not any(name.startswith("metric.") and name != "metric.loss" for row in first for name in row)


def test_repeats_of_a_configuration_share_its_cell_and_no_seed(command, documents, tmp_path):
    imported(command, documents / LEDGER, tmp_path)
    found = rows(tmp_path)
    cells = {}
    for row in found:
        cells.setdefault(row["config_key"], []).append(by_eye(row)[-1])
    assert sorted(losses for losses in cells.values() if len(losses) > 1) == [[0.48, 0.48], [0.55, 0.54], [1.5, 1.54]]
    seeds = [row["seed"] for row in found]
    assert len(set(seeds)) == 36
    assert max(seeds) < 0


def test_the_same_rows_twice_add_nothing_also_from_the_damaged_copy(command, documents, tmp_path):
    imported(command, documents / LEDGER, tmp_path, "--study", "l")
    for file in (LEDGER, DAMAGED):
        assert "0 rows were imported" in imported(command, documents / file, tmp_path, "--study", "l", "--year", "2025")
    assert len(rows(tmp_path)) == 36


def test_the_topic_log_is_one_table_with_its_headings_as_columns(command, documents, tmp_path):
    answers = ["--below", "run", "--cell", "37:Time=-", "--cell", "133:Topic Num=30", "--map", "max最大值=note"]
    out = imported(command, documents / TOPICS, tmp_path, *answers)
    assert "12 tables with the same columns are read as one." in out
    found = rows(tmp_path)
    # Checked against the document by eye: 11 entries, the run of the line below the ninth, and the last table.
    topics = [100, 100, 75, 50, 30, 20, 20, 30, 100, 100, 75, 50, None]
    assert [row["param.n_clusters"] for row in found] == topics
    assert [row["param.method.temperature"] for row in found] == [0.1] + [0.5] * 12
    assert [row["param.optimiser.learning_rate"] for row in found] == [1e-4] * 12 + [1e-6]
    assert [row["param.batch_size"] for row in found] == [256] * 9 + [1024] + [256] * 3
    assert [row["param.method.label_embedding"] for row in found] == [None] * 6 + ["weighted"] * 7
    rates = ["lr/100", "lr", "lr", "lr", "lr/100", "lr/100", "lr/100", "lr/100", "lr", "lr", "lr", "lr", None]
    assert [row["param.method.generator_learning_rate"] for row in found] == rates
    assert {row["param.optimiser.name"] for row in found} == {"adam"}
    assert f"{found[3]['started'].astimezone():%Y-%m-%d %H:%M}" == "2021-08-20 10:08"
    assert f"{found[9]['started'].astimezone():%Y-%m-%d %H:%M}" == "2021-08-24 23:21"
    assert found[2]["started"] is None
    notes = [json.loads(row["env_json"]) for row in found]
    assert notes[2]["note.Log"] == "gc_atm/20news_clean_2021-08-19-23-12_topic75/"
    assert notes[9]["note.max最大值"] == "0.03013"
    assert notes[-1]["note.text below"] == "效果很差："
    assert sum("note.picture below" in one for one in notes) == 12


def test_imported_rows_are_marked_in_every_table(command, documents, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    imported(command, documents / LEDGER, tmp_path)
    slices = "instance_temperature == 0.03 and cluster_temperature == 0.8 and threshold == 0.95"
    _, out, _ = command("aggregate", tmp_path, "--metric", "loss", "--where", slices)
    assert "4 of 4 rows are imported and unverified." in out
    _, out, err = command("aggregate", tmp_path, "--columns", "ledger")
    assert out.count("\n") - out[: out.index("─")].count("\n") == 37
    assert "36 of 36 rows are imported and unverified." in err
    _, out, _ = command("aggregate", tmp_path, "--attempts", "--format", "csv")
    assert out.count(",import,") == 36
    code, _, err = command("aggregate", tmp_path, "--metric", "loss")
    assert code == 2
    assert "can rescale the loss" in err


TABLE = "| lr | nmi |\n|---|---|\n| 0.1 | 0.5 |\n| 0.2 | 0.6 |\n| 0.1 | 0.7 |\n"


def test_a_grown_table_adds_its_new_rows_and_a_changed_one_is_refused(command, tmp_path):
    path, results = tmp_path / "t.md", tmp_path / "results"
    path.write_text(TABLE)
    assert "3 rows were imported" in imported(command, path, results)
    path.write_text(TABLE + "| 0.1 | 0.8 |\n")
    assert "1 row was imported" in imported(command, path, results)
    before = rows(results)
    path.write_text(TABLE.replace("0.6", "0.65"))
    code, _, err = command("import", path, "--results", results, "--yes")
    assert code == 2
    assert "t.md:4: nmi was imported as 0.6 before and is 0.65 now" in err
    assert rows(results) == before


def test_the_same_file_with_another_meaning_is_refused(command, tmp_path):
    path, results = tmp_path / "t.md", tmp_path / "results"
    path.write_text(TABLE)
    imported(command, path, results)
    code, _, err = command("import", path, "--results", results, "--yes", "--map", "lr=weight_decay")
    assert code == 2
    assert "t.md was imported into" in err
    assert len(rows(results)) == 3
    imported(command, path, results, "--map", "lr=weight_decay", "--study", "other")


def test_a_map_says_what_a_column_is(command, tmp_path):
    path, results = tmp_path / "t.csv", tmp_path / "results"
    path.write_text("speed,score,who,what\n0.1,12,me,x\n0.2,14,you,y\n")
    maps = ["speed=lr", "score=metric.elo", "who=note", "what=ignore"]
    imported(command, path, results, *(word for one in maps for word in ("--map", one)))
    first, second = rows(results)
    assert (first["param.optimiser.learning_rate"], second["metric.elo"]) == (0.1, 14)
    assert json.loads(first["env_json"])["note.who"] == "me"
    assert not any("what" in name for name in first)


def test_percent_spread_and_range_are_kept_and_said(command, tmp_path):
    path, results = tmp_path / "t.md", tmp_path / "results"
    path.write_text(
        "| Method | ACC (%) | NMI ↑ | **ARI** | loss | time (h) |\n|---|---|---|---|---|---|\n"
        "| TCL | 88.5 | **84.3±0.5** | 0.7 | 0.74~0.76 | 1.5 |\n| other | 0.5 | 80 | - | $1.2\\times10^{-1}$ | 2 |\n"
    )
    code, _, err = command("import", path, "--results", results, "--yes")
    assert code == 2
    assert "ARI is at most 1 (line 3), but NMI ↑ of 84.3±0.5 is above 1: percent or fraction?" in err
    out = imported(command, path, results, "--unit", "ARI=fraction")
    assert "percent, 1 with spread: 84.3±0.5 → 0.843" in out
    assert "1 range (middle): 0.74~0.76 → 0.75" in out
    first, second = rows(results)
    assert first["param.method.name"] == "tcl"
    assert (first["metric.acc"], first["metric.nmi"], first["metric.nmi_spread"]) == (0.885, 0.843, 0.005)
    assert (first["metric.loss"], first["metric.loss_low"], first["metric.loss_high"]) == (0.75, 0.74, 0.76)
    assert (second["metric.acc"], second["metric.ari"], second["metric.loss"]) == (0.005, None, 0.12)
    assert (first["seconds"], second["seconds"]) == (5400, 7200)


def test_a_workbook_keeps_its_dates_and_percents(command, tmp_path):
    book = openpyxl.Workbook()
    sheet = book.create_sheet("runs")
    for row in ([None], ["date", "学习率", "ACC"], [datetime(2026, 6, 7, 8, 18, 15), 0.001, 0.885]):  # noqa: DTZ001
        sheet.append(row)
    sheet["C3"].number_format = "0.0%"
    book.save(tmp_path / "t.xlsx")
    imported(command, tmp_path / "t.xlsx", tmp_path / "results", "--sheet", "runs")
    (row,) = rows(tmp_path / "results")
    assert f"{row['started'].astimezone():%Y-%m-%d %H:%M:%S}" == "2026-06-07 08:18:15"
    assert (row["param.optimiser.learning_rate"], row["metric.acc"]) == (0.001, 0.885)


def test_latex_of_a_paper_is_understood(tmp_path):
    (tmp_path / "t.tex").write_text(
        "\\begin{table}\\begin{tabular}{@{}l rr@{}}\n\\toprule\n Method & NMI $\\uparrow$ & $\\tau$ \\\\ \\midrule\n"
        "% old\nCC~\\textbf{x} & $\\mathbf{0.84} \\pm 0.02$ & $10^{-1}$ \\\\[2pt]\n\\cmidrule(lr){1-2}\n"
        "a\\_b \\& c & \\underline{0.80} & \\multicolumn{1}{c}{0.2} \\\\\n\\bottomrule\n\\end{tabular}\\end{table}\n"
    )
    read = prepare(tmp_path / "t.tex", mapping={})
    assert read.source.lines == (5, 7)
    assert [column.values for column in read.columns] == [
        ("CC x", "a_b & c"), (Number(0.84, spread=0.02), Number(0.8)), (Number(0.1), Number(0.2)),
    ]  # fmt: skip


def test_a_named_encoding_and_a_byte_order_mark_are_read(tmp_path):
    text = "学习率;温度;NMI\n0,1;0,5;0,84\n"
    (tmp_path / "gb.csv").write_bytes(text.encode("gb18030"))
    (tmp_path / "bom.csv").write_bytes(text.encode("utf-16"))
    for name, encoding in (("gb.csv", "gb18030"), ("bom.csv", "utf-8")):
        columns = prepare(tmp_path / name, mapping={}, encoding=encoding).columns
        assert [column.values[0].value for column in columns] == [0.1, 0.5, 0.84]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.84", Number(0.84)), ("1e-3", Number(1e-3)), (".5", Number(0.5)), ("−0.5", Number(-0.5)),
        ("84.3 %", Number(84.3, percent=True)), ("0.84±0.02", Number(0.84, 0.02)), ("0.84 +/- 0.02", Number(0.84, 0.02)),
        ("0.84 (0.02)", Number(0.84, 0.02)), ("0.84 (± 2)", Number(0.84, 2.0)), ("1×10⁻³", Number(1e-3)),
        ("10^-4", Number(1e-4)), ("0.74~0.76", Number(0.75, low=0.74, high=0.76)), ("0.84*", Number(0.84)),
        ("0.74–0.76", Number(0.75, low=0.74, high=0.76)), ("1,024", Number(1024.0)), ("-", None), ("N/A", None),
        ("０．５", Number(0.5)), ("0.7-0.9", Number(0.8, low=0.7, high=0.9)),
    ],
)  # fmt: skip
def test_a_number_as_people_write_it(text, value):
    assert number(text) == value


@pytest.mark.parametrize(
    "text", ["", "0.5.1", "1 2", "06-07", "0.243 (24.3%)x", "0.84(2)", "--0.5", "0x10", "1_000", "inf"]
)
def test_what_is_no_number_is_no_number(text):
    if text:
        with pytest.raises(ValueError, match="is not a number"):
            number(text)
    else:
        assert number(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("06-07 08:18:15", (None, "06-07 08:18:15")),
        ("6月11日 04:21:13", (None, "06-11 04:21:13")),
        ("6月13日 8:32:06", (None, "06-13 08:32:06")),
        ("0613_205042", (None, "06-13 20:50:42")),
        ("2026-06-07T08:18", (2026, "06-07 08:18:00")),
        ("2026/6/7", (2026, "06-07 00:00:00")),
        ("2026年6月7日 8时18分", (2026, "06-07 08:18:00")),
        ("20260613_205042", (2026, "06-13 20:50:42")),
        ("20news_clean_2021-08-20-10-08_topic50", (2021, "08-20 10:08:00")),
    ],
)
def test_a_date_as_people_write_it(text, expected):
    found = moment(text)
    assert (found.year, found.text) == expected


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Learning Rate", "param.optimiser.learning_rate"), ("学习率 (lr)", "param.optimiser.learning_rate"),
        ("batch-size", "param.batch_size"), ("实例温度", "param.method.instance_temperature"), ("阈值", "param.method.threshold"),
        ("F", "metric.fmi"), ("OA/%", "metric.oa"), ("NMI ↑", "metric.nmi"), ("损失", "metric.loss"), ("Acc [%]", "metric.acc"),
        ("日期时间", "started"), ("time (min)", "seconds"), ("time", "started"), ("entropy_weight", "param.method.entropy_weight"),
        ("weight_decay", "param.optimiser.weight_decay"), ("my own", "param.my_own"), ("lr (×1e-3)", "param.optimiser.learning_rate"),
        ("lr (warm)", "param.lr_warm"),
    ],
)  # fmt: skip
def test_a_header_as_people_write_it(header, key):
    assert names.target(header).key == key


def test_units_scale_and_percent():
    assert names.target("lr (x10^-3)").scale == 1e-3
    assert names.target("time (min)").scale == 60
    assert names.target("NMI (%)").percent
    assert not names.target("lr (warm)").known


def test_every_key_that_a_name_means_exists_in_a_study_or_is_no_option():
    own = {"param.method.name", "param.data.name", "param.encoder.name"}
    for target in names._ALIASES:
        if target.startswith("param.") and target not in own:
            assert target.removeprefix("param.").rpartition(".")[2] in {*names._keys(), "name"}, target


@pytest.mark.parametrize(("answers", "code", "count"), [("note\n2025\ny\n", 0, 1), ("note\n\nn\n", 1, 0)])
def test_at_a_terminal_the_year_and_the_columns_are_asked_for(root, tmp_path, answers, code, count):
    (tmp_path / "t.md").write_text("| date | lr | most |\n|---|---|---|\n| 06-07 08:18:15 | 0.1 | 7 |\n")
    ours, theirs = pty.openpty()
    call = [sys.executable, "-m", "conclus", "import", str(tmp_path / "t.md"), "--results", str(tmp_path / "results")]
    streams = {"stdin": theirs, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(call, cwd=root, env={**os.environ, "COLUMNS": "60"}, **streams) as running:
        os.write(ours, answers.encode())
        out = running.communicate()[0].decode()
    os.close(ours)
    os.close(theirs)
    assert running.returncode == code, out
    assert "The year of the dates" in out
    assert "Import 1 of 1 row" in out
    # No question is wider than the terminal, or breaks a word.
    question = out[: out.index("column")].splitlines()
    assert question[0] == "t.md: most holds numbers and its name is not known: is it"
    assert max(map(len, question)) <= 60
    found = rows(tmp_path / "results") if count else []
    assert len(found) == count == (tmp_path / "results").exists()
    if count:
        assert f"{found[0]['started'].astimezone():%Y-%m-%d %H:%M:%S}" == "2025-06-07 08:18:15"


def test_importing_loads_neither_torch_nor_ray(root, tmp_path):
    (tmp_path / "t.md").write_text(TABLE)
    code = (
        "import sys, conclus\n"
        f"sys.argv = ['conclus', 'import', {str(tmp_path / 't.md')!r}, '--results', {str(tmp_path)!r}, '--yes']\n"
        "try: conclus.main()\nexcept SystemExit as leave: assert not leave.code\n"
        "heavy = {'torch', 'ray', 'scipy', 'openpyxl', 'ftfy'} & set(sys.modules)\nsys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, stdout=subprocess.DEVNULL)
