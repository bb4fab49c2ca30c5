"""Whatever the table: written as Markdown, CSV, LaTeX or Excel it gives the same rows."""

import tempfile
from pathlib import Path

import openpyxl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.ledger import store
from jobs.ledger.prepare import prepare
from jobs.present import tables
from jobs.results.reader import read_results

HEADS = {
    "lr": "param.optimiser.learning_rate",
    "聚类温度": "param.method.cluster_temperature",
    "note_2 & more": "param.note_2_more",
    "loss": "metric.loss",
    "**NMI**": "metric.nmi",
    "ACC": "metric.acc",
}
numbers = st.floats(1e-6, 1e6).map(lambda value: f"{value:.6g}")
shares = st.integers(0, 1000).map(lambda value: f"{value / 1000:.3f}")
blanks = st.sampled_from(["", "-"])
words = st.text("abcXYZ_&%#|~ 聚类\\", min_size=1, max_size=8).map(
    lambda text: "w" + " ".join(text.replace("__", "_").split())
)
percents = st.integers(11, 1000).map(lambda value: f"{value / 10:.1f}")
spreads = st.tuples(shares, st.integers(0, 99)).map(lambda pair: f"{pair[0]}±0.{pair[1]:02}")
rows = st.lists(
    st.tuples(numbers, numbers | blanks, words, numbers | blanks, spreads | shares, percents),
    min_size=1,
    max_size=5,
)


def write(folder, suffix, heads, cells):
    path = folder / f"t.{suffix}"
    if suffix == "xlsx":
        book = openpyxl.Workbook()
        for row in (heads, *cells):
            book.active.append([_typed(cell) for cell in row])
        book.save(path)
    else:
        form = {"md": "markdown", "tex": "latex"}.get(suffix, "csv")
        text = tables.render(heads, cells, form)
        path.write_text(text.replace(",", ";") if suffix == "txt" else text)
    return path


def _typed(cell):
    try:
        return float(cell)
    except ValueError:
        return cell


def stored(path, folder):
    rows = prepare(path, mapping={}).rows("s", None)
    store.write(str(folder), store.new_rows(str(folder), rows))
    assert store.new_rows(str(folder), rows) == []
    names = ["trial_key", "config_key", "seed", *HEADS.values(), "metric.nmi_spread"]
    table = read_results(str(folder))
    columns = [table[name].to_pylist() if name in table.column_names else None for name in names]
    return dict(zip(names, columns, strict=True)), table.num_rows


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(rows)
def test_a_table_gives_the_same_rows_in_every_format(cells):
    heads = list(HEADS)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        for suffix in ("md", "csv", "tex", "xlsx", "txt"):
            plain = [head.strip("*") for head in heads] if suffix != "md" else heads
            path = write(Path(name), suffix, plain, [list(row) for row in cells])
            found[suffix] = stored(path, Path(name, suffix))
    first, count = found["csv"]
    assert count == len(cells)
    assert all(other == (first, count) for other in found.values())
    assert sorted(first["param.optimiser.learning_rate"]) == sorted(float(row[0]) for row in cells)
    assert sorted(first["param.note_2_more"]) == sorted(row[2] for row in cells)
    assert sorted(first["metric.acc"]) == sorted(float(f"{float(row[5]) / 100:.15g}") for row in cells)
    assert sorted(first["metric.nmi"]) == sorted(float(row[4].split("±")[0]) for row in cells)
    assert len(set(first["seed"])) == len(cells)
