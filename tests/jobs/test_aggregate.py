import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from core.errors import UserError
from core.seal import seal_json
from jobs.commands.aggregate import command
from jobs.commands.compact import command as compact_command
from jobs.present.comparison import leaderboard_text
from jobs.report import contents
from jobs.report.headline import findings
from jobs.results import reader, writer
from jobs.results.schema import Attempt
from jobs.study import snapshot, study

SCORES = ("loss", "oa", "acc", "nmi", "ari", "fmi", "kmeans_acc", "kmeans_nmi")


def fill(results, study="s", rates=(1e-3, 1e-2), seeds=(0, 1, 2), **changes):
    for rate in rates:
        for seed in seeds:
            value = 0.9 - 10 * rate + seed / 100
            attempt = {
                "study": study,
                "trial_key": f"{rate}-{seed}",
                "config_key": f"{rate}",
                "seed": seed,
                "attempt_id": f"A{seed}",
                "status": "ok",
                "data_hash": "d",
                "started": datetime(2026, 6, 7, 8, 18, 15, tzinfo=UTC) - timedelta(hours=seed),
                "params": {"optimiser.learning_rate": rate, "threshold": 0.95, "epochs": 60},
                "metrics": dict.fromkeys(SCORES, value),
                "best": {"nmi": value + 0.01},
            }
            writer.write(str(results), Attempt(**{**attempt, **changes}))


@pytest.fixture
def results(tmp_path):
    fill(tmp_path)
    return tmp_path


def invoke(*arguments, run=command):
    return CliRunner(env={"COLUMNS": "200", "TZ": "UTC"}).invoke(run, list(map(str, arguments)), catch_exceptions=False)


def test_the_leaderboard_names_the_best_with_its_interval(results):
    lines = invoke(results).stdout.splitlines()
    assert lines[0].split()[:4] == ["#", "learning_rate", "nmi", "n"]
    assert lines[2].split()[:5] == ["1", "0.001", "0.900", "±0.025", "3"]
    assert lines[3].split()[:2] == ["2", "0.01"]
    # Epochs are 60 by default.
    assert invoke(results, "-v").stdout.splitlines() == ["the same in all: threshold=0.95", "", *lines]
    assert "uses the labels" in " ".join(lines)


def test_what_only_some_methods_have_is_no_column_where_it_does_not_vary(tmp_path):
    shared = {"method.name": "bat", "batch_size": 64}
    fill(tmp_path, study="a", params={"epochs": 50, **shared})
    fill(tmp_path, study="b", rates=(1e-3,), params={"method.name": "nmf", "epochs": 50})
    lines = invoke(tmp_path, "--metric", "nmi", "-v").stdout.splitlines()
    assert lines[0] == "the same in all: epochs=50; in all that have it: batch_size=64"
    assert "batch_size" not in lines[2]
    fill(tmp_path, study="c", rates=(1e-3,), params={"method.name": "bat", "epochs": 50})
    assert "batch_size" in invoke(tmp_path, "--metric", "nmi").stdout.splitlines()[0]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"data.decimal": ".", "early_stopping.patience": 10}, "epochs=50"),
        ({"data.decimal": ",", "early_stopping.patience": 10}, "data.decimal=, epochs=50"),
        (
            {"early_stopping.metric": "loss", "early_stopping.patience": 9},
            "early_stopping.metric=loss early_stopping.patience=9 epochs=50",
        ),
        ({"method.name": "conclus", "data.name": "digits"}, "data.name=digits epochs=50 method.name=conclus"),
        ({"method.name": "cc", "method.instance_temperature": 0.5}, "epochs=50 method.name=cc"),
        ({"method.name": "./x.py", "method.dim": 128}, "epochs=50 method.dim=128 method.name=./x.py"),
        ({"encoder.name": "auto", "encoder.depth": 3}, "encoder.depth=3 epochs=50"),
    ],
)
def test_settings_that_do_nothing_or_are_as_by_default_are_left_out(tmp_path, params, said):
    fill(tmp_path, rates=(1e-3,), params={"epochs": 50, **params})
    assert invoke(tmp_path, "-v").stdout.splitlines()[0] == f"the same in all: {said}"


def test_defaults_of_several_methods_are_no_settings_of_all(tmp_path):
    for method, own in {"propos": {"method.hidden": 512, "method.noise": 0.5}, "cc": {}}.items():
        params = {"method.name": method, "encoder.name": "auto", "encoder.widths": [512, 512, 256], "epochs": 60, **own}
        fill(tmp_path, study=method, rates=(1e-3,), params=params)
    line = invoke(tmp_path, "--metric", "nmi", "-v").stdout.splitlines()[0]
    assert line == "the same in all that have it: method.noise=0.5"


def test_eighty_columns_are_enough(results):
    lines = leaderboard_text([str(results)], "s", "nmi", "max", 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "kmeans_acc" not in lines[0]
    assert lines[0].split()[:3] == ["#", "learning_rate", "nmi"]


def test_what_conclus_run_shows_is_the_same(results):
    assert leaderboard_text([str(results)], "s", "nmi", "max", 200) == invoke(results).stdout


def test_a_wide_terminal_shows_every_score(results):
    text = leaderboard_text([str(results)], "s", "nmi", "max", 200)
    assert all(name in text for name in ("acc", "ari", "fmi", "kmeans_acc", "kmeans_nmi"))


def test_json_and_csv_have_a_column_for_every_number(results):
    done = invoke(results, "--format", "json")
    first = json.loads(done.stdout)[0]
    assert (first["optimiser.learning_rate"], first["nmi_n"], first["tied"]) == (1e-3, 3, True)
    assert first["nmi_half_width"] == pytest.approx(0.0248414)
    assert "labels" in done.stderr
    (best, _) = csv.DictReader(io.StringIO(invoke(results, "--format", "csv").stdout))
    assert float(best["nmi"]) == first["nmi"]


def test_the_metric_and_mode_come_from_the_study_unless_given(results):
    (results / "study=s" / "study.json").write_text(json.dumps({"select": {"metric": "ari", "mode": "min"}}))
    assert invoke(results).stdout.splitlines()[2].split()[1] == "0.01"
    assert invoke(results, "--mode", "max").stdout.splitlines()[2].split()[1] == "0.001"
    assert " nmi " in invoke(results, "--metric", "nmi").stdout.splitlines()[0]
    assert " best.nmi " in invoke(results, "--on", "best.nmi").stdout.splitlines()[0]


def test_where_and_study_choose_the_rows(results):
    fill(results, study="t", rates=(5e-3,))
    both = invoke(results).stdout.splitlines()
    assert both[0].split()[:3] == ["#", "study", "learning_rate"]
    assert [line.split()[1] for line in both[2:5]] == ["s", "t", "s"]
    only = invoke(results, "--study", "t", "--format", "csv").stdout
    assert only.count("\n") == 2
    assert invoke(results, "--where", "learning_rate < 2e-3", "--format", "csv").stdout.count("\n") == 2
    with pytest.raises(UserError, match="No trial matches"):
        invoke(results, "--where", "learning_rate > 1")


def test_the_ledger_has_exactly_the_columns_that_people_keep(results):
    lines = invoke(results, "--columns", "ledger", "--format", "csv").stdout.splitlines()
    assert lines[0] == (
        "date-time,learning_rate,cluster_temperature,instance_temperature,threshold,loss,OA,NMI,ARI,F,ACC"
    )
    assert len(lines) == 7
    assert lines[1].startswith("2026-06-07 06:18:15+00:00,0.001,,,0.95,0.9")
    times = [line.split(",")[0] for line in lines[1:]]
    assert times == sorted(times)
    table = invoke(results, "--columns", "ledger").stdout.splitlines()
    assert len(table) == 8


def test_the_ledger_names_the_data_set_where_there_are_several(tmp_path):
    for name in ("digits", "wine"):
        fill(tmp_path, rates=(1e-3,), config_key=name, data_hash=name, params={"data.name": name}, trial_key=name)
    lines = invoke(tmp_path, "--columns", "ledger", "--format", "csv").stdout.splitlines()
    assert lines[0].startswith("date-time,data set,learning_rate,")
    assert {line.split(",")[1] for line in lines[1:]} == {"digits", "wine"}


@pytest.mark.parametrize(
    "words", [["--top", "2"], ["--sort", "nmi"], ["--metric", "acc"], ["--columns", "ledger"], ["--format", "json"]]
)
def test_rows_that_are_written_as_they_are_take_no_order(results, tmp_path, words):
    with pytest.raises(UserError, match=f"gets the rows as they are stored: leave out {words[0]}"):
        invoke(results, "--out", tmp_path / "x.parquet", *words)
    assert not (tmp_path / "x.parquet").exists()


def test_a_long_reason_of_a_stranger_is_cut_in_tables_and_sentences(tmp_path):
    fill(tmp_path, reason="R" * 20_000, verdict="V" * 20_000)
    fill(tmp_path, rates=(2e-2,), status="failed", reason="F" * 20_000)
    texts = [invoke(tmp_path, *words).output for words in ([], ["-v", "--format", "markdown"], ["--attempts"])]
    texts += [one.text for one in findings(contents.gather([str(tmp_path)], "nmi", "max", drawn=False))]
    assert sum("F" * 60 in text for text in texts) == 5
    assert not any(sign * 301 in text for text in texts for sign in "RVF")


def test_attempts_are_all_listed(results):
    fill(results, rates=(1e-3,), seeds=(0,), attempt_id="Z", status="failed", reason="nan_loss")
    lines = invoke(results, "--attempts").stdout.splitlines()
    assert len(lines) == 2 + 7
    assert any("failed" in line and "nan_loss" in line for line in lines)


@pytest.mark.parametrize(("suffix", "start"), [("csv", "rank,"), ("md", "|"), ("tex", "\\begin"), ("json", "[")])
def test_out_writes_the_leaderboard_by_suffix(results, tmp_path, suffix, start):
    out = tmp_path / f"board.{suffix}"
    assert f"Wrote {out}" in invoke(results, "--out", out).stdout
    assert out.read_text().startswith(start)


def test_out_as_parquet_holds_the_rows_with_their_histories_and_is_results_again(results, tmp_path):
    out = tmp_path / "rows.parquet"
    assert invoke(results, "--out", out).stdout == f"Wrote 6 rows to {out}.\n"
    assert reader.read_results(str(out), history=True).equals(reader.read_results(str(results), history=True))
    assert invoke(out).stdout == invoke(results).stdout


def test_out_with_another_suffix_is_refused(results, tmp_path):
    with pytest.raises(UserError, match=r"\.csv, \.md, \.tex, \.json, \.parquet"):
        invoke(results, "--out", tmp_path / "x.xlsx")


def test_skipped_files_are_named_on_stderr_and_many_are_counted(results):
    for i in range(7):
        (results / "study=s" / "trials" / f"torn{i}.A.parquet").write_bytes(b"PAR1")
    done = invoke(results)
    assert done.stderr.count("torn") == 5 + 5  # each with its path, and its reason
    assert "2 more files are skipped" in done.stderr
    assert "0.900" in done.stdout


def test_broken_study_json_is_named(results):
    (results / "study=s" / "study.json").write_text("{")
    with pytest.raises(UserError, match=r"study\.json cannot be read"):
        invoke(results)


STUDY = "study: s\ntrial: {data: digits}\nselect: {metric: acc, mode: min}\n"


@pytest.mark.parametrize("name", ["aggregate", "report"])
def test_of_a_damaged_study_json_the_copy_of_the_study_tells_the_metric(results, tmp_path, command, name):
    folder = results / "study=s"
    content = seal_json({"study": "s", "select": {"metric": "acc", "mode": "min"}})
    snapshot.write(study.parse(STUDY, "s.yaml", tmp_path), folder)
    (folder / "_study.json").write_bytes(content)
    line = [name, results, *(["--format", "markdown"] if name == "report" else [])]
    whole = command(*line)
    (folder / "_study.json").write_bytes(damaged := content.replace(b'"acc"', b'"oa"'))
    code, out, err = command(*line)
    assert (code, out, whole[2]) == (0, whole[1], "")
    assert err.count("\n") == 1
    assert "_study.json cannot be read" in err
    assert "its metric and mode are taken from _study.yaml" in err
    assert (folder / "_study.json").read_bytes() == damaged
    copy = folder / "_study.yaml"
    copy.write_bytes(copy.read_bytes().replace(b"acc", b"ami"))
    code, out, err = command(*line)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "restore it, or give --metric and --mode" in err
    code, out, err = command(*line, "--metric", "acc", "--mode", "min")
    assert (code, out, err.count("\n")) == (0, whole[1], 1)


def test_the_page_says_that_a_damaged_plan_is_not_known(results, tmp_path, command):
    (results / "study=s" / "_study.json").write_text("{")
    out = tmp_path / "page.html"
    assert command("report", results, "--metric", "nmi", "--mode", "max", "--out", out)[0] == 0
    assert "The file _study.json is missing or damaged" in out.read_text()


def test_compaction_changes_no_answer(results):
    before = invoke(results).stdout
    assert "s: 6 rows moved to 1 new file" in invoke(results, run=compact_command).stdout
    assert invoke(results).stdout == before


def test_help_and_the_plan_load_nothing_heavy():
    code = (
        "import sys, jobs.commands.aggregate, jobs.commands.compact, jobs.results.peek, jobs.present.tables\n"
        "heavy = {'torch', 'ray', 'pyarrow', 'numpy', 'scipy', 'pandas'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_aggregating_loads_neither_pandas_nor_torch(results):
    code = (
        "import sys; from jobs.commands.aggregate import command\n"
        "command(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'torch', 'ray', 'pandas', 'scipy.stats'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code, str(results)], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def five(tmp_path):
    """Five configurations; the accuracy orders them the other way round than the nmi, and a score is missing."""
    for place, rate in enumerate((1e-3, 2e-3, 3e-3, 4e-3, 5e-3)):
        fill(tmp_path, rates=(rate,), metrics={"nmi": 0.9 - place / 10, "acc": 0.1 + place / 10, "loss": 1.0})
    return tmp_path


@pytest.mark.parametrize(
    ("words", "ranks"),
    [
        ([], [1, 2, 3, 4, 5]),
        (["--sort", "acc"], [5, 4, 3, 2, 1]),
        (["--sort", "-acc"], [1, 2, 3, 4, 5]),
        (["--sort", "learning_rate"], [1, 2, 3, 4, 5]),
        (["--sort", "-optimiser.learning_rate", "--top", "2"], [5, 4]),
        (["--top", "3"], [1, 2, 3]),
        (["--top", "9"], [1, 2, 3, 4, 5]),
        (["--sort", "nmi", "--mode", "min"], [1, 2, 3, 4, 5]),
    ],
)
def test_rows_in_another_order_keep_their_ranks(five, words, ranks):
    told = json.loads(invoke(five, *words, "--format", "json").stdout)
    assert [one["rank"] for one in told] == ranks
    done = invoke(five, *words, "--format", "csv")
    assert [int(one["rank"]) for one in csv.DictReader(io.StringIO(done.stdout))] == ranks
    by = words[1] if "--sort" in words else "rank"
    cut = f"{len(ranks)} of 5 configurations, the first by {by}: --top"
    assert (cut in done.stderr) == (len(ranks) < 5)
    shown = invoke(five, *words).stdout
    assert [int(line[0]) for line in shown.splitlines()[2 : 2 + len(ranks)]] == ranks
    assert (cut in shown) == (len(ranks) < 5)


def test_a_column_to_sort_by_that_is_not_there_is_refused(five):
    with pytest.raises(UserError, match="--sort lr2: there is no such column: there are acc, learning_rate, nmi"):
        invoke(five, "--sort", "lr2")


@pytest.mark.parametrize(("column", "ranks"), [("seconds", [2, 1, 3]), ("-seconds", [3, 1, 2])])
def test_a_further_metric_of_the_front_orders_the_rows(tmp_path, column, ranks):
    for rate, seconds in ((1e-3, 2.0), (1e-2, 1.0), (2e-2, 3.0)):
        fill(tmp_path, rates=(rate,), seconds=seconds)
    select = {"metric": "nmi", "mode": "max", "metrics": ["nmi", "seconds"]}
    (tmp_path / "study=s" / "_study.json").write_bytes(seal_json({"study": "s", "select": select}))
    told = json.loads(invoke(tmp_path, "--sort", column, "--format", "json").stdout)
    assert [one["rank"] for one in told] == ranks


def test_as_many_rows_as_asked_are_in_every_table(five):
    for words in (["--columns", "ledger"], ["--attempts"]):
        done = invoke(five, *words, "--top", "2", "--format", "csv")
        assert (done.stdout.count("\n"), "2 of 15 rows, the first: --top 2." in done.stderr) == (3, True)
        with pytest.raises(UserError, match="--sort orders leaderboards"):
            invoke(five, *words, "--sort", "nmi")
    for part, count in ((["--table", "methods"], 1), ([], 2)):
        shown = invoke(five, "--metric", "nmi,acc", "--top", "3", *part).stdout
        assert shown.count("0.001 ") == shown.count("0.003 ") == count
        assert "0.004" not in shown
        assert "3 of 5 rows of each comparison, the first by rank: --top 3." in shown
    done = invoke(five, "--metric", "nmi,acc", "--top", "3", "--table", "methods", "--format", "csv")
    assert (done.stdout.count("\n"), "3 of 5 rows of each comparison" in done.stderr) == (7, True)


def test_names_for_readers_stand_in_tables_for_people_alone(results, tmp_path):
    (tmp_path / "l.yaml").write_text(
        "metrics: {nmi: NMI-1, nmmi: x}\nparameters: {learning_rate: η}\n", encoding="utf-8"
    )
    named = invoke(results, "--labels", tmp_path / "l.yaml")
    assert named.stdout.splitlines()[0].split()[:4] == ["#", "η", "NMI-1", "n"]
    assert "metrics.nmmi: nothing in these results has this name; did you mean 'nmi'?" in named.stderr
    assert "learning_rate" in invoke(results).stdout.splitlines()[0]
    exact = invoke(results, "--labels", tmp_path / "l.yaml", "--format", "csv").stdout
    assert exact == invoke(results, "--format", "csv").stdout
    assert r"\# & learning rate & NMI & n & ACC" in invoke(results, "--format", "latex").stdout


def test_names_for_readers_leave_the_columns_as_they_are(tmp_path, monkeypatch):
    for rate in (1e-3, 2e-3):
        fill(tmp_path, rates=(rate,), params={"optimiser.learning_rate": rate, "method.name": "cc"})
    file = tmp_path / "l.yaml"
    file.write_text("metrics: {nmi: M}\nparameters: {learning_rate: η}\nmethods: {cc: 'CC [1]'}\n", encoding="utf-8")
    seen = set()
    for width in range(40, 120, 3):
        monkeypatch.setattr("jobs.commands.aggregate.width", lambda width=width: width)
        tables = [invoke(tmp_path, *words).stdout for words in ((), ("--labels", file))]
        counts = [len(next(line for line in table.splitlines() if line.startswith("─")).split()) for table in tables]
        assert counts[0] == counts[1]
        seen.add(counts[0])
    assert len(seen) > 2
    assert "method.name=CC [1]" in invoke(tmp_path, "-v", "--labels", file).stdout


def test_how_many_clusters_auto_found_is_shown(tmp_path):
    fill(tmp_path, rates=(1e-3,), params={"n_clusters": "auto"}, health={"n_clusters_found": 7.0})
    fill(tmp_path, rates=(1e-2,), params={"n_clusters": 10})
    lines = invoke(tmp_path, "--format", "markdown").stdout.splitlines()
    head = [cell.strip() for cell in lines[0].split("|")]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines[2:4]]
    assert [(row[head.index("n_clusters")], row[head.index("clusters found")]) for row in cells] == [
        ("auto", "7"),
        ("10.0", ""),
    ]
    told = json.loads(invoke(tmp_path, "--format", "json").stdout)
    assert [one["n_clusters_found"] for one in told] == [7.0, None]
    assert "clusters found" not in invoke(tmp_path, "--where", "config_key == '0.01'").stdout


def test_the_seeds_of_one_configuration_have_no_consensus(tmp_path):
    for seed in (0, 1):
        fill(tmp_path, rates=(1e-3,), seeds=(seed,), health={"raw_silhouette": 0.1 + seed, "knn_consistency": 0.2})
    assert "consensus" not in invoke(tmp_path).stdout
    fill(tmp_path, rates=(1e-2,), health={"raw_silhouette": 0.5, "knn_consistency": 0.9})
    assert "consensus" in invoke(tmp_path).stdout.splitlines()[0]
