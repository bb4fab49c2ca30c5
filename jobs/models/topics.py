"""The topics of a trial, matched over the seeds of its configuration: which come again, and which are luck.

Each topic of the trial gets its match in another seed: one to one, so that the matches share most words over all topics
(the Hungarian method on the top words, as in Greene, O'Callaghan and Cunningham, "How Many Topics? Stability Analysis
for Topic Models", ECML 2014, arXiv 1404.4606). There two topics are compared by the Jaccard index averaged over depths
of the ranked words. Here it is the share of the top 10 words that both have, which can be told in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

from core.config.schema import nearest
from core.errors import UserError
from jobs.analysis import apart, selection
from jobs.analysis.data_sets import SeveralDataSetsError
from jobs.analysis.leaderboard import Leaderboard, leaderboard, wanted_columns
from jobs.analysis.pareto import NO_AIMS, Aims
from jobs.analysis.samples import best_row
from jobs.analysis.scores import metric_name
from jobs.present.inputs import one_trial
from jobs.present.tables import cell_text
from jobs.results.header import FINISHED
from jobs.results.names import short_names
from jobs.results.schema import IDENTITY

if TYPE_CHECKING:
    import pyarrow as pa

COMPARED = 10
"""Top words of a topic by which it is matched."""
AGAIN = 0.5
"""The share of these words from which on a topic counts as come again.

Five of ten words of two topics over 2,000 words agree by chance in fewer than one of a billion pairs, and below half a
reader would not take the two for the same topic.
"""
COLUMNS = ("topics", "topic_coherence", "topic_documents", "topic_scored_on")
"""The columns of results that only this module reads."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of a trial.

    Attributes:
        number: Its number, from 0; also that of the cluster of its documents.
        words: Its top words with their weights, the heaviest first.
        coherence: NPMI of its top 10 words; None if it is not known.
        size: Number of training documents in which it is the strongest; None if it is not known.
        documents: Ids of up to three documents in which it is strongest.
        stability: The mean share of its top 10 words that its match in each other seed has; None with one seed.
        again: The number of other seeds in which that share is at least `AGAIN`; None with one seed.
    """

    number: int
    words: tuple[tuple[str, float], ...]
    coherence: float | None
    size: int | None
    documents: tuple[str, ...]
    stability: float | None = None
    again: int | None = None


@dataclass(frozen=True, slots=True)
class TrialTopics:
    """The topics of one trial.

    Attributes:
        row: The trial's row by column.
        why: What it was chosen by, in words; empty for a trial that was named.
        topics: Its topics by number.
        others: Number of other seeds of its configuration that the topics are matched with.
        scored_on: What the topics were scored on, for people; empty if it is not known.
        texts: The first words of documents by id, where they can be read.
    """

    row: Mapping[str, Any]
    why: str
    topics: tuple[Topic, ...]
    others: int
    scored_on: str
    texts: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def documents(self) -> set[str]:
        """The ids of the documents of all topics."""
        return {one for topic in self.topics for one in topic.documents}


def read_columns(metric: str, aims: Aims = NO_AIMS) -> list[str]:
    """The columns that `choose` reads."""
    return [*wanted_columns(metric, aims), *COLUMNS, "data_hash", "cluster_sizes", "params_json"]


def has_some(table: pa.Table) -> bool:
    """Whether a row has topics."""
    return "topics" in table.column_names and table["topics"].null_count < table.num_rows


def choose(table: pa.Table, metric: str, mode: str, trial: str | None = None, *, aims: Aims = NO_AIMS) -> TrialTopics:
    """The topics of one trial, matched with those of the other finished seeds of its configuration.

    Args:
        table: Rows from `jobs.results.reader`, one per trial, with `read_columns(metric, aims)`.
        metric: The metric by which the best configuration, and its best trial, are chosen.
        mode: `max` or `min`.
        trial: The beginning of a trial's key, instead of the best one.
        aims: The constraints of the study; what breaks one is not the best.

    Raises:
        UserError: No trial has topics, there is no such trial, or no finished one has a value of the metric.
    """
    table, _ = apart.split(table)
    rows = _with_topics(table)
    if not rows:
        raise UserError(
            "No trial of these results has topics: a topic model, such as the methods bat and nmf, has them "
            "once it is scored."
        )
    if trial is None:
        try:
            board = leaderboard(table, metric, mode, aims)
        except SeveralDataSetsError as error:
            raise UserError(f"{error} Choose one with --where, or a trial with --trial.") from error
        return _found(table, *_best(board, table, rows), rows)
    keys = [row["trial_key"] for row in rows]
    unknown = f"No trial with topics begins with {trial!r}: there are {nearest(trial, keys)}."
    key = one_trial(trial, set(keys), unknown)
    found = [row for row in rows if row["trial_key"] == key]
    if len(found) > 1:
        studies = ", ".join(row["study"] for row in found)
        raise UserError(f"The trial {key} is in several studies ({studies}): name one by --study.")
    return _found(table, found[0], "", rows)


def match(own: Sequence[Topic], others: Sequence[Topic]) -> list[float]:
    """The share of each topic's top 10 words that its match among other topics has; 0 for a topic without a match."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    sets = [[{word for word, _ in topic.words[:COMPARED]} for topic in several] for several in (own, others)]
    places: dict[str, int] = {}
    for words in [*sets[0], *sets[1]]:
        for word in words:
            places.setdefault(word, len(places))
    first, second = (np.zeros((len(several), len(places)), np.float32) for several in sets)
    for several, found in zip(sets, (first, second), strict=True):
        for row, words in enumerate(several):
            found[row, [places[word] for word in words]] = 1
    shared = first @ second.T
    shares = np.zeros(len(own))
    rows, columns = linear_sum_assignment(shared, maximize=True)
    shares[rows] = shared[rows, columns] / COMPARED
    return shares.tolist()


def _with_topics(table: pa.Table) -> list[dict[str, Any]]:
    """What identifies the rows that have topics, and their places; the topics of all would take gigabytes here."""
    import pyarrow.compute as pc

    if not has_some(table):
        return []
    names = [*IDENTITY, *(name for name in ("data_hash",) if name in table.column_names)]
    there = pc.call_function("list_value_length", [table["topics"]]).to_pylist()
    rows = table.select(names).to_pylist()
    return [{**row, "place": place} for place, (row, has) in enumerate(zip(rows, there, strict=True)) if has]


def _whole(table: pa.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its topics and what belongs to them."""
    wanted = {*IDENTITY, "data_hash", "cluster_sizes", "params_json", *COLUMNS}
    names = [name for name in table.column_names if name in wanted]
    return table.select(names).slice(row["place"], 1).to_pylist()[0]


def _best(board: Leaderboard, table: pa.Table, rows: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], str]:
    """The row of the best trial of the best configuration that has topics, and the sentence on it."""
    table = selection.with_consensus(table) if board.metric == selection.CONSENSUS_COLUMN else table
    column, attempts = table[board.metric].to_pylist(), [row["attempt_id"] for row in rows]
    values: dict[tuple[str, str], dict[int, float | None]] = {}
    for place, row in enumerate(rows):
        if row["status"] in FINISHED:
            values.setdefault((row["study"], row["config_key"]), {})[place] = column[row["place"]]
    for entry in board.entries:
        several = values.get((entry.study, entry.config_key), {})
        place = best_row(several, attempts, maximise=board.mode == "max")
        if place is not None:
            short = short_names([*board.constant, *entry.params])
            told = " ".join(
                f"{short[one]}={cell_text(param)}" for one, param in entry.params.items() if param is not None
            )
            why = f"the best of the best configuration by {metric_name(board.metric)} ({several[place]:.3f})"
            return rows[place], f"{why}{f': {told}' if told else ''}"
    metric = metric_name(board.metric)
    raise UserError(f"No finished trial with topics has a value of {metric!r}: give another --metric, or --trial KEY.")


def _found(table: pa.Table, row: Mapping[str, Any], why: str, rows: Sequence[Mapping[str, Any]]) -> TrialTopics:
    whole = _whole(table, row)
    own = _topics(whole)
    same = ("study", "config_key", "data_hash")
    others = [
        _topics(_whole(table, other))
        for other in rows
        if all(other.get(name) == row.get(name) for name in same)
        and other["seed"] != row["seed"]
        and other["status"] in FINISHED
    ]
    shares = [match(own, other) for other in others]
    if shares:
        own = [
            replace(topic, stability=sum(found) / len(found), again=sum(share >= AGAIN for share in found))
            for topic, found in zip(own, zip(*shares, strict=True), strict=True)
        ]
    return TrialTopics(whole, why, tuple(own), len(others), whole.get("topic_scored_on") or "")


def _topics(row: Mapping[str, Any]) -> list[Topic]:
    words: dict[int, list[tuple[str, float]]] = {}
    for entry in row["topics"]:
        words.setdefault(entry["topic"], []).append((entry["word"], entry["weight"]))
    documents: dict[int, list[str]] = {}
    for entry in row.get("topic_documents") or ():
        documents.setdefault(entry["topic"], []).append(entry["id"])
    coherence: list[float] = row.get("topic_coherence") or []
    sizes: list[int] = row.get("cluster_sizes") or []
    return [
        Topic(
            number,
            tuple(found),
            coherence[number] if number < len(coherence) and isfinite(coherence[number]) else None,
            sizes[number] if number < len(sizes) else None,
            tuple(documents.get(number, ())),
        )
        for number, found in sorted(words.items())
    ]
