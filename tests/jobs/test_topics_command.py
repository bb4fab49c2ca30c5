"""`conclus topics`, the row's columns for topics, and `mean5.` columns."""

import csv
import io
import itertools
import json
import math
import random
from dataclasses import replace

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from scipy import sparse
from scipy.stats import hypergeom

import conclus
from core.config.trial import to_mapping
from core.errors import UserError
from jobs.analysis import leaderboard
from jobs.analysis.scores import RescaledError
from jobs.execution.trial import run_trial
from jobs.health import status_page as health_page
from jobs.ledger import trackers
from jobs.models import choice, topics
from jobs.models.assignments import KeepRule
from jobs.models.topic_tables import topics_text
from jobs.models.topics import Topic, match
from jobs.planning import plan
from jobs.report import cluster_data
from jobs.results import compact, kept, writer
from jobs.results.misfit import misfit
from jobs.results.query import query
from jobs.results.reader import load, read_results
from jobs.results.schema import LONGEST_WORD, MOST_OF_TOPICS, MOST_TOPICS, Attempt, to_table
from jobs.study import study

WORDS = [f"word{i:02}" for i in range(60)]


def topic(words, number=0):
    return Topic(number, tuple((word, 1.0) for word in words), None, None, ())


def attempt(config="a", seed=0, groups=((0, 1), (1, 2)), npmi=0.2, **changes):
    """A trial of a topic model; topic k has the ten words from `start` on of each pair `(k, start)`, ten apart."""
    found = [(k, word, 1 / (rank + 1)) for k, start in groups for rank, word in enumerate(WORDS[10 * start :][:10])]
    content = {
        "study": "s",
        "trial_key": f"{config}{seed}",
        "config_key": config,
        "seed": seed,
        "attempt_id": f"A{seed}",
        "status": "ok",
        "params": {"method.temperature": 0.1 if config == "a" else 0.5},
        "data_hash": "d",
        "metrics": {"npmi": npmi, "topic_diversity": 1.0, "loss": 1.0},
        "history": [(epoch, 1.0, "npmi", npmi + epoch / 100) for epoch in range(1, 8)],
        "cluster_sizes": [7, 5],
        "topics": found,
        "topic_coherence": [npmi, math.nan],
        "topic_documents": [(0, "doc-a"), (0, "doc-b"), (1, "doc-c")],
        "topic_scored_on": "12 training documents of x",
    }
    return Attempt(**{**content, **changes})


@pytest.fixture
def results(tmp_path):
    """Configuration b is the best; its topics 0 and 1 are topics 1 and 0 of seed 1, and seed 2 has only the second."""
    folder = tmp_path / "results"
    rows = [attempt("a", 0), attempt("a", 1)]
    rows += [attempt("b", 0, npmi=0.3), attempt("b", 1, ((0, 2), (1, 1)), npmi=0.4)]
    rows += [attempt("b", 2, ((0, 4), (1, 2)), npmi=0.2)]
    for row in rows:
        writer.write(str(folder), row)
    return folder


def run(*arguments, columns="80"):
    command = conclus.cli.get_command(None, "topics")
    return CliRunner(env={"COLUMNS": columns}).invoke(command, list(map(str, arguments)))


def machine(*arguments):
    found = run(*arguments, "--format", "json")
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


# Matching


def test_the_matching_is_the_best_of_all_permutations():
    draw = random.Random(0)
    for _ in range(40):
        own, others = ([topic(draw.sample(WORDS[:25], 10)) for _ in range(draw.randint(1, 5))] for _ in range(2))
        table = [[len({w for w, _ in a.words} & {w for w, _ in b.words}) / 10 for b in others] for a in own]
        if len(own) <= len(others):
            chosen = [list(enumerate(one)) for one in itertools.permutations(range(len(others)), len(own))]
        else:
            chosen = [
                [(i, j) for j, i in enumerate(one)] for one in itertools.permutations(range(len(own)), len(others))
            ]
        best = max(sum(table[i][j] for i, j in pairs) for pairs in chosen)
        assert sum(match(own, others)) == pytest.approx(best)


def test_only_the_top_ten_words_count_and_a_topic_without_a_partner_has_nothing():
    own = [topic([*WORDS[:10], *WORDS[20:25]]), topic(WORDS[30:45])]
    assert match(own, [topic([*WORDS[5:15], *WORDS[20:25]])]) == [0.5, 0.0]


def test_topics_of_chance_do_not_come_again():
    assert hypergeom(2000, 10, 10).sf(4) < 1e-9
    draw = random.Random(1)
    vocabulary = [f"w{i}" for i in range(2000)]
    several = [[topic(draw.sample(vocabulary, 10)) for _ in range(50)] for _ in range(2)]
    assert max(match(*several)) < topics.AGAIN


# The command


def test_the_best_configuration_s_best_trial_with_its_stability(results):
    rows = machine(results, "--metric", "npmi")
    assert [(row["trial_key"], row["topic"], row["stability"], row["again"]) for row in rows] == [
        ("b1", 0, 1.0, 2),
        ("b1", 1, 0.5, 1),
    ]
    first = rows[0]
    assert (first["npmi"], first["documents"], first["other_seeds"]) == (0.4, 7, 2)
    assert rows[1]["npmi"] is None
    assert first["words"][:2] == [{"word": "word20", "weight": 1.0}, {"word": "word21", "weight": 0.5}]
    assert first["strongest"] == [{"id": "doc-a", "text": None}, {"id": "doc-b", "text": None}]
    assert [row["trial_key"] for row in machine(results, "--metric", "npmi", "--mode", "min")] == ["a0", "a0"]


@pytest.mark.parametrize("first", [0, 1])
def test_of_tied_seeds_every_command_takes_the_one_that_began_first(tmp_path, first):
    for seed in (0, 1, 2):
        scores = {"npmi": 0.2, "nmi": 0.5}
        writer.write(str(tmp_path), attempt("a", seed, metrics=scores, attempt_id=f"A{(seed - first) % 3}"))
    table = load([str(tmp_path)], history=True).table
    row = health_page.choose(table, "nmi", maximise=True, key=None, named=True).place
    taken = [table["trial_key"][row].as_py(), topics.choose(table, "nmi", "max").row["trial_key"]]
    taken.append(choice.choose(tmp_path / "study=s").key)  # as conclus assign and conclus clusters do
    assert taken == [f"a{first}"] * 3


def test_a_trial_is_named_by_its_beginning_and_where_leaves_seeds_out(results):
    assert {row["trial_key"] for row in machine(results, "--trial", "a1")} == {"a1"}
    rows = machine(results, "--trial", "b1", "--where", "seed < 2")
    assert [(row["stability"], row["other_seeds"]) for row in rows] == [(1.0, 1), (1.0, 1)]
    assert "of the 10 words" in run(results, "--trial", "b1").stdout


def test_a_terminal_of_80_columns_gets_all_words_in_as_many_lines_as_they_need(results):
    found = run(results, "--metric", "npmi", "--top", "12")
    lines = found.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith("2 topics of trial b1, seed 1, the best of the best configuration by npmi")
    place = next(i for i, line in enumerate(lines) if line.split()[:1] == ["0"])
    assert lines[place].split()[1:7] == ["0.400", "1.00", "2", "of", "2", "7"]
    start = lines[place].index("word")
    assert not lines[place + 1][:start].strip()
    words = f"{lines[place][start:]} {lines[place + 1][start:]}"
    assert words == ", ".join(WORDS[20:30])
    assert "Scored on 12 training documents of x." in lines
    assert "    0  doc-a, doc-b" in lines


def test_half_of_the_words_is_enough_to_come_again(tmp_path):
    for seed, start in enumerate((0, 5, 6)):
        found = [(0, word, 1.0) for word in WORDS[start : start + 10]]
        writer.write(str(tmp_path), attempt(seed=seed, topics=found))
    row = machine(tmp_path, "--trial", "a0")[0]
    assert (row["stability"], row["again"]) == (pytest.approx(0.45), 1)


def test_one_seed_tells_nothing_about_luck(results):
    found = run(results, "--trial", "b1", "--where", "seed == 1")
    assert "One seed: which topics come again is not known." in found.stdout
    assert "again" not in found.stdout.splitlines()[2]
    told = " ".join(run(results, "--trial", "b1", "--where", "seed != 2").stdout.split())
    assert "its match in the other seed has. again: 1 of 1 if at least 5 of the 10 words come again." in told


def test_other_data_and_unfinished_seeds_are_no_other_seeds(tmp_path):
    writer.write(str(tmp_path), attempt(seed=0))
    writer.write(str(tmp_path), attempt(seed=1, data_hash="other"))
    writer.write(str(tmp_path), attempt(seed=2, status="running"))
    assert {row["other_seeds"] for row in machine(tmp_path, "--trial", "a0")} == {0}


@pytest.mark.parametrize("fmt", ["csv", "markdown", "latex"])
def test_other_formats_have_all_words(results, fmt):
    text = run(results, "--metric", "npmi", "--format", fmt).stdout
    assert all(word in text for word in WORDS[10:30])
    if fmt == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [float(one) for one in rows[0]["weights"].split()] == [1 / (rank + 1) for rank in range(10)]
        assert rows[0]["strongest"] == "doc-a, doc-b"


def test_a_file_is_written_as_its_name_ends(results, tmp_path):
    assert run(results, "--trial", "b1", "--out", tmp_path / "topics.json").exit_code == 0
    assert len(json.loads((tmp_path / "topics.json").read_text())) == 2


def test_words_of_strangers_are_shown_clean(tmp_path):
    evil = [(0, "\x1b[31mred\n", 1.0), (0, "=cmd()", 0.5), (0, "<b>|*x*", math.inf)]
    row = attempt(topics=evil, topic_documents=[(0, "\x07id")], topic_scored_on="a\x1b[2J")
    writer.write(str(tmp_path), row)
    for fmt in ("table", "markdown", "latex", "csv", "json"):
        found = run(tmp_path, "--trial", "a0", "--format", fmt)
        assert found.exit_code == 0
        assert not {"\x1b", "\x07"} & set(found.output)
    assert json.loads(found.stdout)[0]["words"][2]["weight"] is None
    assert r"\x1b[31mred\n" in run(tmp_path, "--trial", "a0").stdout


def test_without_topics_and_for_an_unknown_trial_one_sentence(results, tmp_path):
    with pytest.raises(UserError, match="begins with 'zz': there are a0, a1"):
        topics.choose(load([str(results)], columns=topics.read_columns("npmi")).table, "npmi", "max", "zz")
    with pytest.raises(UserError, match="There is no column 'loss_x'"):
        topics.choose(load([str(results)], columns=topics.read_columns("loss_x")).table, "loss_x", "max")
    other = tmp_path / "other"
    writer.write(str(other), Attempt(study="s", trial_key="a", config_key="a", seed=0, attempt_id="A", status="ok"))
    with pytest.raises(UserError, match="No trial of these results has topics"):
        topics.choose(load([str(other)], columns=topics.read_columns("npmi")).table, "npmi", "max")


def test_a_key_in_two_studies_asks_for_one(results):
    writer.write(str(results), attempt(study="t"))
    with pytest.raises(UserError, match=r"several studies \(s, t\): name one by --study"):
        topics.choose(load([str(results)], columns=topics.read_columns("npmi")).table, "npmi", "max", "a0")
    assert {row["study"] for row in machine(results, "--trial", "a0", "--study", "t")} == {"t"}


def test_without_labels_the_consensus_chooses(results):
    for seed, value in ((0, 0.9), (1, 0.1)):
        health = {"raw_silhouette": value, "knn_consistency": value}
        writer.write(str(results), attempt("c", seed, health=health))
    table = load([str(results)], columns=topics.read_columns("consensus")).table
    assert topics.choose(table, "consensus", "max").row["trial_key"] == "c0"


# The row


def test_topics_come_back_from_files_compacted_files_and_other_programs(results):
    before = read_results(str(results)).to_pylist()
    assert before[0]["topics"][0] == {"topic": 0, "word": "word10", "weight": 1.0}
    compact.compact(str(results))
    assert [row["topics"] for row in read_results(str(results)).to_pylist()] == [row["topics"] for row in before]
    part = next(results.rglob("part-*.parquet"))
    rows = duckdb.read_parquet(str(part)).filter("trial_key = 'b2'")
    assert rows.select("unnest(topics, recursive := true)").fetchall()[:1] == [(0, "word40", 1.0)]
    assert pl.read_parquet(part)["topics"].explode().struct.field("word")[0] == "word10"
    assert read_results(str(results)).to_pandas()["topic_documents"][0][2]["id"] == "doc-c"
    found = query([str(results)], 'select max("mean5.npmi") m from trials')
    assert found.table["m"][0].as_py() == pytest.approx(0.4 + 0.05)


def test_rows_of_before_have_none(tmp_path):
    old = to_table([attempt()]).drop_columns(["topics", "topic_coherence", "topic_documents", "topic_scored_on"])
    assert misfit(old) == ""
    assert not topics.has_some(old)


def test_who_needs_no_topics_does_not_read_them(results):
    wanted = leaderboard.wanted_columns("npmi")
    assert not {*topics.COLUMNS} & {*load([str(results)], columns=wanted).table.column_names}


def test_whatever_a_method_gives_is_stored_so_that_it_is_read():
    words = [(0, "x" * 5000, math.inf), (MOST_TOPICS + 5, "far", 1e200), (1, "", math.nan)]
    row = attempt(topics=words, topic_coherence=[1e300] * (MOST_TOPICS + 9), topic_documents=[(0, "y" * 5000)])
    table = to_table([row])
    assert misfit(table) == ""
    assert [len(one["word"]) for one in table["topics"][0].as_py()] == [LONGEST_WORD, 0]
    many = attempt(topics=[(0, "x", 1.0)] * 50_000, topic_documents=[(0, "y")] * 50_000)
    assert misfit(to_table([many])) == ""


LISTS = to_table([attempt()]).schema


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("topics", [{"topic": -1, "word": "x", "weight": 1.0}], "none of 2,000"),
        ("topics", [{"topic": MOST_TOPICS, "word": "x", "weight": 1.0}], "none of 2,000"),
        ("topics", [{"topic": 0, "word": "x" * (LONGEST_WORD + 1), "weight": 1.0}], "more than 1,000 characters"),
        ("topics", [{"topic": 0, "word": "x", "weight": 1e200}], "beyond 1e"),
        ("topics", [{"topic": 0, "word": None, "weight": 1.0}], "lacks values"),
        (
            "topics",
            [{"topic": 0, "word": "x", "weight": 1.0}] * (MOST_OF_TOPICS["topics"] + 1),
            "more than 40,000 values",
        ),
        ("topic_coherence", [0.0] * (MOST_TOPICS + 1), "more than 2,000 values"),
        ("topic_documents", [{"topic": 0, "id": "x"}] * (3 * MOST_TOPICS + 1), "more than 6,000 values"),
        ("topic_coherence", [1e101], "beyond 1e"),
        ("topic_documents", [{"topic": 9999, "id": "x"}], "none of 2,000"),
        ("cluster_sizes", [3, -1], "has a size below 0"),
        ("topic_documents", [{"topic": 1, "id": "x" * (LONGEST_WORD + 1)}], "more than 1,000 characters"),
    ],
)
def test_a_hostile_row_is_refused(column, value, why):
    table = to_table([attempt()])
    place = table.column_names.index(column)
    assert why in misfit(table.set_column(place, column, pa.array([value], LISTS.field(column).type)))


def test_a_hostile_row_that_passes_ends_in_no_traceback(tmp_path):
    row = attempt(
        topics=[(1999, "only", 1.0), (3, "", math.nan)],
        topic_coherence=[],
        topic_documents=[(7, "of no topic")],
        cluster_sizes=[],
    )
    writer.write(str(tmp_path), row)
    assert [row["topic"] for row in machine(tmp_path, "--trial", "a0")] == [3, 1999]
    assert run(tmp_path, "--trial", "a0").exit_code == 0
    writer.write(str(tmp_path), attempt(seed=1, topics=[]))
    with pytest.raises(UserError, match="begins with 'a1'"):
        topics.choose(load([str(tmp_path)], columns=topics.read_columns("npmi")).table, "npmi", "max", "a1")


def test_a_checkpoint_hands_topics_on_and_refuses_other_types():
    extra = {"seconds": 1.0, "label_free": 0.0, "origin": {}, "attempt": kept.of_attempt(attempt(seconds=1.0))}
    assert kept.read(extra).attempt["topics"][0] == (0, "word10", 1.0)
    for name, wrong in (("topics", [(0, 1, 1.0)]), ("topic_coherence", ["x"]), ("topic_documents", [("0", "id")])):
        with pytest.raises(ValueError, match=name):
            kept.read({**extra, "attempt": {**extra["attempt"], name: wrong}})


# The mean of the last five


def test_mean5_is_the_mean_of_the_last_five_reports_or_of_all():
    history = [(epoch, 0.0, "npmi", float(epoch)) for epoch in range(1, 8)]
    history += [(7, 0.0, "acc", 0.5), (7, 0.0, "health.active_topics", 3.0), (7, 0.0, "hp.loss", 3.0)]
    row = attempt(metrics={"npmi": 7.0, "acc": 0.5, "lost": 1.0}, history=history).recent
    assert row == {"npmi": 5.0, "acc": 0.5}
    assert to_table([attempt(history=history)])["mean5.npmi"][0].as_py() == 5.0


def test_mean5_ranks_as_any_metric_and_a_loss_as_losses_are(results):
    board = leaderboard.leaderboard(
        load([str(results)], columns=leaderboard.wanted_columns("mean5.npmi")).table, "mean5.npmi", "max"
    )
    assert [entry.config_key for entry in board.entries] == ["b", "a"]
    assert board.entries[0].score.mean == pytest.approx(0.3 + 0.05)
    assert any("mean of the trial's last five" in note for note in board.notes)
    history = [(1, 0.0, "loss", 1.0)]
    writer.write(str(results), attempt("a", 5, history=history))
    writer.write(str(results), attempt("b", 5, history=history))
    table = load([str(results)], columns=leaderboard.wanted_columns("mean5.loss")).table
    with pytest.raises(RescaledError, match="temperature"):
        leaderboard.leaderboard(table, "mean5.loss", "min")


def test_clusters_are_kept_by_the_mean_of_the_last_five():
    assert KeepRule("mean5.npmi", "max", every=False).value(attempt()) == pytest.approx(0.25)
    assert KeepRule("npmi", "max", every=False).value(attempt()) == 0.2


def test_a_table_of_rows_that_is_imported_again_takes_no_mean_for_a_score():
    assert trackers.is_about("mean5.npmi", "mean5_npmi")
    assert trackers.metric("mean5.npmi") is None


# A study


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """A study of a topic model over two seeds that selects by `mean5.npmi`."""
    folder = tmp_path_factory.mktemp("studied")
    draw = np.random.default_rng(0)
    labels = np.arange(90) % 3
    counts = np.zeros((90, 45), np.int32)
    np.add.at(counts, (np.arange(90)[:, None], labels[:, None] * 15 + draw.integers(0, 15, (90, 40))), 1)
    bag = sparse.csr_matrix(counts)
    words = np.array([f"w{i:02}" for i in range(45)])
    parts = {name: getattr(bag, name) for name in ("data", "indices", "indptr")}
    np.savez(folder / "docs.npz", **parts, shape=np.array(bag.shape), vocab=words)
    (folder / "s.yaml").write_text(
        "study: s\nseeds: [0, 1]\nselect: {metric: mean5.npmi}\n"
        f"trial: {{data: {{name: documents, path: {folder / 'docs.npz'}}}, method: nmf, n_clusters: 3}}\n"
    )
    return folder


def test_a_study_selects_by_mean5_and_its_topics_are_those_of_the_documents(studied):
    command = conclus.cli.get_command(None, "run")
    arguments = [str(studied / "s.yaml"), "--workers", "1", "--quiet", "--results", str(studied / "results")]
    assert CliRunner().invoke(command, arguments, catch_exceptions=False).exit_code == 0
    row = read_results(str(studied / "results")).to_pylist()[0]
    assert row["mean5.npmi"] == row["metric.npmi"]
    rows = machine(studied / "results")
    found = {frozenset(int(one["word"][1:]) // 15 for one in row["words"]) for row in rows}
    assert found == {frozenset({0}), frozenset({1}), frozenset({2})}
    assert [row["again"] for row in rows] == [1, 1, 1]
    assert sum(row["documents"] for row in rows) == 90


def test_a_mean5_that_no_trial_reports_is_refused_before_anything_starts(studied):
    text = (studied / "s.yaml").read_text().replace("mean5.npmi", "mean5.npmy")
    (studied / "wrong.yaml").write_text(text)
    command = conclus.cli.get_command(None, "plan")
    with pytest.raises(UserError, match=r"select.metric: 'mean5.npmy' is none of .* did you mean 'mean5.npmi'"):
        CliRunner().invoke(command, [str(studied / "wrong.yaml")], catch_exceptions=False)


def test_documents_are_told_with_their_first_words_where_the_texts_are(studied, tmp_path):
    lines = [f"topic{i % 2}{i // 20}x " * 3 + "shared " * 30 for i in range(40)]
    (tmp_path / "t.csv").write_text("text\n" + "\n".join(lines) + "\n")
    (tmp_path / "t.yaml").write_text(
        f"study: t\nselect: {{metric: npmi}}\n"
        f"trial: {{data: {{name: documents, path: {tmp_path / 't.csv'}}}, method: nmf, n_clusters: 2}}\n"
    )
    command = conclus.cli.get_command(None, "run")
    arguments = [str(tmp_path / "t.yaml"), "--workers", "1", "--quiet", "--results", str(tmp_path / "r")]
    assert CliRunner().invoke(command, arguments, catch_exceptions=False).exit_code == 0
    folder = tmp_path / "r" / "study=t"
    row = read_results(str(tmp_path / "r")).to_pylist()[0]
    assert cluster_data.beginnings(folder, row, {"1", "39"}) == {
        one: " ".join(lines[int(one)].split()[:12]) for one in ("1", "39")
    }
    (tmp_path / "t.csv").write_text("text\nother\n")
    assert cluster_data.beginnings(folder, row, {"1"}) == {}


def test_first_words_stand_beside_the_documents_in_a_line(results):
    found = topics.choose(load([str(results)], columns=topics.read_columns("npmi")).table, "npmi", "max", "b1")
    found = replace(found, texts={"doc-a": " ".join(f"token{i}" for i in range(12)), "doc-b": "\x1bshort"})
    lines = topics_text(found, "table", 80, 10).splitlines()
    place = next(i for i, line in enumerate(lines) if "begins with" in line)
    assert lines[place + 2].split()[:3] == ["0", "doc-a", "token0"]
    assert lines[place + 2].endswith(" …")
    assert len(lines[place + 2]) <= 80
    assert lines[place + 3].split() == ["0", "doc-b", r"\x1bshort"]


def test_a_topic_model_that_was_interrupted_has_the_topics_of_one_that_was_not(studied, tmp_path):
    text = (studied / "s.yaml").read_text().replace("nmf, ", "gc_atm, epochs: 4, evaluation: {every: 1}, ")
    (tmp_path / "s.yaml").write_text(text)
    planned = plan.make(study.load(tmp_path / "s.yaml")).trials[0]

    def order(name):
        return {
            "study": "s",
            "results": str(tmp_path / name),
            "seed": planned.seed,
            "trial": to_mapping(planned.config),
            "trial_key": planned.trial_key,
            "config_key": planned.config_key,
            "data_hash": planned.data_hash,
            "parameters": dict(planned.parameters),
            "contents": planned.plug_ins,
            "code_hash": "c",
            "env": {},
            "env_hash": "e",
            "metric": "mean5.npmi",
            "mode": "max",
            "checkpoint_share": 1.0,
        }

    def stop(news):
        if news["epoch"] == 2:
            raise SystemExit

    run_trial(order("straight"), lambda _: None)
    with pytest.raises(SystemExit):
        run_trial(order("stopped"), stop)
    run_trial(order("stopped"), lambda _: None)
    straight, stopped = (
        read_results(str(tmp_path / name), history=True).to_pylist()[0] for name in ("straight", "stopped")
    )
    for name in (*topics.COLUMNS, "mean5.npmi", "metric.npmi", "mean5.loss"):
        assert stopped[name] == straight[name]
    reports = [one["value"] for one in straight["history"] if one["metric"] == "npmi"]
    assert straight["mean5.npmi"] == pytest.approx(np.mean(reports))
    assert len(set(reports)) > 1
    assert {one["topic"] for one in straight["topics"]} == {0, 1, 2}
