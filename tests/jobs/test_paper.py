"""The tables of a paper: what is bold, underlined and marked, percent, names, and that LaTeX sets them."""

import json
import random
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.analysis.intervals import plus_minus
from jobs.report import paper
from jobs.results import writer
from jobs.results.schema import Attempt

METHODS = {"cc": 0.0, "tcl": 0.02, "kmeans": -0.1}
LABELS = "methods: {cc: 'CC [1]', tcl: TCL}\ndata: {digits: Digits & more}\nparameters: {threshold: θ_T}\n"
SCORES = {"NMI": "nmi", "ACC": "acc", "ARI": "ari"}


def rows(data=("digits", "wine"), methods=METHODS, values=(0.5, 1.0), seeds=4, name="method.instance_temperature"):
    noise = random.Random(0)
    for place, one in enumerate(data):
        for method, gain in methods.items():
            for value in values if method != "kmeans" else (None,):
                for seed in range(seeds):
                    nmi = 0.6 + 0.2 * place + gain + 0.01 * (value or 0) + noise.gauss(0, 0.01)
                    scores = {"nmi": nmi, "acc": nmi + noise.gauss(0.03, 0.01), "ari": nmi - noise.gauss(0.1, 0.01)}
                    key = f"{one}-{method}-{value}"
                    params = {"method.name": method, "data.name": one} | ({} if value is None else {name: value})
                    yield Attempt(
                        study="a_study",
                        trial_key=f"{key}-{seed}",
                        config_key=key,
                        seed=seed,
                        attempt_id=f"{key}-{seed}",
                        status="ok",
                        params=params,
                        metrics=scores | {"fmi": 0.5},
                        data_hash=f"hash of {one}",
                    )


@pytest.fixture
def stored(tmp_path):
    def write(**changes):
        for row in rows(**changes):
            writer.write(str(tmp_path / "results"), row)
        return tmp_path / "results"

    return write


def tables(text):
    """Each `tabular`: the cells of its head, and those of its rows."""
    for body in re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", text, re.DOTALL):
        lines = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines() if line.endswith(r"\\")]
        below = [line for line in lines if r"\multicolumn" not in " ".join(line)]
        yield below[0], below[1:]


def test_the_best_is_bold_the_second_underlined_and_what_is_tied_marked(stored, command):
    results = stored(data=("digits",), methods={"cc": 0.0}, values=(0.5, 1.0, 1.5, 5.0))
    code, text, _ = command("report", results, "--format", "latex")
    assert code == 0
    ((head, found),) = tables(text)
    assert head == [r"$\tau_{\mathrm{I}}$", "NMI", "ACC", "ARI"]
    for column, metric in enumerate(SCORES.values(), 1):
        told = json.loads(command("aggregate", results, "--format", "json", "--on", metric)[1])
        ranked = [one["method.instance_temperature"] for one in told]
        tied = {one["method.instance_temperature"] for one in told if one["tied"] and one["rank"] > 1}
        cells = {float(row[0]): row[column] for row in found}
        assert [value for value, cell in cells.items() if cell.startswith(r"\textbf{")] == ranked[:1]
        assert [value for value, cell in cells.items() if cell.startswith(r"\underline{")] == ranked[1:2]
        assert {value for value, cell in cells.items() if r"\dagger" in cell} == tied
        assert tied < {*ranked}
    assert r"\label{tab:a-study}" in text
    assert r"\caption{NMI, ACC and ARI, by configuration.}" in text
    assert r"$\dagger$ the seeds cannot tell it from the best. Ranked by NMI, which uses the labels." in text


def test_methods_stand_beside_data_sets(stored, command, tmp_path):
    (tmp_path / "labels.yaml").write_text(LABELS, encoding="utf-8")
    code, text, err = command(
        "report", stored(), "--format", "latex", "--percent", "--labels", tmp_path / "labels.yaml"
    )
    assert code == 0
    assert "parameters.threshold: nothing in these results has this name" in err
    (head, found), *others = tables(text)
    assert head == ["method", *SCORES, *SCORES, "rank"]
    assert [row[0] for row in found] == ["TCL", "CC [1]", "kmeans"]
    assert r" & \multicolumn{3}{c}{Digits \& more} & \multicolumn{3}{c}{wine}" in text
    assert r"\cmidrule(lr){2-4} \cmidrule(lr){5-7}" in text
    rows_ = json.loads(command("aggregate", tmp_path / "results", "--table", "methods", "--format", "json")[1])
    exact = {(one["data"], one["method.name"]): one["mean"] for one in rows_}
    shown = {(data, row[0]): row[column] for row in found for data, column in (("digits", 1), ("wine", 4))}
    for (data, method), mean in exact.items():
        cell = shown[data, {"cc": "CC [1]", "tcl": "TCL"}.get(method, method)]
        assert re.search(r"\d+\.\d", cell)[0] == f"{100 * mean:.1f}"
    assert len(others) == 2
    assert others[0][1][0][0] == r"TCL $\tau_{\mathrm{I}}$=1"
    assert "by these same seeds, so it looks better than it is" in text
    assert len(set(re.findall(r"\\label\{(.*)\}", text))) == 3


def test_one_seed_has_no_interval_and_tells_nothing_apart(stored, command):
    text = command("report", stored(seeds=1), "--format", "latex")[1]
    assert "Mean over one seed (no interval)." in text
    assert r"\pm" not in text
    assert "? too few seeds to tell it from the best." in text
    assert r"\dagger" not in text


@given(st.floats(0, 1), st.floats(0.0001, 0.5))
def test_percent_moves_the_point_of_what_is_shown(mean, half):
    numbers = plus_minus(mean, half).replace("±", "").split()
    moved = paper._percent(plus_minus(mean, half)).replace("±", "").split()
    assert [float(one) for one in moved] == pytest.approx([100 * float(one) for one in numbers])
    assert [len(one.partition(".")[2]) for one in moved] == [len(one.partition(".")[2]) - 2 for one in numbers]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--percent"], "--percent is for LaTeX"),
        (["--percent", "--format", "markdown"], "--percent is for LaTeX"),
        (["--labels", "{}"], "there is no such section; did you mean 'methods'?"),
        (["--format", "latex", "--labels", "{}"], "there is no such section; did you mean 'methods'?"),
    ],
)
def test_what_does_not_fit_is_refused(stored, command, tmp_path, arguments, said):
    (tmp_path / "l.yaml").write_text("method: {cc: CC}\n")
    words = [one.replace("{}", str(tmp_path / "l.yaml")) for one in arguments]
    code, _, err = command("report", stored(), *words)
    assert (code, said in err) == (2, True)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_latex_sets_the_tables_within_the_width(stored, command, tmp_path, columns):
    (tmp_path / "labels.yaml").write_text(LABELS, encoding="utf-8")
    text = command("report", stored(), "--format", "latex", "--percent", "--labels", tmp_path / "labels.yaml")[1]
    paper_text = rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs}}\begin{{document}}"
    (tmp_path / "p.tex").write_text(paper_text + text + r"\end{document}", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "p.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
