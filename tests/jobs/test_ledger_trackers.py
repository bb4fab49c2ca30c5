# ruff: noqa: E501 - one case a line, as trackers write them
"""Exports of trackers: what is about the run is no parameter, what did not end is not ok, what is unclear is asked for."""

import json
import os
import pty
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.ledger import excel, names
from jobs.ledger.cells import moment
from jobs.ledger.durations import duration
from jobs.results.reader import read_results


@pytest.fixture
def take(command, tmp_path):
    def take(text, *more, suffix="csv"):
        (tmp_path / f"t.{suffix}").write_text(text)
        code, out, err = command("import", tmp_path / f"t.{suffix}", "--results", tmp_path / "r", "--yes", *more)
        if code:
            assert code == 2
            assert not (tmp_path / "r").exists()
            return err
        rows = read_results(str(tmp_path / "r")).to_pylist()
        return sorted(rows, key=lambda row: int(json.loads(row["env_json"])["line"])), out

    return take


WANDB = (
    '"Name","State","Notes","User","Tags","Created","Runtime","Sweep","ID","Hostname","lr","seed","nmi","val_loss"\n'
    '"brisk-1","finished","-","me","a,b","2026-06-07T08:00:00.000Z","612","x","q1","h1","0.001","0","0.65","1.5"\n'
    '"lucky-2","finished","-","me","a,b","2026-06-07T08:20:00.000Z","615","x","q2","h1","0.001","1","0.66","1.4"\n'
    '"sad-3","crashed","-","me","a,b","2026-06-07T08:40:00.000Z","15","x","q3","h1","0.01","0","0.10","9"\n'
    '"sad-4","killed","-","me","a,b","2026-06-07T08:41:00.000Z","15","x","q4","h1","0.01","1","","9"\n'
    '"busy-5","running","-","me","a,b","2026-06-07T08:42:00.000Z","15","x","q5","h1","0.01","2","0.2","9"\n'
    '"again-6","finished","-","me","a,b","2026-06-07T09:42:00.000Z","600","x","q6","h1","0.01","0","0.4","2"\n'
)
OPTUNA = (
    ",number,value,datetime_start,datetime_complete,duration,params_lr,params_width,user_attrs_nmi,system_attrs_fixed,state\n"
    "0,0,0.5,2026-06-07 08:00:00.123456,2026-06-07 08:10:00,0 days 00:10:12.5,0.1,64,0.5,x,COMPLETE\n"
    "1,1,0.4,2026-06-07 08:00:01.123456,2026-06-07 08:10:00,0 days 00:00:12,0.2,64,0.4,x,PRUNED\n"
    "2,2,,2026-06-07 08:00:02.123456,2026-06-07 08:10:00,0 days 00:00:12,0.3,64,,x,FAIL\n"
    "3,3,,2026-06-07 08:00:03.123456,,,0.4,64,,x,WAITING\n"
)
RAY = (
    "trial_id,date,timestamp,time_total_s,time_this_iter_s,training_iteration,pid,hostname,node_ip,logdir,nmi,config/lr,config/data/name,experiment_tag,status\n"
    "a1,2026-06-07_08-18-15,1780819200,61.5,2.0,30,77,h,10.0.0.1,/x,0.5,0.1,digits,1_lr=0.1,TERMINATED\n"
    "a2,2026-06-07_08-18-16,1780819201,3.5,2.0,3,78,h,10.0.0.1,/y,0.1,0.2,digits,2_lr=0.2,ERROR\n"
)
MLFLOW = (
    "run_id,experiment_id,status,artifact_uri,start_time,end_time,metrics.nmi,metrics.my score,params.lr,params.depth,tags.mlflow.user\n"
    "f1,0,FINISHED,s3://x,2026-06-07 08:00:00+02:00,2026-06-07 09:00:00+02:00,0.5,3,0.1,2,me\n"
    "f2,0,KILLED,s3://y,2026-06-07 08:00:05+02:00,2026-06-07 09:00:00+02:00,0.4,3,0.2,2,me\n"
    "f3,0,SCHEDULED,s3://y,2026-06-07 08:00:06+02:00,,,,0.3,2,me\n"
)


def params(row):
    return {key: value for key, value in row.items() if key.startswith("param.") and value is not None}


def test_an_export_of_wandb(take, command, tmp_path):
    rows, out = take(WANDB)
    assert "Not counted as finished" in out
    assert [row["status"] for row in rows] == ["ok", "ok", "failed", "failed", "failed", "ok"]
    assert [row["reason"] for row in rows[2:5]] == ["crashed", "killed", "it was running when the table was made"]
    assert all(set(params(row)) == {"param.optimiser.learning_rate"} for row in rows)
    assert rows[0]["started"] == datetime(2026, 6, 7, 8, tzinfo=UTC)
    assert (rows[0]["seconds"], rows[0]["metric.val_loss"]) == (612, 1.5)
    assert json.loads(rows[2]["env_json"])["note.Name"] == "sad-3"
    _, board, _ = command("aggregate", tmp_path / "r", "--metric", "nmi", "--format", "json")
    assert [(one["nmi_n"], round(one["nmi"], 3)) for one in json.loads(board)] == [(2, 0.655), (1, 0.4)]
    assert "0 rows were imported" in take(WANDB)[1]


def test_an_export_of_optuna(take):
    rows, _ = take(OPTUNA)
    assert [(row["status"], row["reason"]) for row in rows] == [
        ("ok", ""), ("stopped", "pruned"), ("failed", "fail"), ("failed", "it was waiting when the table was made"),
    ]  # fmt: skip
    assert params(rows[0]) == {"param.optimiser.learning_rate": 0.1, "param.width": 64}
    assert (rows[0]["metric.value"], rows[0]["metric.nmi"], rows[0]["seconds"]) == (0.5, 0.5, 612.5)
    assert rows[0]["started"].astimezone().microsecond == 123456


def test_an_export_of_ray_tune(take):
    rows, _ = take(RAY)
    assert [(row["status"], row["reason"]) for row in rows] == [("ok", ""), ("failed", "error")]
    assert params(rows[0]) == {"param.optimiser.learning_rate": 0.1, "param.data.name": "digits"}
    assert (rows[0]["seconds"], rows[0]["metric.nmi"]) == (61.5, 0.5)
    assert f"{rows[0]['started'].astimezone():%Y-%m-%d %H:%M:%S}" == "2026-06-07 08:18:15"


def test_an_export_of_mlflow(take):
    rows, _ = take(MLFLOW)
    assert [(row["status"], row["reason"]) for row in rows[:2]] == [("ok", ""), ("failed", "killed")]
    assert rows[2]["status"] == "failed"
    assert params(rows[0]) == {"param.optimiser.learning_rate": 0.1, "param.depth": 2}
    assert (rows[0]["metric.nmi"], rows[0]["metric.my_score"]) == (0.5, 3)
    assert rows[0]["started"] == datetime(2026, 6, 7, 6, tzinfo=UTC)


def test_a_status_that_nobody_knows_is_asked_about(take):
    assert "'meh' is not a final state" in take("lr,status,nmi\n0.1,meh,0.5\n")
    rows, _ = take("lr,status,nmi\n0.1,meh,0.5\n", "--map", "status=note")
    assert rows[0]["status"] == "ok"


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("best ACC", "metric.best_acc"), ("F-score", "metric.f_score"), ("error", "metric.error"), ("val_loss", "metric.val_loss"),
        ("best epoch", "metric.best_epoch"), ("test acc", "metric.test_acc"), ("final nmi", "metric.final_nmi"), ("ACC std", "metric.acc_std"),
        ("contrastive_loss", "metric.contrastive_loss"), ("values_0", "metric.values_0"), ("loss_weight", "param.loss_weight"),
        ("params.batch_size", "param.batch_size"), ("Job Type", "note"), ("Source Version", "note"), ("_step", "note"),
        ("Updated", "note"), ("Group", "note"), ("experiment_id", "note"), ("State", "status"), ("clip", "param.method.clip"),
        ("grad_clip", "param.grad_clip"),
    ],
)  # fmt: skip
def test_a_header_of_a_tracker(header, key):
    assert names.target(header).key == key


ASKED = {
    "an unknown number": ("lr,ncrit,nmi\n1,5,.5\n2,6,.6\n", "--map 'ncrit=parameter', --map 'ncrit=outcome'", ["--map", "ncrit=outcome"], "metric.ncrit", [5, 6]),
    "a name in every row": ("lr,label,nmi\n1,ab,.5\n2,cd,.6\n", "--map 'label=parameter'", ["--map", "label=parameter"], "param.label", ["ab", "cd"]),
    "a share below 1 beside percent": ("lr,ACC,ARI\n1,2.5,0.5\n2,2.7,0.7\n", "--unit 'ARI=percent'", ["--unit", "percent"], "metric.ari", [0.005, 0.007]),
    "the same, a fraction": ("lr,ACC,ARI\n1,2.5,0.5\n2,2.7,0.7\n", "--unit 'ARI=fraction'", ["--unit", "ARI=fraction"], "metric.ari", [0.5, 0.7]),
    "above and below 1": ("lr,ACC\n1,0.9\n2,2.7\n", "--unit 'ACC=percent'", ["--unit", "percent"], "metric.acc", [0.009, 0.027]),
    "best ACC beside percent": ("lr,ACC,best ACC\n1,2.5,0.5\n2,2.7,0.7\n", "--unit 'best ACC=", ["--unit", "percent"], "metric.best_acc", [0.005, 0.007]),
    "two numbers": ("lr,ACC\n1,79.5 (80.1)\n2,78.5 (80.2)\n", "--brackets spread", ["--brackets", "ignore"], "metric.acc", [0.795, 0.785]),
    "their spread": ("lr,loss\n1,0.5 (0.1)\n2,0.6 (0.2)\n", "--brackets ignore", ["--brackets", "spread"], "metric.loss_spread", [0.1, 0.2]),
    "a time that is a length": ("lr,time,nmi\n1,61.5,.5\n2,62,.6\n", "--map 'time=seconds'", ["--map", "time=minutes"], "seconds", [3690, 3720]),
    "a clock": ("lr,time,nmi\n1,0:10:12,.5\n2,0:00:01,.6\n", "--map 'time=seconds'", ["--map", "time=seconds"], "seconds", [612, 1]),
}  # fmt: skip


@pytest.mark.parametrize("case", ASKED)
def test_what_is_unclear_is_refused_naming_the_option_that_answers(take, case):
    text, words, answer, column, values = ASKED[case]
    refused = take(text)
    assert words in refused
    assert refused.count("\n") == 1
    rows, _ = take(text, *answer)
    assert [row[column] for row in rows] == values


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--unit", "tenths"], "--unit 'tenths' should be percent or fraction"),
        (["--unit", "x=percent"], "has no column 'x'; there are: lr, nmi"),
    ],
)
def test_a_wrong_unit_is_refused(take, more, words):
    assert words in take("lr,nmi\n1,.5\n", *more)


def test_at_a_terminal_it_is_asked(root, tmp_path):
    (tmp_path / "t.csv").write_text("lr,ncrit,ACC,ARI\n1,5,2.5,0.5\n2,6,2.7,0.7\n")
    ours, theirs = pty.openpty()
    call = [sys.executable, "-m", "conclus", "import", str(tmp_path / "t.csv"), "--results", str(tmp_path / "r")]
    with subprocess.Popen(call, cwd=root, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        os.write(ours, b"parameter\npercent\ny\n")
        out = running.communicate()[0].decode()
    os.close(ours)
    os.close(theirs)
    assert running.returncode == 0, out
    rows = read_results(str(tmp_path / "r")).to_pylist()
    assert sorted((row["param.ncrit"], row["metric.ari"]) for row in rows) == [(5, 0.005), (6, 0.007)]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0:10:12", 612), ("1-02:03:04", 93784), ("1-02:03", 93780), ("0 days 00:01:02.5", 62.5), ("1 day, 2:03:04", 93784),
        ("1h 2m", 3720), ("1h2m3s", 3723), ("350ms", 0.35), ("10.2min", 612), ("2d 1h", 176400), ("2小时3分5秒", 7385), ("100:00:00", 360000),
    ],
)  # fmt: skip
def test_a_duration_as_programs_write_it(text, seconds):
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["10:12", "0:61:00", "0:10:61", "1-25:00:00", "5 parsecs", "-1 days +23:59:59", "1h 2", ""]
)
def test_what_is_no_duration_is_none(text):
    with pytest.raises(ValueError, match=r"not a duration|may be"):
        duration(text)


@given(st.timedeltas(timedelta(0), timedelta(days=300)))
def test_every_length_that_pandas_writes_is_read(length):
    whole = timedelta(seconds=int(length.total_seconds()))
    rest = timedelta(seconds=whole.seconds)
    assert duration(f"{whole.days} days {rest}") == whole.total_seconds()
    assert duration(f"{whole.days}-{rest!s:0>8}") == whole.total_seconds()


@given(st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
def test_every_time_keeps_its_zone(at):
    at = at.replace(tzinfo=UTC) if at.utcoffset() is None or at.utcoffset().total_seconds() % 60 else at
    assert moment(at.isoformat()).at(None) == at.astimezone(UTC)
    assert moment(at.astimezone(UTC).isoformat().replace("+00:00", "Z")).at(None) == at.astimezone(UTC)


def book(tmp_path, rows, formats=()):
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    for cell, form in formats:
        made.active[cell].number_format = form
    made.save(tmp_path / "t.xlsx")
    return tmp_path / "t.xlsx"


@pytest.mark.parametrize(
    ("form", "value", "acc"), [("0.0%", 0.843, 0.843), ('0.0"%"', 84.3, 0.843), (r"0.0\%", 84.3, 0.843), ('"100%"0.0', 84.3, 0.843)]
)  # fmt: skip
def test_a_percent_sign_is_a_unit_only_in_a_percent_format(command, tmp_path, form, value, acc):
    path = book(tmp_path, [["lr", "ACC"], [0.1, value]], [("B2", form)])
    code, _, err = command("import", path, "--results", tmp_path / "r", "--yes")
    assert code == 0, err
    assert read_results(str(tmp_path / "r"))["metric.acc"].to_pylist() == [acc]


def test_lengths_of_time_in_a_workbook(command, tmp_path):
    path = book(tmp_path, [["lr", "runtime"], [0.1, timedelta(days=1, hours=2, seconds=3)]])
    assert command("import", path, "--results", tmp_path / "r", "--yes")[0] == 0
    assert read_results(str(tmp_path / "r"))["seconds"].to_pylist() == [93603]


def changed(path, name, change):
    """The workbook with one of its parts changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {one: archive.read(one) for one in archive.namelist()}
    parts[name] = change(parts[name])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one, content in parts.items():
            archive.writestr(one, content)


SHEET = "xl/worksheets/sheet1.xml"
ENTITY = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
HARMFUL = {
    "far": (
        SHEET,
        lambda xml: xml.replace(b'r="B2"', b'r="XFD1048576"'),
        "its cells reach to row 1048576 and column 16384",
    ),
    "merged": (
        SHEET,
        lambda xml: xml.replace(
            b"</sheetData>", b'</sheetData><mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'
        ),
        "its cells reach to row",
    ),
    "bomb": (SHEET, lambda xml: xml + b" " * (excel._MOST_BYTES + 1), "unpacks to more than 128 MiB"),
    "entities": (SHEET, lambda xml: xml.replace(b"<worksheet", ENTITY + b"<worksheet", 1), "is not an Excel workbook"),
    "torn": (SHEET, lambda xml: xml[:100], "is not an Excel workbook"),
    "nested": (SHEET, lambda _: b"<a>" * 100_000, "is not an Excel workbook"),
}


@pytest.mark.parametrize("kind", HARMFUL)
def test_a_workbook_made_to_harm_is_refused_before_it_is_read(command, tmp_path, kind):
    part, change, words = HARMFUL[kind]
    path = book(tmp_path, [["lr", "nmi"], [0.1, 0.5]])
    assert command("import", path, "--results", tmp_path / "ok", "--yes")[0] == 0
    changed(path, part, change)
    code, _, err = command("import", path, "--results", tmp_path / "r", "--yes")
    assert code == 2
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, "was written by Excel before 2007 or has a password"),
        (b"PK\x03\x04torn", "is not an Excel workbook"),
    ],
)
def test_an_old_or_torn_workbook_is_one_sentence(command, tmp_path, data, words):
    (tmp_path / "t.xlsx").write_bytes(data)
    code, _, err = command("import", tmp_path / "t.xlsx", "--results", tmp_path / "r", "--yes")
    assert (code, err.count("\n")) == (2, 1)
    assert words in err


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("t.md", b"| a | b |\n" + b" " * 200_000 + b"x|\n", "t.md:2: the line has more than 10000 characters"),
        ("t.csv", b"lr,nmi\n1," + b"9" * 200_000 + b"\n", "field larger than field limit"),
        ("t.csv", b"x" * (32 * 2**20 + 1), "t.csv has more than 32 MiB"),
        ("t.md", b"| lr | a |\n|---|---|\n| 1 | \0 |\n", "t.md:3: this is not a text file"),
    ],
)
def test_a_text_made_to_harm_is_one_sentence(command, tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    code, _, err = command("import", tmp_path / name, "--results", tmp_path / "r", "--yes")
    assert (code, err.count("\n")) == (2, 1)
    assert words in err


def test_what_is_no_file_is_not_waited_for(command, tmp_path):
    os.mkfifo(tmp_path / "t.csv")
    code, _, err = command("import", tmp_path / "t.csv", "--results", tmp_path / "r", "--yes")
    assert code == 2
    assert "this is not a regular file" in err
