"""Names for readers: the usual ones, a person's own, and what LaTeX makes of their signs."""

import pyarrow as pa
import pytest

from core.errors import UserError
from jobs.present.names import USUAL, ShownNames, read_labels
from jobs.present.tables import tex


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ("metric.nmi", "NMI"),
        ("nmi", "NMI"),
        ("kmeans_acc", "k-means ACC"),
        ("best.kmeans_ari", "k-means ARI (best epoch)"),
        ("mean5.npmi", "NPMI (mean of the last 5)"),
        ("test_nmi", "test NMI"),
        ("test_reverse_recall_at_1", "test reverse R@1"),
        ("input_kmeans_nmi", "k-means of the input, NMI"),
        ("health.raw_silhouette", "raw silhouette"),
        ("kmeans_speed", "k-means speed"),
        ("topic_diversity", "topic diversity"),
        ("loss_instance", "loss instance"),
    ],
)
def test_metrics_have_their_usual_spelling(column, name):
    assert USUAL.metric(column) == name


def test_no_two_parameters_share_a_name():
    keys = ["param.method.instance_temperature", "method.temperature", "method.loss.temperature", "batch_size"]
    assert USUAL.by_key(keys) == {
        "method.instance_temperature": "τ_I",
        "method.temperature": "method temperature",
        "method.loss.temperature": "method loss temperature",
        "batch_size": "batch size",
    }
    assert USUAL.parameter("method.loss.temperature") == "τ"
    assert USUAL.by_key(["encoder.dropout", "views.dropout"]) == {
        "encoder.dropout": "encoder dropout",
        "views.dropout": "views dropout",
    }


def test_signs_become_mathematics_and_all_else_is_escaped():
    assert tex("τ_I, C_V, κ") == r"$\tau_{\mathrm{I}}$, $C_{\mathrm{V}}$, $\kappa$"
    assert tex("a_b A_long x_1_2 50 %") == r"a\_b A\_long x\_1\_2 50 \%"
    assert tex("ατ\\") == r"$\alpha$$\tau$\textbackslash{}"


@pytest.fixture
def labels(tmp_path):
    def write(text):
        (tmp_path / "labels.yaml").write_text(text, encoding="utf-8")
        return read_labels(tmp_path / "labels.yaml")

    return write


def test_a_person_s_own_names_go_first(labels):
    found = labels(
        "metrics: {nmi: MI, best.nmi: top}\nparameters: {threshold: θ, method.threshold: t, dropout: p}\n"
        "methods: {cc: 'CC [3]'}\ndata: {digits: Digits}\n"
    )
    assert [found.metric(one) for one in ("metric.nmi", "best.nmi", "kmeans_nmi", "acc")] == [
        "MI",
        "top",
        "k-means MI",
        "ACC",
    ]
    assert found.by_key(["method.threshold", "encoder.threshold", "batch_size"]) == {
        "method.threshold": "t",
        "encoder.threshold": "θ",
        "batch_size": "batch size",
    }
    assert (found.value("method.name", "cc"), found.value("method.name", "tcl"), found.value("x", 2)) == (
        "CC [3]",
        "tcl",
        2,
    )
    assert (found.data_set("digits"), found.data_set("wine")) == ("Digits", "wine")
    assert read_labels(None) is USUAL


def test_all_mistakes_of_the_file_are_told_with_their_lines(labels, tmp_path):
    with pytest.raises(UserError) as caught:
        labels(f"metrics:\n  nmi: 3\n  acc: ' '\n  ari: {'x' * 61}\nparams: {{}}\nmethods: [cc]\n")
    file = tmp_path / "labels.yaml"
    assert caught.value.lines == (
        f"{file}:2: metrics.nmi: 3 is no name: write a text, in quotes if it looks like a number",
        f"{file}:3: metrics.acc: ' ' is no name: write a text, in quotes if it looks like a number",
        f"{file}:4: metrics.ari: a name is one line of at most 60 characters",
        f"{file}:5: params: there is no such section; did you mean 'parameters'?",
        f"{file}:6: methods: names are written as `cc: CC`",
    )
    with pytest.raises(UserError, match="names are written in sections metrics, parameters, methods, data"):
        labels("nmi")
    with pytest.raises(UserError, match="the file of names cannot be read"):
        read_labels(tmp_path / "none.yaml")


def test_a_name_that_fits_nothing_is_told():
    found = ShownNames({"nmmi": "NMI", "acc": "A"}, {"treshold": "t"}, {"ccc": "CC"}, {"digits": "D"}, source="l.yaml")
    names = {"param.method.name": ["cc"], "param.data.name": ["digits"], "study": ["s"], "data_hash": ["d"]}
    assert found.check(pa.table(names), ["metric.nmi", "metric.acc", "param.method.threshold"]) == [
        "l.yaml: metrics.nmmi: nothing in these results has this name; did you mean 'nmi'?",
        "l.yaml: parameters.treshold: nothing in these results has this name; did you mean 'threshold'?",
        "l.yaml: methods.ccc: nothing in these results has this name; did you mean 'cc'?",
    ]


def test_two_things_have_no_one_name(labels, tmp_path):
    file = tmp_path / "labels.yaml"
    with pytest.raises(UserError) as caught:
        labels("metrics: {nmi: A, acc: B}\nmethods:\n  cc: X\n  simclr: Y\n  scan: 'X '\ndata:\n  a: D\n  b: D\n")
    why = "tables and charts could not tell them apart"
    assert caught.value.lines == (
        f"{file}:5: methods.scan: 'X ' is the name of methods.cc, too: {why}",
        f"{file}:8: data.b: 'D' is the name of data.a, too: {why}",
    )
    columns = {"param.method.name": ["cc", "tcl"], "param.data.name": ["a", "b"], "study": ["s"] * 2}
    table = pa.table({**columns, "data_hash": ["1", "2"]})
    with pytest.raises(UserError) as caught:
        labels("methods: {cc: tcl, tcl: T, zz: T2}\ndata: {a: b, zz: a}\n").check(table, [])
    assert caught.value.lines == (f"{file}: data.a: 'b' is another one in these results: {why}",)
    assert not labels("methods: {cc: tcl, tcl: cc}\ndata: {a: a, b: c}\n").check(table, [])
