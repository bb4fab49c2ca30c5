"""Each sample's cluster from its trial to a file: the very ones of the scores, kept for the best, checked when read."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from core.errors import UserError
from core.evaluation import metrics
from core.seal import seal_json, unseal_json
from jobs.models import assignments, choice, written
from jobs.results import compact, header, reader, writer
from jobs.results.header import HeaderRow
from jobs.results.schema import Attempt

TEXT = """study: s
trial:
  data: {name: file, path: mine.npz}
  method: {name: cc}
  encoder: {name: mlp, widths: [16, 8]}
  batch_size: 16
  epochs: 4
  evaluation: {every: 2}
space:
  learning_rate: {grid: [0.001, 0.01]}
seeds: [0, 1]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    samples = rng.normal(size=(3, 5))[labels] * 3 + rng.normal(size=(60, 5))
    np.savez(tmp_path / "mine.npz", X=samples, y=labels)
    frame = pd.DataFrame(samples, columns=list("abcde")).assign(label=labels)
    frame.insert(0, "name", [f"sample-{one}" for one in range(60)])
    frame.to_csv(tmp_path / "named.csv", index=False)
    (tmp_path / "s.yaml").write_text(TEXT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder, command):
    """Runs the study in this process."""

    def run(*words, results="results", code=0):
        found = command("run", "s.yaml", "--workers", "1", "--results", results, *words)
        assert found[0] == code, found[2]
        return found[1] + found[2]

    return run


def kept(results="results"):
    return sorted(Path(results, "study=s", "_assignments").glob("*.pq"))


def rows(results="results"):
    return {one["trial_key"]: one for one in reader.read_results([results]).to_pylist()}


def sets(*words):
    return [part for word in words for part in ("--set", word)]


ONE = sets("seeds=[0]", "learning_rate=0.01")


# What is kept


def test_the_clusters_are_those_of_the_row_s_scores(run):
    run(*sets("select.save_assignments=true"))
    labels = np.arange(60) % 3
    assert len(kept()) == 4
    for file in kept():
        table, row = parquet.read_table(file), rows()[file.name.split(".")[0]]
        assert file.name == f"{row['trial_key']}.{row['attempt_id']}.pq"
        clusters = table["cluster"].to_numpy()
        assert np.bincount(clusters, minlength=3).tolist() == row["cluster_sizes"]
        for name, value in metrics.scores(clusters, labels).items():
            assert row[f"metric.{name}"] == value
        assert float(np.float32(row["health.confidence"])) == pytest.approx(table["probability"].to_numpy().mean())
        assert table["id"].to_pylist() == list(range(60))
        about = json.loads(parquet.read_metadata(file).metadata[b"assignment"])
        kept_of = {"metric": "nmi", "value": row["metric.nmi"], "data": row["data_hash"]}
        assert about == {"epoch": 4, "part": "all", **kept_of}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="/proc tells the threads of a process")
def test_no_thread_of_arrow_outlives_the_reading_of_rows_or_clusters(run):
    """One that still holds what Python read aborts the process as it ends, once in some thousand times."""
    run("--set", "select.save_assignments=true")
    compact.compact("results")
    code = """
import os
from pathlib import Path
import numpy, pyarrow.parquet
from jobs.models import assignments
from jobs.results import reader

def threads():
    return sorted(os.listdir("/proc/self/task"))

before = threads()
row, *_ = reader.read_results(["results"]).to_pylist()
assert threads() == before
assignments.read(Path("results/study=s"), row)
assert threads() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("metric", "mode"), [("nmi", "max"), ("loss_cluster", "min"), ("best.acc", "max")])
def test_the_best_so_far_is_kept_and_others_are_deleted_when_it_is_overtaken(run, metric, mode):
    run(*sets(f"select={{metric: {metric}, mode: {mode}}}"))
    column = metric if "." in metric else f"metric.{metric}"
    best = (min if mode == "min" else max)(rows().values(), key=lambda row: (row[column], row["attempt_id"]))
    first = min(row["attempt_id"] for row in rows().values() if row[column] == best[column])
    assert [file.name.split(".")[1] for file in kept()] == [first]


def test_a_trial_without_a_value_loses_and_of_equal_ones_the_earliest_wins():
    values = [("A", None), ("B", 0.5), ("C", math.nan), ("D", 0.7), ("E", 0.7)]
    attempts = [
        Attempt(
            study="s", trial_key="t", config_key="c", seed=0, attempt_id=name, metrics={} if v is None else {"nmi": v}
        )
        for name, v in values
    ]
    for mode, order in (("max", "DEBAC"), ("min", "BDEAC")):
        rule = assignments.KeepRule.of("nmi", mode, every=None)
        assert "".join(one.attempt_id for one in sorted(attempts, key=rule.rank)) == order


def test_none_are_kept_where_none_are_wanted(run, command):
    said = run(*sets("select.save_assignments=false"))
    assert not Path("results/study=s/_assignments").exists()
    assert "clusters are kept" not in said
    code, _, err = command("assign")
    assert (code, err.count("\n")) == (2, 1)
    assert "has no stored clusters: the study was run with `select: {save_assignments: false}`. Run it again" in err
    assert command("assign", "--trial", "zz")[2].endswith("No trial's clusters are stored.\n")
    again = err.partition("Run it again: conclus ")[2].split()
    assert command(*again, "--workers", "1")[0] == 0
    assert len(kept("again")) == 4
    assert command("assign", "again")[0] == 0


HELD = """
import numpy as np
from core.data.dataset import Dataset

def fingerprint() -> str:
    return "held"

def load() -> Dataset:
    with np.load("mine.npz") as data:
        parts = np.array([2, 0, 0] * 20, np.int8)
        return Dataset("held", data["X"].astype("f4"), data["y"], ("a", "b", "c"), "held", parts=parts)
"""


def test_of_data_with_held_out_parts_those_of_the_training_part(run, command):
    Path("held.py").write_text(HELD)
    text = Path("s.yaml").read_text().replace("{name: file, path: mine.npz}", "{name: ./held.py}")
    Path("s.yaml").write_text(text)
    run(*ONE)
    (file,) = kept()
    assert parquet.read_table(file)["id"].to_pylist() == [row for row in range(60) if row % 3]
    code, out, _ = command("assign", "--out", "c.csv")
    assert (code, out) == (0, "Wrote the clusters of 40 samples of the training part to c.csv.\n")


def test_the_data_s_own_ids_are_kept(run):
    run(*ONE, *sets("data={name: file, path: named.csv, id: name}"))
    (file,) = kept()
    assert parquet.read_table(file)["id"].to_pylist() == [f"sample-{one}" for one in range(60)]


def test_without_a_head_there_are_no_probabilities(run):
    run(*ONE, *sets("method=propos", "select.metric=kmeans_nmi"))
    (file,) = kept()
    table = parquet.read_table(file)
    assert table["probability"].null_count == 60
    assert table["second"].null_count == table["distance"].null_count == 0
    assert (table["second"].to_numpy() != table["cluster"].to_numpy()).all()


def test_ids_of_any_type_are_numbers_or_text():
    assert assignments.as_ids(np.array([3, 1], np.uint16)).equals(pa.array([3, 1], pa.int64()))
    assert assignments.as_ids(np.array([2**64 - 1], np.uint64)).to_pylist() == ["18446744073709551615"]
    assert assignments.as_ids(np.array(["a", 1], object)).to_pylist() == ["a", "1"]


def test_two_machines_merged_keep_each_its_own(run, command):
    run(*ONE)
    run(*ONE, results="other")  # the same trial, another attempt
    shutil.copytree("other", "results", dirs_exist_ok=True)
    first, second = kept()
    assert first.name.split(".")[0] == second.name.split(".")[0]
    assert command("assign", "--out", "c.parquet")[0] == 0
    # The earlier attempt is the trial's row: without its file the other one is not taken.
    first.unlink()
    code, _, err = command("assign")
    assert (code, "has no stored clusters" in err) == (2, True)
    second.rename(first)
    code, _, err = command("assign")
    assert (code, err.count("\n")) == (2, 1)
    assert "of another attempt at it" in err


# Two processes that are killed, each with its results; what both import is imported once.
CHILD = """
import os, signal, sys
sys.path.insert(0, ROOT)
import conclus, jobs.execution.trial
from jobs.models import assignments
from jobs.results import local
whole, through = local.put_through, local._write_through

def put(path, data):
    whole(path, data)
    if path.parent.name == "_assignments" and WHEN == "after":
        os.kill(os.getpid(), signal.SIGKILL)

def write(path, data):
    if path.parent.name == "_assignments" and WHEN == "while":
        path.write_bytes(data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
    through(path, data)

from jobs.results import storage
storage.put_through, local._write_through = put, write
for WHEN in ("while", "after"):
    if (pid := os.fork()) == 0:
        sys.argv = ["conclus", "run", "s.yaml", "--workers", "1", "--results", WHEN]
        sys.argv += ["--set", "seeds=[0]", "--set", "learning_rate=0.01"]
        conclus.main()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
"""


def test_killed_while_it_writes_the_next_run_has_the_clusters_of_its_own_attempt(folder, run, command, root):
    code = CHILD.replace("ROOT", repr(str(root)))
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    for when in ("while", "after"):
        assert [one["status"] for one in rows(when).values()] == ["running"]
        assert len(kept(when)) == (when == "after")
        run(*ONE, results=when)
        (row,) = rows(when).values()
        assert [file.name for file in kept(when)] == [f"{row['trial_key']}.{row['attempt_id']}.pq"]
        assert command("assign", when)[0] == 0
        assert not [one for one in Path(when, "study=s", "_assignments").iterdir() if one.name.startswith(".")]


# A stranger's files


def rewritten(file, table=None, *, row=None, about=None, **options):
    """The file with another table or header, and a digest that fits."""
    metadata = parquet.read_metadata(file).metadata
    (own,) = header.read(file.read_bytes()).rows
    sink = pa.BufferOutputStream()
    table = parquet.read_table(file) if table is None else table
    with parquet.ParquetWriter(sink, table.schema.remove_metadata(), **({"use_dictionary": False} | options)) as writer:
        writer.write_table(table)
        marks = {"assignment": about or metadata[b"assignment"].decode()}
        writer.add_key_value_metadata(marks | {"conclus": header.encode([row or own], "s").decode()})
    file.write_bytes(header.seal(sink.getvalue().to_pybytes()))


def other_column(name, values):
    def change(file):
        table = parquet.read_table(file)
        rewritten(file, table.set_column(table.column_names.index(name), name, values))

    return change


def flip(file):
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.write_bytes(content)


def link(file):
    file.unlink()
    file.symlink_to("/etc/passwd")


def huge(file):
    with file.open("r+b") as stream:
        stream.truncate(2**31)


def fifo(file):
    file.unlink()
    os.mkfifo(file)


def bomb(file):
    table = parquet.read_table(file).set_column(0, "id", pa.array(["x" * 2**20] * 60))
    rewritten(file, table, use_dictionary=["id"], compression="zstd")


def many(file):
    table = parquet.read_table(file)
    rewritten(file, pa.concat_tables([table] * 1000).combine_chunks())


def varint(number):
    """A signed number as Thrift's compact protocol has it in a footer."""
    number, found = 2 * number, []
    while number > 127:
        number, found = number >> 7, [*found, number & 127 | 128]
    return bytes([*found, number])


def large_group(file):
    """A footer that tells of a row group of 4 GB, with a digest that fits."""
    content = file.read_bytes()
    length = int.from_bytes(content[-8:-4], "little")
    data, footer = content[: -8 - length], content[-8 - length : -8]
    before, own, after = footer.rpartition(varint(parquet.read_metadata(file).row_group(0).total_byte_size))
    footer = before + varint(2**32) + after
    assert own
    file.write_bytes(header.seal(data + footer + len(footer).to_bytes(4, "little") + b"PAR1"))
    assert parquet.read_metadata(file).row_group(0).total_byte_size == 2**32


HARM = {
    "a changed byte": (flip, "digest"),
    "cut short": (lambda file: file.write_bytes(file.read_bytes()[:-100]), "no Parquet footer"),
    "empty": (lambda file: file.write_bytes(b""), "cannot be used"),
    "a link": (link, "cannot be used"),
    "2 GB": (huge, "2,147,483,648 bytes"),
    "a FIFO": (fifo, "it is a FIFO"),
    "another trial": (lambda file: rewritten(file, row=HeaderRow("f" * 16, "A", "ok")), "of another trial"),
    "another attempt": (
        lambda file: rewritten(file, row=HeaderRow(file.name.split(".")[0], "A", "ok")), "of another attempt"
    ),
    "more samples": (many, "60,000 samples, and the trial's row tells of 60"),
    "a row group of 4 GB": (large_group, "unpacks to more than 2 GB"),
    "one long id": (bomb, "not encoded"),
    "another type": (other_column("cluster", pa.array([0.5] * 60)), "columns"),
    "other clusters": (other_column("cluster", pa.array([0] * 60, pa.int32())), "sizes of its clusters"),
    "clusters beyond": (other_column("cluster", pa.array([-1] * 60, pa.int32())), "names clusters"),
    "no epoch": (lambda file: rewritten(file, about='{"epoch": "\\u001b[2J"}'), "epoch"),
    "no text": (other_column("id", pa.array([b"\xff\xfe"] * 60).view(pa.string())), "UTF8"),
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory, root):
    """Results of one trial."""
    folder = tmp_path_factory.mktemp("finished")
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    np.savez(folder / "mine.npz", X=rng.normal(size=(3, 5))[labels] * 3 + rng.normal(size=(60, 5)), y=labels)
    (folder / "s.yaml").write_text(TEXT)
    words = [sys.executable, str(root / "conclus.py"), "run", "s.yaml", "--workers", "1", *ONE]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def strange(finished, tmp_path, monkeypatch):
    """The file of clusters in a copy of these results."""
    shutil.copytree(finished, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return kept()[0]


@pytest.mark.parametrize("harm", HARM)
def test_a_file_that_is_not_the_trial_s_is_refused_in_one_line(strange, command, harm):
    change, said = HARM[harm]
    change(strange)
    code, out, err = command("assign", "--out", "c.csv")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err
    assert "\x1b" not in err
    assert not Path("c.csv").exists()


@pytest.mark.parametrize("harm", ["a changed byte", "a link", "2 GB", "a FIFO", "another attempt", "no epoch"])
def test_such_files_neither_stop_a_trial_nor_win_nor_are_deleted(strange, command, harm):
    HARM[harm][0](strange)
    words = [*sets("seeds=[1]", "learning_rate=0.001"), "--workers", "1"]
    assert command("run", "s.yaml", *words)[0] == 0
    assert len(kept()) == 2
    assert os.path.lexists(strange)


def test_names_with_control_characters_are_shown_and_written_without_them(strange, command):
    names = ["\x1b[2J", "=1+1", "a\nb", "名", *(f"n{one}" for one in range(4, 60))]
    other_column("id", pa.array(names))(strange)
    code, out, _ = command("assign")
    assert (code, "\x1b" in out) == (0, False)
    assert "\\x1b[2J" in out
    for ending in ("csv", "tsv"):
        assert command("assign", "--out", f"c.{ending}")[0] == 0
        found = pd.read_csv(f"c.{ending}", sep="," if ending == "csv" else "\t")
        assert found["id"].tolist() == ["\\x1b[2J", "'=1+1", "a\nb", "名", *names[4:]]


def test_names_that_lead_elsewhere_are_not_followed(strange, command):
    table = reader.read_results(["results"], history=True)
    for file in Path("results/study=s/trials").glob("*"):
        file.unlink()
    place = table.column_names.index("attempt_id")
    outside = Path("outside.pq")
    strange.rename(outside)
    harmful = table.set_column(place, "attempt_id", pa.array(["x/../../../../outside"]))
    Path("results/study=s/trials/x.parquet").write_bytes(writer.stored(harmful, "s"))
    assert "has no stored clusters" in command("assign")[2]


def test_a_folder_that_is_a_link_is_not_written_through(strange, command):
    outside = Path("outside")
    strange.parent.rename(outside)
    strange.parent.symlink_to(outside.resolve())
    assert command("run", "s.yaml", "--workers", "1", *sets("select.save_assignments=true"))[0] == 0
    assert len(list(outside.iterdir())) == 1


# Choosing and writing


def test_a_trial_is_named_by_its_beginning_or_chosen(run, command):
    run(*sets("select.save_assignments=true"))
    run(*sets("epochs=1", "select.save_assignments=true"))
    found = rows()
    for key, row in found.items():
        code, _, err = command("assign", "--trial", key[:6], "--out", "one.parquet")
        assert (code, f"trial {key} (epochs {row['param.epochs']:.0f}, learning_rate " in err) == (0, True)
        clusters = parquet.read_table("one.parquet")["cluster"].to_numpy()
        assert np.bincount(clusters, minlength=3).tolist() == row["cluster_sizes"]
    best = max(found.values(), key=lambda row: row["metric.nmi"])
    err = command("assign", "--best")[2]
    assert f"trial {best['trial_key']} (epochs {best['param.epochs']:.0f}, learning_rate " in err
    assert f"the best of 8 finished trials by nmi, which uses the labels: {best['metric.nmi']:.3f}" in err
    assert "by consensus, which uses no labels" in command("assign", "--best-label-free")[2]


def test_an_unknown_trial_is_told_those_with_clusters_the_best_first(run, command):
    run(*sets("select.save_assignments=true", "seeds=[0, 1, 2, 3, 4, 5]", "epochs=1"))
    best = sorted(rows().values(), key=lambda row: (-row["metric.nmi"], row["trial_key"]))
    wanted = ", ".join(f"{row['trial_key']} (nmi {row['metric.nmi']:.3f})" for row in best[:10])
    code, out, err = command("assign", "--trial", "zz")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.endswith(f"Trials with stored clusters, the best first: {wanted} and 2 more.\n")
    for file in kept()[1:]:
        file.unlink()
    left = kept()[0].name.split(".")[0]
    (other, *_) = [row["trial_key"] for row in best if row["trial_key"] != left]
    err = command("assign", "--trial", other)[2]
    assert "only those of a better trial were to be kept. Trials with stored clusters, the best first: " in err
    assert f"first: {left} (nmi {rows()[left]['metric.nmi']:.3f}). Run it again: " in err


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ([0, 60, 0], ["all 60 samples lie in one cluster, so the clusters tell nothing apart"]),
        ([20, 40, 0, 0], ["2 of the 4 clusters are empty"]),
        ([20, 40], []),
    ],
)
def test_empty_clusters_are_told(sizes, said):
    assert choice.ChosenTrial(Path(), {"cluster_sizes": sizes}, "").remarks == said


def test_a_trial_that_is_not_finished_is_neither_the_best_nor_shown(strange, command):
    other = Attempt(study="s", trial_key="f" * 16, config_key="c", seed=7, attempt_id="A", metrics={"nmi": 2.0})
    writer.write("results", other)
    code, _, err = command("assign")
    assert (code, "the best of 1 finished trial by nmi" in err) == (0, True)
    code, _, err = command("assign", "--trial", "ffff")
    assert (code, err.count("\n")) == (2, 1)
    assert "is running: clusters are kept when a trial is finished" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--trial", "zz"], "has no trial 'zz'"),
        (["--trial", "a", "--best"], "give one of them"),
        (["--out", "c.json"], "should end in one of .csv, .tsv, .parquet, .h5ad"),
        (["--out", "c.csv", "--data", "x.h5ad"], "give it with --out"),
        (["--out", "c.h5ad"], "mine.npz, is no .h5ad file"),
        (["--study", "other"], "There is no study 'other'"),
    ],
)
def test_a_mistake_is_one_line(strange, command, words, said):
    code, _, err = command("assign", *words)
    assert code == 2
    assert said in err.splitlines()[-1]
    assert len(err.splitlines()) <= 2  # the trial that was chosen may be named before


def test_what_is_written_is_what_is_kept(strange, command):
    whole = parquet.read_table(strange)
    for ending, read in (("csv", pd.read_csv), ("tsv", pd.read_table), ("parquet", pd.read_parquet)):
        assert command("assign", "--out", f"c.{ending}")[0] == 0
        found = read(f"c.{ending}")
        for name in whole.column_names:
            np.testing.assert_allclose(found[name], whole[name].to_numpy(), rtol=1e-6)
    out = command("assign")[1].splitlines()
    assert out[0].split() == whole.column_names
    assert len(out) == 12


def test_an_object_store_is_not_asked_for_an_address_that_only_results_name(strange, command, foreign_store):
    file = Path("results/study=s/_study.json")
    content = unseal_json(file.read_bytes())
    port, asked = foreign_store
    content["trial"]["data"]["path"] = f"s3://bucket/mine.npz?scheme=http&endpoint_override=127.0.0.1:{port}"
    file.write_bytes(seal_json(content))
    code, _, err = command("assign", "--out", "c.h5ad")
    assert (code, asked) == (2, [])
    assert "the data is at s3://bucket/mine.npz: name it with --data" in err.splitlines()[-1]
    assert not Path("c.h5ad").exists()


# Data without labels


def test_a_run_on_data_without_labels_chooses_by_the_consensus_and_says_so(run, command):
    with np.load("mine.npz") as data:
        np.savez("mine.npz", X=data["X"])
    several = sets("n_clusters=3", "budget.trials=2")
    run(*several, code=3)
    assert len(kept()) == 2  # the consensus needs all trials
    said = run(*several)
    assert "Ranked by consensus, which uses no labels" in said
    assert "those of the best by consensus, without labels: conclus assign results --out clusters.csv" in said
    assert "clusters are kept of 1 trial (" in said
    code, _, err = command("assign", "results", "--out", "clusters.csv")
    assert code == 0
    assert "is the best of 4 finished trials by consensus, which uses no labels: " in err
    assert len(pd.read_csv("clusters.csv")) == 60


def test_trials_that_the_consensus_does_not_compare_are_listed_by_their_number_of_clusters(run, command):
    with np.load("mine.npz") as data:
        np.savez("mine.npz", X=data["X"])
    run(*sets("space={n_clusters: {grid: [2, 3]}}", "epochs=1"))
    code, _, err = command("assign", "--out", "clusters.csv")
    assert code == 2
    assert re.search(r"the best of each first: n_clusters 2: \w+ \(.*; n_clusters 3: \w+ \(", err)


# .h5ad


def anndata(path, names, *, kept=True):
    """A file as AnnData 0.8 and later writes it, with a column in obs."""
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        file.create_dataset("X", data=np.random.default_rng(0).normal(size=(len(names), 4)).astype("f4"))
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        for group, index in (("obs", names), ("var", list("abcd"))):
            table = file.create_group(group)
            table.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
            table.attrs["column-order"] = np.array(["depth"] if group == "obs" and kept else [], dtype=text)
            table.create_dataset("_index", data=np.array(index, object), dtype=text)
            table["_index"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
        if kept:
            file["obs"].create_dataset("depth", data=np.arange(len(names), dtype="f8"))
            file["obs/depth"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return path


def categories(path):
    with h5py.File(path) as file:
        column = file["obs/conclus_cluster"]
        assert dict(column.attrs) == {"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False}
        assert list(file["obs"].attrs["column-order"]) == ["depth", "conclus_cluster"]
        names = column["categories"].asstr()[:]
        return [None if code < 0 else names[code] for code in column["codes"][:]]


@pytest.mark.parametrize("by", ["name", "row"])
def test_the_copy_of_an_h5ad_file_has_the_clusters_and_the_original_stays(tmp_path, by):
    source = anndata(tmp_path / "cells.h5ad", ["c", "a", "d", "b"])
    before = source.read_bytes()
    ids = pa.array(["a", "b", "c"]) if by == "name" else pa.array([1, 3, 0])
    table = pa.table({"id": ids, "cluster": pa.array([10, 2, 2], pa.int32())})
    for _ in range(2):  # the second time its own copy has the column already
        written.copy_with_clusters(source, tmp_path / "out.h5ad", table)
        assert categories(tmp_path / "out.h5ad") == ["2", "10", None, "2"]
        assert source.read_bytes() == before
        source, before = tmp_path / "again.h5ad", (tmp_path / "out.h5ad").read_bytes()
        source.write_bytes(before)
    with h5py.File(tmp_path / "out.h5ad") as file:
        assert file["obs/depth"][:].tolist() == [0, 1, 2, 3]


def other_samples(file):
    del file["obs/_index"]
    file["obs"].create_dataset("_index", data=np.array(["x"] * 4, object), dtype=h5py.string_dtype())


def linked(file):
    file["real"] = file["obs"]
    del file["obs"]
    file["obs"] = h5py.SoftLink("/real")


def old(file):
    del file["obs"]
    file["obs"] = np.zeros(4, [("index", "S1")])


@pytest.mark.parametrize(("change", "said"), [(other_samples, "each once"), (linked, "no .h5ad"), (old, "no .h5ad")])
def test_an_h5ad_file_of_another_kind_is_refused_and_nothing_is_left(tmp_path, change, said):
    source = anndata(tmp_path / "cells.h5ad", list("cadb"))
    with h5py.File(source, "r+") as file:
        change(file)
    table = pa.table({"id": ["a", "b"], "cluster": pa.array([0, 1], pa.int32())})
    with pytest.raises(UserError, match=said):
        written.copy_with_clusters(source, tmp_path / "out.h5ad", table)
    assert list(tmp_path.iterdir()) == [source]


def test_a_study_of_an_h5ad_file_writes_a_copy_of_it(run, command):
    anndata(Path("cells.h5ad"), [f"cell-{one}" for one in range(60)])
    before = Path("cells.h5ad").read_bytes()
    run(*ONE, *sets("data={name: file, path: cells.h5ad}", "n_clusters=3"))
    code, _, err = command("assign", "--out", "out.h5ad")
    assert code == 0, err
    clusters = parquet.read_table(kept()[0])["cluster"].to_pylist()
    assert categories("out.h5ad") == list(map(str, clusters))
    assert command("assign", "--out", "cells.h5ad")[0] == 2
    assert Path("cells.h5ad").read_bytes() == before


# New images


def test_grey_images_fit_a_model_of_colours_and_it_is_said(run, command):
    rng = np.random.default_rng(0)
    for folder, shape in (("colour", (8, 8, 3)), ("grey", (8, 8))):
        for place in range(12):
            file = Path(folder, "ab"[place % 2], f"{place}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(file)
            if folder == "grey":
                (Path("repeated") / file.parent.name).mkdir(parents=True, exist_ok=True)
                Image.open(file).convert("RGB").save(Path("repeated", file.parent.name, file.name))
    words = sets("data={name: file, path: colour}", "n_clusters=2", "batch_size=6", "select.save_model=true")
    run(*ONE, *words)
    (model,) = Path("results/study=s/models").iterdir()
    for folder, is_told in (("grey", True), ("repeated", False)):
        code, _, err = command("embed", model, folder, "--out", f"{folder}.parquet")
        assert code == 0, err
        said = f"{folder}: 12 samples, samples of shape (3, 8, 8), matched by position"
        more = "; the grey channel is repeated, because the model was trained on colours" if is_told else ""
        assert err == f"{said}{more}\n"
    grey, repeated = (parquet.read_table(f"{folder}.parquet") for folder in ("grey", "repeated"))
    assert grey["vector"].to_pylist() == repeated["vector"].to_pylist()
    assert grey["cluster"].to_pylist() == repeated["cluster"].to_pylist()


def test_trials_with_clusters_are_told_for_each_data_set(run, command):
    two = "space={data: {grid: [{name: file, path: mine.npz}, {name: file, path: named.csv, id: name}]}}"
    run(*sets(two, "select.save_assignments=true", "seeds=[0, 1]", "epochs=1"))
    of = {one: [row["trial_key"] for row in rows().values() if one in row["param.data.path"]] for one in ("npz", "csv")}
    code, _, err = command("assign", "--best")
    assert "the best of each first: mine: " in err, err
    said = err
    first, second = said.split("; named: ")
    assert code == 2
    assert [all(key in part for key in of[one]) for part, one in ((first, "npz"), (second, "csv"))] == [True, True]
