# ruff: noqa: E501, RUF001 - one case a line, as people write it
"""A log of entries, each a table of one row with lines above and below it."""

import json

import pytest

from core.errors import UserError
from jobs.ledger import names
from jobs.ledger.entries import settings
from jobs.ledger.prepare import prepare
from jobs.ledger.questions import Answers
from jobs.results.reader import read_results
from jobs.results.schema import Attempt
from jobs.results.writer import write

ENTRY = """\
**Time:** 2021-08-18-23-12
**Log:** cc/news_2021-08-18-23-12_topic20/
**Method:** we set the learning rate of the generator to lr/100, and the temperature to 0.5

| batch size | lr | temperature |
| :--: | :--: | :--: |
| 256 | 1e-4 | **0.5** |

![a curve](https://example.org/curve.png)
"""
SECOND = """
batch size: 1024 best 0.03 log: cc/news_2021-08-19-10-00_topic20

---

| batch size | lr | temperature |
| --- | --- | --- |
| 256 | 1e-6 | 0.5 |

very bad
"""


SECTION = "\n# 使用平均加权的label Embedding\n\n"


@pytest.fixture
def log(tmp_path):
    def write(text):
        path = tmp_path / "log.md"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def found(path, **answers):
    prepared = prepare(path, answers=Answers(**answers))
    assert not prepared.questions, [one.text for one in prepared.questions]
    return prepared.rows("s", None)


def asked(path, **answers):
    return [one.sentence for one in prepare(path, answers=Answers(**answers)).questions]


def test_an_entry_gives_what_its_name_its_sentence_and_its_table_say(log):
    (row,) = found(log(ENTRY))
    assert row.params == {
        "batch_size": 256,
        "optimiser.learning_rate": 1e-4,
        "method.temperature": 0.5,
        "method.generator_learning_rate": "lr/100",
        "method.name": "cc",
        "n_clusters": 20,
    }
    assert f"{row.started:%Y-%m-%d %H:%M}" == "2021-08-18 23:12"
    assert row.env["note.picture below"] == "https://example.org/curve.png"
    assert row.env["note.Method"].startswith("we set")


def test_a_line_that_names_a_run_is_asked_about_and_becomes_a_run_or_a_note(log):
    path = log(ENTRY + SECOND)
    first, second = asked(path)
    assert "log.md:11: the line names a run of its own" in first
    assert "Say --below run or --below note." in first
    assert "best holds numbers and its name is not known" in second
    one, other, last = found(path, below="run", mapping={"best": "metric.palmetto_npmi"})
    assert other.params == one.params | {"batch_size": 1024}
    assert (other.metrics, one.metrics) == ({"palmetto_npmi": 0.03}, {})
    assert f"{other.started:%m-%d %H:%M}" == "08-19 10:00"
    assert last.env["note.text below"] == "very bad"
    # A picture may show a result; what has neither a score nor a picture counts as failed, as in other tables.
    assert [row.status for row in (one, other, last)] == ["ok", "ok", "failed"]
    one, last = found(path, below="note")
    assert "best 0.03" in one.env["note.text below"]


@pytest.mark.parametrize(
    ("change", "question"),
    [
        (("**Log", "**Topic Num:** 30\n**Log"), "log.md:2: Topic Num is '30', but Log (line 3) says '20'"),
        (("Time:** 2021", "Time:** 021"), "log.md:1: Time is '021-08-18-23-12', but Log (line 2) says '2021-08-18-23-12'"),
        (("Time:** 2021-08-18", "Time:** 2021-08-17"), "Time is '2021-08-17-23-12', but Log (line 2) says"),
        (("temperature to 0.5", "temperature to 0.1"), "log.md:7: temperature is '0.5', but Method (line 3) says '0.1'"),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_asked_about_and_the_answer_is_taken(log, change, question):
    path = log(ENTRY.replace(*change))
    (sentence,) = asked(path)
    assert question in sentence
    (one,) = prepare(path).questions
    for answer in one.answers:
        answers = Answers().also(one, answer)
        prepared = prepare(path, answers=answers)
        assert not prepared.questions
        (row,) = prepared.rows("s", None)
        place, value = next(iter(answers.cells.items()))
        values = {*map(str, row.params.values()), f"{row.started:%Y-%m-%d-%H-%M}" if row.started else "-"}
        assert {value, f"{value}.0"} & values, (place, value)


def test_a_cell_that_is_not_there_is_refused(log):
    with pytest.raises(UserError, match="has no cell of 'Time' in line 9"):
        prepare(log(ENTRY), answers=Answers(cells={"9:Time": "-"}))


def test_a_constant_fills_blanks_only(log):
    one, last = found(log(ENTRY + SECOND), below="note", constants={"method.name": "tcl", "lr": "7", "seed": "3"})
    assert [row.params["method.name"] for row in (one, last)] == ["cc", "tcl"]
    assert [row.params["optimiser.learning_rate"] for row in (one, last)] == [1e-4, 1e-6]
    assert {row.seed for row in (one, last)} == {3}


def test_what_entries_do_not_say_is_told_with_the_options_that_say_it(log):
    notes = prepare(log(ENTRY + SECTION + ENTRY)).notes
    assert "Not said by all entries: method.label_embedding; --set says it for the rest." in notes
    path = log("**K:** 3\n\n| lr |\n|---|\n| 0.1 |\n\n---\n\n| lr |\n|---|\n| 0.2 |\n")
    told = "Not said by all entries: n_clusters; --set says it for the rest, --cell '11:K=…' for one."
    assert told in prepare(path).notes
    assert [row.params["n_clusters"] for row in found(path, cells={"11:K": "5"})] == [3, 5]


def test_a_section_that_tells_of_a_parameter_sets_it(log):
    (one, other) = found(log(ENTRY + SECTION + ENTRY))
    assert "method.label_embedding" not in one.params
    assert other.params["method.label_embedding"] == "weighted"
    assert other.env["note.section"] == "使用平均加权的label Embedding"


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("并且单独设置了Generator的学习率为：lr/100，改变了temperature为0.1", {"generator_learning_rate": "lr/100", "temperature": "0.1"}),
        ("tcl, threshold=0.9", {"name": "tcl", "threshold": "0.9"}),
        ("the label embedding is weighted", {"label_embedding": "weighted"}),
        ("argmax or weighted label embedding", {}),
        ("we looked at the curve for a long time", {}),
        ("a mark: 3", {}),
    ],
)  # fmt: skip
def test_settings_of_a_sentence(sentence, said):
    assert {key.rpartition(".")[2]: value for _, key, value in settings(sentence)} == said


def test_text_below_a_table_of_several_rows_belongs_to_none_of_them(log):
    rows = found(log("| lr | nmi |\n|---|---|\n| 0.1 | 0.5 |\n| 0.2 | 0.6 |\n\nThe rate matters.\n"))
    assert not any("The rate" in note for row in rows for note in row.env.values())


def test_a_method_that_is_a_name_stays_one(log):
    (row,) = found(log("**Method:** my_model\n\n| lr | nmi |\n|---|---|\n| 0.1 | 0.5 |\n"))
    assert row.params["method.name"] == "my_model"


def test_coherence_of_another_corpus_has_a_name_of_its_own():
    assert [names.target(head).key for head in ("NPMI", "C_V", "best npmi", "nmi")] == [
        "metric.reported_npmi", "metric.reported_c_v", "metric.reported_best_npmi", "metric.nmi",
    ]  # fmt: skip
    assert names.wanted("metric.npmi", "NPMI").key == "metric.npmi"


def test_a_picture_is_an_address_and_nothing_of_a_file_is_printed_raw(command, log, tmp_path):
    text = ENTRY.replace("https://example.org/curve.png", "file:///etc/pass\x1b[31mwd").replace(
        "news_", "ne\x1b[31mws_"
    )
    path = log(text.replace("**Log", "**To\x1b[31mpics:** 3\n**Topic Num:** 30\n**Log"))
    code, out, err = command("import", path, "--results", tmp_path / "results", "--yes")
    assert code == 2
    assert "which is right?" in err
    assert "\x1b" not in out + err
    code, out, err = command("import", path, "--results", tmp_path / "results", "--yes", "--cell", "3:Topic Num=20")
    assert (code, "\x1b" in out + err) == (0, False), err
    (row,) = read_results(str(tmp_path / "results")).to_pylist()
    assert json.loads(row["env_json"])["note.picture below"] == "file:///etc/pass\x1b[31mwd"


def test_the_command_takes_the_answers(command, log, tmp_path):
    path, results = log((ENTRY + SECOND).replace("**Log", "**Topic Num:** 30\n**Log")), tmp_path / "results"
    code, _, err = command("import", path, "--results", results, "--yes")
    assert (code, results.exists()) == (2, False)
    assert "Say --cell '2:Topic Num=20' or --cell '2:Topic Num=30'." in err
    given = [
        "--cell",
        "2:Topic Num=20",
        "--cell",
        "12:Topic Num=20",
        "--below",
        "run",
        "--map",
        "best=metric.palmetto_npmi",
    ]
    code, out, err = command("import", path, "--results", results, "--yes", *given, "--set", "method.name=tcl")
    assert code == 0, err
    assert "3 rows were imported" in out
    rows = sorted(read_results(str(results)).to_pylist(), key=lambda row: int(json.loads(row["env_json"])["line"]))
    assert [row["param.n_clusters"] for row in rows] == [20, 20, None]
    code, _, err = command("import", path, "--results", results, "--yes", "--cell", "x")
    assert code == 2
    assert "--cell 'x' should be LINE:HEADER=TEXT" in err


def test_imported_rows_stand_beside_new_ones_and_never_in_one_ranking_of_npmi(command, log, tmp_path):
    results = str(tmp_path / "results")
    given = ["--below", "run", "--map", "best=metric.palmetto_npmi"]
    assert command("import", log(ENTRY + SECOND), "--results", results, "--yes", *given)[0] == 0
    params = {"method.name": "cc", "n_clusters": 20, "batch_size": 256}
    for seed in range(3):
        keys = {"study": "new", "trial_key": f"t{seed}", "config_key": "c", "attempt_id": f"A{seed}"}
        metrics = {"npmi": 0.2 + seed / 100}
        write(results, Attempt(**keys, seed=seed, status="ok", params=params, metrics=metrics, data_hash="d"))
    code, out, err = command("aggregate", results, "--metric", "npmi")
    assert code == 0, err
    assert "0.210 ±" in out
    assert "0.030" not in out
    code, out, err = command("aggregate", results, "--metric", "palmetto_npmi", "--mode", "max")
    assert code == 0, err
    assert "0.030" in out
    assert "0.210" not in out
    assert "3 of 6 rows are imported and unverified." in out
    code, _, err = command("report", results, "--metric", "npmi", "--out", tmp_path / "page.html")
    assert code == 0, err
    assert "3 rows were imported from a table" in (tmp_path / "page.html").read_text(encoding="utf-8")
