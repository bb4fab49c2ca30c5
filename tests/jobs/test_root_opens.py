"""The root of results is a data set of its own to whatever reads Parquet."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from jobs.execution import driver
from jobs.execution.driver import new_job
from jobs.execution.runner import run
from jobs.results import layout, reader, writer
from jobs.results.schema import Attempt
from jobs.study import study

STUDY = """study: {name}
trial:
  data: {{name: file, path: mine.npz}}
  encoder: {{name: mlp, widths: [8]}}
  method: {{name: {method}}}
  batch_size: 60
  epochs: 1
space: {space}
seeds: [0, 1]
select: {{metric: nmi, mode: max, save_model: true}}
"""

VARIANTS = [
    ("b", "cc", "learning_rate: {grid: [1.0e-3]}"),
    ("a", "conclus", "method.tolerance: {grid: [0.01]}"),
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Two studies of different parameters with models, a record of a job, a queue, a log and a checkpoint."""
    folder = tmp_path_factory.mktemp("root")
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    np.savez(folder / "mine.npz", x=(rng.normal(size=(3, 6)) * 4)[labels] + rng.normal(size=(120, 6)), y=labels)
    results = folder / "results"
    for name, method, space in VARIANTS:
        (folder / f"{name}.yaml").write_text(STUDY.format(name=name, method=method, space=f"{{{space}}}"))
        read = study.load(str(folder / f"{name}.yaml"))
        assert run(read, results=str(results), workers=1).done == 2
        assert driver.write(new_job(name, "http://head:8265", str(results), None), read)
    writer.write(
        str(results), Attempt(study="c", trial_key="t", config_key="c", seed=0, attempt_id="A", params={"own": 1})
    )
    for place in ("_queue/1.json", "study=a/_logs/t.txt", "study=a/_checkpoints/t.1.pt", "study=b/_exchanges/t.1.pt"):
        (results / place).parent.mkdir(exist_ok=True)
        (results / place).write_text("no rows")
    assert len(list(results.glob("study=*/models/_*/best_model.pt"))) == 4
    return results


READERS = {
    "pandas": pd.read_parquet,
    "pyarrow": lambda root: ds.dataset(root, partitioning="hive").to_table().to_pandas(),
    "pyarrow.parquet": lambda root: pq.read_table(root).to_pandas(),
    "polars": lambda root: pl.scan_parquet(
        f"{root}/**/*.parquet", hive_partitioning=True, missing_columns="insert", extra_columns="ignore"
    ).collect(),
    "duckdb": lambda root: duckdb.sql(
        f"from read_parquet('{root}/**/*.parquet', hive_partitioning = true, union_by_name = true)"
    ).df(),
}


@pytest.mark.parametrize("name", READERS)
def test_every_row_of_the_root_is_read(opened, name):
    table = READERS[name](opened)
    assert sorted(zip(table["study"], table["seed"], strict=True)) == [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0)]
    assert sorted(table["trial_key"]) == sorted(reader.read_results(str(opened))["trial_key"].to_pylist())


def all_columns(files):
    return pa.unify_schemas([pq.read_schema(file) for file in files])


def test_all_columns_come_with_the_lines_of_the_docs(opened):
    files = sorted(map(str, opened.glob("study=*/*/*.parquet")))
    wanted = all_columns(files)
    assert {"param.own", "param.method.tolerance"} <= set(wanted.names)
    schema = wanted.append(pa.field("study", pa.string()))
    partitioning = ds.partitioning(pa.schema([("study", pa.string())]), flavor="hive")
    by_arrow = ds.dataset(opened, partitioning=partitioning, schema=schema).to_table()
    by_polars = pl.concat([pl.read_parquet(file, hive_partitioning=True) for file in files], how="diagonal")
    by_duckdb = READERS["duckdb"](opened)
    for names in (by_arrow.column_names, by_polars.columns, list(by_duckdb.columns)):
        assert set(names) == set(schema.names)
    assert by_arrow.num_rows == len(by_polars) == len(by_duckdb) == 5


def test_all_that_holds_no_rows_bears_a_name_that_is_passed_over(opened):
    others = [path.relative_to(opened) for path in opened.rglob("*") if path.is_file() and path.suffix != ".parquet"]
    assert len(others) > 20
    assert [path for path in others if not any(part.startswith(("_", ".")) for part in path.parts)] == []


def test_older_names_are_read_where_todays_are_missing(tmp_path):
    folder = tmp_path / "study=s"
    folder.mkdir()
    assert layout.existing(folder, layout.STUDY_JSON) == folder / "_study.json"
    (folder / "study.json").write_text(json.dumps({"select": {"metric": "ari", "mode": "max"}}))
    assert layout.existing(folder, layout.STUDY_JSON) == folder / "study.json"
    (folder / "_study.json").write_text("{}")
    assert layout.existing(folder, layout.STUDY_JSON) == folder / "_study.json"


def test_a_file_by_itself_knows_its_study(opened, tmp_path):
    (file,) = Path(opened, "study=c", "trials").iterdir()
    (tmp_path / "x.parquet").write_bytes(file.read_bytes())
    assert reader.read_results(str(tmp_path / "x.parquet"))["study"].to_pylist() == ["c"]
