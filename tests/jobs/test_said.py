"""A sentence on a conclusion is printed where it is true, and not where it is not."""

import re
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.audit_studies import DEAD, LOST, PARAMETERS, Study, stored
from benchmarks.audit_words import CRITERIA
from jobs.analysis import gate, next_step
from jobs.analysis.comparison import comparisons, leaderboards
from jobs.analysis.difference import difference
from jobs.analysis.effect import effect
from jobs.analysis.importance import importance
from jobs.analysis.interaction import interaction
from jobs.analysis.leaderboard import leaderboard
from jobs.analysis.pareto import NO_AIMS, Aims
from jobs.analysis.race import RaceRule, looks, race
from jobs.analysis.selection import criteria_report
from jobs.analysis.trials import gather
from jobs.present.comparison import text
from jobs.present.difference import difference_text
from jobs.present.effect import effect_text
from jobs.present.importance import importance_text, interaction_text
from jobs.present.leaderboard import board_text, selection_notes
from jobs.present.race import end_text
from jobs.results.schema import to_table

RATE, DECAY, _ = PARAMETERS


def scores(*shape, seed=0):
    return 0.5 + 0.01 * np.random.default_rng(seed).standard_normal(shape)


def planted(*shape, step=0.1):
    """Scores with a clear effect of the first parameter."""
    return scores(*shape) + step * np.arange(shape[0]).reshape(-1, *(1,) * (len(shape) - 1))


def rows(study, **changes):
    """The rows of a study; each change gets the row."""
    found = list(study.attempts("s"))
    return [replace(one, **{name: change(one) for name, change in changes.items()}) for one in found]


def flat(text):
    return " ".join(text.split())


def board(study, metric="nmi", mode="max", width=None, aims=NO_AIMS, **changes):
    return flat(board_text(leaderboard(to_table(rows(study, **changes)), metric, mode, aims), width))


def limited(*imbalance, **changes):
    """The leaderboard of three configurations with these imbalances, of which the study allows 20 at most."""
    study = Study(scores(3, 2), signals={"imbalance_pred": np.tile(np.array([imbalance]).T, 2)})
    return board(study, aims=Aims(limits={"imbalance_pred": (None, 20.0)}), **changes)


def fronts(values, *, aims=None):
    """The leaderboard with the front of the scores and of an imbalance that falls as they rise."""
    found = Aims({"nmi": "max", "imbalance_pred": "min"}) if aims is None else aims
    return board(Study(values, signals={"imbalance_pred": 1 - values}), aims=found)


def older_protocol(one):
    """An older protocol for the last of three configurations."""
    return one.protocol - 1 if one.params[RATE] == 4 else one.protocol


def trials(study, metric="nmi", **changes):
    return gather(to_table(rows(study, **changes)), metric)


def effects(study, key=RATE, metric="nmi", **changes):
    return flat(effect_text(effect(trials(study, metric, **changes), key, "max"), "table", None, 1))


def importances(study, **changes):
    return flat(importance_text(importance(trials(study, **changes)), "table", None))


def cells(study):
    return flat(interaction_text(interaction(trials(study), RATE, DECAY), "table", None))


def diff(before, after):
    a, b = stored([before, after])
    return flat(difference_text(difference(a, b, "nmi", "max"), ("a", "b"), "table"))


def advice(study, margin=0.01, **changes):
    return " ".join(one.why for one in next_step.advise(trials(study, **changes), "max", margin))


def choices(study, **changes):
    return " ".join(selection_notes(criteria_report(to_table(rows(study, **changes)))))


def signals(*shape):
    rng = np.random.default_rng(1)
    return {name: rng.random(shape) for name in CRITERIA}


def without(values, *places):
    values = values.copy()
    for place in places:
        values[place] = np.nan
    return values


def methods(one):
    return one.params | {"method.name": "cc" if one.params[RATE] == 1 else "tcl"}


def numbers_of_clusters(one):
    return one.params | {"n_clusters": 5 if one.params[RATE] == 1 else 10}


def wide(more):
    """Further parameters, which differ between configurations by chance."""
    draws = np.random.default_rng(2).integers(0, 2, (8, 8, more))

    def params(one):
        place = int(np.log2(one.params[RATE])), int(np.log2(one.params[DECAY]))
        return one.params | {f"encoder.option_{i}": float(value) for i, value in enumerate(draws[place])}

    return params


def failing(rows):
    """The last configuration of the first data set fails with every seed."""
    gone = [one.data_hash == "d0" and one.params[RATE] == 4 for one in rows]
    return [
        replace(one, status="failed", reason=LOST, metrics={}) if is_gone else one
        for one, is_gone in zip(rows, gone, strict=True)
    ]


def of_two_methods(rows):
    """The configurations as those of two methods, with two each."""
    return [replace(one, params=one.params | {"method.name": "cc" if one.params[RATE] < 3 else "tcl"}) for one in rows]


def several(sets, methods=3, gap=0.1):
    """Configurations on several data sets; the first is the best on each."""
    steps = gap * np.arange(methods)[::-1, None]
    made = [Study(scores(methods, 3, seed=i) + steps, data=f"d{i}", also={"data.name": f"set{i}"}) for i in range(sets)]
    return [row for one in made for row in one.attempts("s")]


def table_of_sets(rows):
    table = to_table(rows)
    boards = leaderboards(table, "nmi", "max")
    return flat(text(boards, comparisons(table, boards, {}), "table"))


ONE, TWO = Study(scores(3, 1)), Study(scores(3, 2))
LOSSES = Study(scores(2, 2, 3), metric="loss")


@pytest.mark.parametrize(
    ("sentence", "true", "false"),
    [
        (
            "Every configuration has one seed, so no two can be told apart. The best of many",
            lambda: board(ONE),
            lambda: board(TWO),
        ),
        (
            "? too few seeds to tell it from the best.",
            lambda: board(Study(without(scores(3, 2) + np.array([[0.0], [0.1], [0.2]]), (0, 1)))),
            lambda: board(TWO),
        ),
        ("= the seeds cannot tell it from the best.", lambda: board(TWO), lambda: board(Study(planted(3, 5)))),
        (
            "Each value is from the trial's best epoch",
            lambda: board(TWO, "best.nmi", best=lambda one: one.metrics),
            lambda: board(TWO, best=lambda one: one.metrics),
        ),
        (
            "of the test part: the value of the best is too good",
            lambda: board(Study(scores(3, 2), "test_recall_at_1"), "test_recall_at_1"),
            lambda: board(Study(scores(3, 2), "train_recall_at_1"), "train_recall_at_1"),
        ),
        (
            "of the validation part, which was not trained on",
            lambda: board(Study(scores(3, 2), "recall_at_1"), "recall_at_1"),
            lambda: board(Study(scores(3, 2), "train_recall_at_1"), "train_recall_at_1"),
        ),
        ("which uses the labels", lambda: board(TWO), lambda: board(Study(scores(3, 2), "silhouette"), "silhouette")),
        ("which uses no labels", lambda: board(Study(scores(3, 2), "silhouette"), "silhouette"), lambda: board(TWO)),
        (
            "a score that nothing declares, so that it is not known whether it uses the labels",
            lambda: board(Study(scores(3, 2), "objective"), "objective"),
            lambda: board(TWO),
        ),
        (
            "Some intervals overlap that of the best though the seeds tell them apart",
            lambda: board(Study(planted(3, 5, step=0.05) + np.arange(5) / 10)),
            lambda: board(Study(planted(3, 5, step=0.2))),
        ),
        (
            "An interval from 0% beside `matters`",
            lambda: importances(Study(scores(6, 4))),
            lambda: importances(Study(planted(3, 3, 3))),
        ),
        (
            "Finished trials with a warning (conclus health tells more): EMPTY_CLUSTERS in 6.",
            lambda: board(TWO, reason=lambda _: "EMPTY_CLUSTERS=2"),
            lambda: board(TWO),
        ),
        (
            "In 3 trials training did not help: the clusters that were found in the input before it agree better",
            lambda: board(TWO, reason=lambda one: "TRAINING_DID_NOT_HELP" if one.seed == 1 else ""),
            lambda: board(TWO, reason=lambda one: "COLLAPSED" if one.seed == 1 else ""),
        ),
        (
            "have no finite value of this metric: left out",
            lambda: board(
                TWO, metrics=lambda one: one.metrics if one.trial_key != "d-0-0" else {"nmi": np.inf}
            ).replace("has no", "have no"),
            lambda: board(TWO),
        ),
        (
            "configurations have no finished value yet",
            lambda: board(TWO, status=lambda one: "running" if one.config_key == "d-0" else "ok"),
            lambda: board(TWO),
        ),
        (
            "Without a mean, as they have no other seeds",
            lambda: board(Study(without(scores(3, 2), 0), reasons={(0, 0): LOST, (0, 1): LOST})),
            lambda: board(Study(without(scores(3, 3), (0, 0)), reasons={(0, 0): LOST})),
        ),
        (
            "Failed in training: DIVERGED in 1. In the order and the signs they count as the worst value of all",
            lambda: board(Study(without(scores(3, 3), (0, 0)), reasons={(0, 0): LOST})),
            lambda: board(Study(without(scores(3, 3), (0, 0)), reasons={(0, 0): DEAD})),
        ),
        (
            "Failed for other reasons, so their values are missing: DIED in 1.",
            lambda: board(Study(without(scores(3, 3), (0, 0)), reasons={(0, 0): DEAD})),
            lambda: board(Study(without(scores(3, 3), (0, 0)), reasons={(0, 0): LOST})),
        ),
        (
            "Ranked by consensus, which uses no labels: trials' mean rank by",
            lambda: board(Study(scores(3, 2), signals=signals(3, 2)), "consensus"),
            lambda: board(Study(scores(3, 2), signals=signals(3, 2))),
        ),
        (
            "Silhouette, confidence, marginal_entropy and feature_std use a model's own outputs",
            lambda: choices(Study(scores(3, 2), signals=signals(3, 2))),
            lambda: board(TWO),
        ),
        (
            "Without labels nothing tells how good these choices are",
            lambda: choices(Study(scores(3, 2), "loss", signals=signals(3, 2))),
            lambda: choices(Study(scores(3, 2), signals=signals(3, 2))),
        ),
        (
            "The parameters of",
            lambda: board(Study(scores(40, 2)), width=20),
            lambda: board(Study(scores(40, 2)), width=200),
        ),
        (
            "A smaller loss is not yet a better model.",
            lambda: board(Study(scores(3, 2), "loss"), "loss", "min"),
            lambda: board(TWO),
        ),
        (
            "Consensus is a rank within one number of clusters and cannot be compared between several.",
            lambda: board(Study(scores(3, 2), signals=signals(3, 2)), params=numbers_of_clusters),
            lambda: board(Study(scores(3, 2), signals=signals(3, 2))),
        ),
        # Constraints and the Pareto front
        (
            "Constraint on the mean over the seeds that ended: imbalance_pred at most 20; all configurations kept it.",
            lambda: limited(1, 2, 20),
            lambda: limited(1, 2, 21),
        ),
        (
            "at most 20; 1 of 3 configurations broke one, whether 1 kept all is not known.",
            lambda: limited(1, 30, np.nan),
            lambda: limited(1, 30, 2),
        ),
        (
            "INFEASIBLE: it breaks a constraint of the study, so it has no rank.",
            lambda: limited(1, 2, 21),
            lambda: limited(1, 2, np.nan),
        ),
        (
            "Others without a rank: of another protocol, not compared with the others.",
            lambda: limited(1, 30, 2, protocol=older_protocol),
            lambda: limited(1, 2, 3, protocol=older_protocol),
        ),
        (
            ": of another protocol, not compared with the others.",
            lambda: board(Study(scores(3, 2)), protocol=older_protocol),
            lambda: board(Study(scores(3, 2))),
        ),
        (
            "front, of nmi (max), imbalance_pred (min): yes if no other one is as good in the means of all and better",
            lambda: fronts(scores(3, 3)),
            lambda: fronts(scores(3, 3), aims=NO_AIMS),
        ),
        (
            "front =: another one is, but the seeds do not show that it is better in each of them.",
            lambda: fronts(scores(3, 3)),
            lambda: fronts(planted(3, 3)),
        ),
        (
            "front ?: another one is, and there are too few seeds to show it.",
            lambda: fronts(scores(3, 1)),
            lambda: fronts(scores(3, 3)),
        ),
        # Effects
        (
            "Each value against its next lower one, over pairs equal in everything else",
            lambda: effects(Study(scores(3, 3, 2))),
            lambda: effects(Study(scores(3, 3, 2)), "method.name", params=methods),
        ),
        (
            "Each value is compared with tcl, the one with the most trials.",
            lambda: effects(Study(scores(3, 3, 2)), "method.name", params=methods),
            lambda: effects(Study(scores(2, 3, 2)), "method.name", params=methods),
        ),
        (
            "Each value is compared with cc; none has more trials.",
            lambda: effects(Study(scores(2, 3, 2)), "method.name", params=methods),
            lambda: effects(Study(scores(3, 3, 2)), "method.name", params=methods),
        ),
        (
            "Means over the",
            lambda: effects(Study(scores(3, 3, 2))),
            lambda: effects(Study(without(scores(2, 2, 2), (0, 0), (1, 1)))),
        ),
        (
            "No other configuration was run with every value, so means per value would not be comparable.",
            lambda: effects(Study(without(scores(2, 2, 2), (0, 0), (1, 1)))),
            lambda: effects(Study(scores(3, 3, 2))),
        ),
        (
            "recall_at_1 is measured on the validation part.",
            lambda: effects(Study(scores(3, 3, 2), "recall_at_1"), metric="recall_at_1"),
            lambda: effects(Study(scores(3, 3, 2))),
        ),
        (
            "A smaller training loss means a better fit",
            lambda: effects(LOSSES, metric="loss"),
            lambda: effects(Study(scores(2, 2, 3))),
        ),
        (
            "Losses can be compared within a pair, which shares batch_size.",
            lambda: effects(
                LOSSES, metric="loss", params=lambda one: one.params | {"batch_size": one.params[DECAY] * 64}
            ),
            lambda: effects(LOSSES, metric="loss"),
        ),
        (
            "trials have no value of optimiser.learning_rate and are left out",
            lambda: effects(
                Study(scores(3, 3, 2)), params=lambda one: one.params | ({RATE: None} if one.params[RATE] == 4 else {})
            ),
            lambda: effects(Study(scores(3, 3, 2))),
        ),
        (
            "Options that only some of its values have go with it: method.threshold.",
            lambda: effects(
                Study(scores(3, 3, 2)),
                "method.name",
                params=lambda one: (
                    methods(one) | ({} if one.params[RATE] == 1 else {"method.threshold": one.params[DECAY]})
                ),
            ),
            lambda: effects(Study(scores(3, 3, 2)), "method.name", params=methods),
        ),
        (
            "Effect of optimiser.learning_rate on nmi, over 18 finished trials; the larger the better.",
            lambda: effects(Study(scores(3, 3, 2))),
            lambda: importances(Study(scores(3, 3, 2))),
        ),
        (
            "2 more slices: --slices 3 or --format csv --table slices shows all.",
            lambda: effects(Study(scores(3, 3, 2))),
            lambda: effects(Study(scores(3, 2))),
        ),
        (
            "the configurations and the one seed that were run",
            lambda: effects(Study(scores(3, 5, 1))),
            lambda: effects(Study(scores(3, 5, 2))),
        ),
        (
            "the configurations that were run, by the scatter of their seeds",
            lambda: effects(Study(scores(3, 2, 3))),
            lambda: effects(Study(scores(3, 5, 3))),
        ),
        (
            "the configurations that were run, the wider of those by configuration and by seed",
            lambda: effects(Study(scores(3, 5, 3))),
            lambda: effects(Study(scores(3, 5, 1))),
        ),
        (
            "All trials have the same seed: this holds for that seed alone.",
            lambda: effects(Study(scores(3, 5, 1))),
            lambda: effects(Study(scores(3, 5, 2))),
        ),
        (
            "failed in training (diverged, out of memory or time, or stopped by a rule of health) and so",
            lambda: effects(Study(without(scores(3, 3, 2), (0, 0, 0)), reasons={(0, 0, 0): LOST})),
            lambda: effects(Study(without(scores(3, 3, 2), (0, 0, 0)), reasons={(0, 0, 0): DEAD})),
        ),
        (
            "The means are over several data sets, so they mix their scores",
            lambda: effects(
                Study(scores(3, 3, 2)),
                params=lambda one: one.params | {"data.name": f"d{one.params[DECAY]}"},
                data_hash=lambda one: f"{one.params[DECAY]}",
            ),
            lambda: effects(Study(scores(3, 3, 2))),
        ),
        (
            "All pairs of 1 and 2 are equal to the last digit: it had no effect in these trials.",
            lambda: effects(Study(np.tile(scores(1, 3, 2), (2, 1, 1)))),
            lambda: effects(Study(scores(2, 3, 2))),
        ),
        (
            "corrected for the 2 comparisons (Bonferroni). A difference is shown",
            lambda: effects(Study(scores(3, 3, 2))),
            lambda: effects(Study(scores(2, 3, 2))),
        ),
        # Importance and interactions
        (
            "Not shown to matter here: conclus effect may still show a difference",
            lambda: importances(Study(scores(3, 3, 2))),
            lambda: importances(Study(planted(4, 4, 5)[:, :1])),
        ),
        (
            "4 pairs of steps cannot be compared: no four trials with them are equal in all else.",
            lambda: cells(Study(without(scores(3, 3, 2), (1, 1)))),
            lambda: cells(Study(scores(3, 3, 2))),
        ),
        (
            "95 % intervals, corrected for the 4 comparisons (Bonferroni):",
            lambda: cells(Study(scores(3, 3, 3))),
            lambda: cells(Study(scores(2, 2, 2))),
        ),
        (
            "too few for",
            lambda: importances(Study(without(scores(2, 2, 1), (0, 0)))),
            lambda: importances(Study(scores(3, 3, 2))),
        ),
        (
            "Nothing was repeated with another seed, so the share of luck is unknown, and",
            lambda: importances(Study(scores(4, 4, 1))),
            lambda: importances(Study(scores(3, 3, 2))),
        ),
        (
            "no trials for it",
            lambda: importances(Study(without(scores(2, 2, 6), (1, 1)))),
            lambda: importances(Study(scores(3, 3, 2))),
        ),
        (
            "What explains nmi over 18 finished trials of 9 configurations: shares of the variance between trials",
            lambda: importances(Study(scores(3, 3, 2))),
            lambda: cells(Study(scores(3, 3, 2))),
        ),
        (
            "of 4 cells were not run",
            lambda: cells(Study(without(scores(2, 2, 2), (0, 0)))).replace("1 of", "of"),
            lambda: cells(Study(scores(2, 2, 2))),
        ),
        (
            "Cells hold different numbers of trials",
            lambda: cells(Study(without(scores(2, 2, 2), (0, 0, 0)))),
            lambda: cells(Study(scores(2, 2, 2))),
        ),
        (
            "5 more pairs explain less. --format csv has them all.",
            lambda: importances(Study(scores(8, 8, 2)), params=wide(4)),
            lambda: importances(Study(scores(8, 8, 2)), params=wide(3)),
        ),
        (
            "Only the first 45 of 55 pairs are looked at for interactions.",
            lambda: importances(Study(scores(8, 8, 2)), params=wide(9)),
            lambda: importances(Study(scores(8, 8, 2)), params=wide(4)),
        ),
        (
            "nmi: learning_rate down, weight_decay across; n in brackets,",
            lambda: cells(Study(scores(3, 3, 2))),
            lambda: importances(Study(scores(3, 3, 2))),
        ),
        # Two sets of results
        (
            "No parameter, code or package changed from A to B",
            lambda: diff(TWO, TWO),
            lambda: diff(TWO, replace(TWO, also={"epochs": 3})),
        ),
        (
            "Changed from A to B",
            lambda: diff(replace(TWO, also={"epochs": 2}), replace(TWO, also={"epochs": 3})).replace(
                "Nothing else changed", ""
            ),
            lambda: diff(TWO, TWO).replace("No parameter, code or package changed from A to B", ""),
        ),
        (
            "? no difference shown over fewer than",
            lambda: diff(TWO, Study(scores(3, 2, seed=1))),
            lambda: diff(Study(scores(3, 5)), Study(scores(3, 5, seed=1))),
        ),
        (
            "= no difference shown: the interval says how large one could still be.",
            lambda: diff(Study(scores(3, 5)), Study(scores(3, 5, seed=1))),
            lambda: diff(Study(scores(3, 5)), Study(scores(3, 5, seed=1) + 0.5)),
        ),
        (
            "and this one seed",
            lambda: diff(Study(scores(5, 1)), Study(scores(5, 1, seed=1))),
            lambda: diff(Study(scores(5, 3)), Study(scores(5, 3, seed=1))),
        ),
        # Data sets
        (
            "Friedman's test of the ranks needs 5 data sets or more: here are 2.",
            lambda: table_of_sets(several(2)),
            lambda: table_of_sets(several(5)),
        ),
        (
            "Two",
            lambda: re.sub("Two(?! configurations whose)", "", table_of_sets(several(8))),
            lambda: table_of_sets(several(6, gap=0.0)),
        ),
        ("is shown.", lambda: table_of_sets(several(6, gap=0.0)), lambda: table_of_sets(several(8))),
        (
            "the 5 data sets, of 6, that have a result of every configuration",
            lambda: table_of_sets(several(6)[:-3]),
            lambda: table_of_sets(several(6)),
        ),
        ("No average rank", lambda: table_of_sets(several(2)[:-3]), lambda: table_of_sets(several(2))),
        (
            "the mean of the ranks on the 2 data sets. Rank 1 is the best.",
            lambda: table_of_sets(several(2)),
            lambda: table_of_sets(several(2)[:-3]),
        ),
        (
            "the one with the best nmi there stands for it. It was picked by these same seeds",
            lambda: table_of_sets(of_two_methods(several(2, 4))),
            lambda: table_of_sets(several(2)),
        ),
        (
            "? too few seeds to tell it from the best of its column.",
            lambda: table_of_sets([one for one in several(2) if one.seed == 0]),
            lambda: table_of_sets(several(2)),
        ),
        (
            "= the seeds cannot tell it from the best of its column.",
            lambda: table_of_sets(several(2, gap=0.0)),
            lambda: table_of_sets(several(2, gap=0.3)),
        ),
        (
            "Each cell is the mean over the seeds with its 95 % interval.",
            lambda: table_of_sets(several(2)),
            lambda: table_of_sets(several(1)),
        ),
        (
            "Each cell is the value of one seed, so it has no interval.",
            lambda: table_of_sets([one for one in several(2) if one.seed == 0]),
            lambda: table_of_sets(several(2)),
        ),
        (
            "seeds. A rank counts them alike.",
            lambda: table_of_sets(several(2)[:-1]),
            lambda: table_of_sets(several(2)),
        ),
        (
            "A cell of one seed has no interval.",
            lambda: table_of_sets([one for one in several(2) if one.seed == 0 or one.params["data.name"] != "set0"]),
            lambda: table_of_sets(several(2)),
        ),
        (
            "An empty cell: this configuration has no value there.",
            lambda: table_of_sets(several(2)[:-3]),
            lambda: table_of_sets(several(2)),
        ),
        (
            "failed: the training failed with every seed; that is the last rank of its data set.",
            lambda: table_of_sets(failing(several(2))),
            lambda: table_of_sets(several(2)),
        ),
        # The next study
        ("is the upper end,", lambda: advice(Study(planted(3, 3, 3))), lambda: advice(Study(planted(3, 3, 3)[::-1]))),
        ("lies inside,", lambda: advice(Study(planted(3, 3, 3)[[0, 2, 1]])), lambda: advice(Study(planted(3, 3, 3)))),
        (
            "over its neighbours",
            lambda: advice(Study(planted(3, 3, 3)[[0, 2, 1]])),
            lambda: advice(Study(planted(3, 3, 3))),
        ),
        (
            "flat: within 0.1 of the best,",
            lambda: advice(Study(scores(3, 3, 3)), 0.1, seconds=lambda _: 1.0),
            lambda: advice(Study(planted(3, 3, 3)), 0.01),
        ),
        (
            "and takes less time",
            lambda: advice(Study(planted(3, 3, 3, step=0.01)), 0.5, seconds=lambda one: one.params[RATE]),
            lambda: advice(Study(planted(3, 3, 3, step=0.01)), 0.5, seconds=lambda _: 1.0),
        ),
        (
            "too few to judge",
            lambda: advice(Study(without(scores(2, 2, 1), (0, 0)))),
            lambda: advice(Study(scores(3, 3, 3))),
        ),
        (
            "it can rescale the loss, so the loss cannot judge it",
            lambda: " ".join(
                one.why
                for one in next_step.advise(
                    trials(LOSSES, "loss", params=lambda one: one.params | {"batch_size": one.params[DECAY] * 64}),
                    "min",
                    0.01,
                )
            ),
            lambda: advice(Study(scores(3, 3, 3))),
        ),
        (
            "too few configurations to judge",
            lambda: advice(Study(without(scores(7, 2, 1), *[(i, i % 2) for i in range(7)]))),
            lambda: advice(Study(scores(12, 3, 2))),
        ),
        (
            "still better at the upper end",
            lambda: advice(Study(planted(12, 3, 2))),
            lambda: advice(Study(scores(12, 3, 2))),
        ),
        (
            "still better at the lower end",
            lambda: advice(Study(planted(12, 3, 2)[::-1])),
            lambda: advice(Study(scores(12, 3, 2))),
        ),
        (
            "best inside, about",
            lambda: advice(Study(scores(12, 3, 2) - 0.02 * (np.arange(12) - 5.5).reshape(-1, 1, 1) ** 2)),
            lambda: advice(Study(scores(12, 3, 2))),
        ),
        (
            "too noisy to tell a direction",
            lambda: advice(Study(scores(12, 3, 2)), 1e-4),
            lambda: advice(Study(scores(12, 3, 2)), 0.5),
        ),
        (
            "flat: over its whole range it changes the metric by less than",
            lambda: advice(Study(scores(12, 3, 2)), 0.5),
            lambda: advice(Study(scores(12, 3, 2)), 1e-4),
        ),
    ],
)
def test_a_sentence_is_printed_where_it_is_true_alone(sentence, true, false):
    said = true()
    assert sentence in said, said
    assert sentence not in false()


def test_scores_of_several_data_sets_are_not_compared():
    both, one = (gather(to_table(several(sets)), "nmi") for sets in (2, 1))
    within = "Values are differences from the mean of their data set: no score is compared across data sets."
    assert within in flat(importance_text(importance(both), "table", None))
    assert within not in flat(importance_text(importance(one), "table", None))
    refused = interaction(both, RATE, "data.name").refusal
    assert refused == "data.name is not compared: no score is compared across data sets, see conclus aggregate."
    assert not interaction(trials(Study(scores(3, 3, 2))), RATE, DECAY).refusal


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        ([{0: 0.5}], [{0: 0.4}], "one seed cannot show an improvement"),
        ([{0: 0.5, 1: 0.6}], [{0: 0.5, 1: 0.6}], "is no significant improvement"),
        ([], [{0: 0.5}], "no configuration has a value of nmi"),
    ],
)
def test_a_closed_gate_says_why(now, before, said):
    verdict = gate.improves("nmi", now, before, maximise=True)
    assert not verdict.is_open
    assert said in verdict.why
    assert gate.improves("nmi", [{0: 0.9, 1: 0.91, 2: 0.9}], [{0: 0.1, 1: 0.11, 2: 0.1}], maximise=True).is_open


def raced(values, margin=0.0):
    """What `confirm` prints at the end of a race over the values, six seeds at most, of which three are the study's."""
    study = Study(values)
    future = {f"d-{place}": dict(enumerate(row)) for place, row in enumerate(values.tolist())}
    rule = RaceRule(looks=looks(3, 6), top=5, margin=margin, maximise=True)
    state = race(future, range(6), rule)
    return flat(end_text(leaderboard(to_table(rows(study)), "nmi", "max"), state, rule, 500))


@pytest.mark.parametrize(
    ("sentence", "true", "false"),
    [
        (
            "Separated: the best is better than every other contender",
            lambda: raced(planted(3, 6)),
            lambda: raced(scores(3, 6)),
        ),
        ("Undecided after 6 seeds: 3 may be the best", lambda: raced(scores(3, 6)), lambda: raced(planted(3, 6))),
        (
            "As good: the 3 remaining configurations differ from the best by at most",
            lambda: raced(scores(3, 6), 0.5),
            lambda: raced(scores(3, 6)),
        ),
        (
            "On the added seeds alone, which did not choose the contenders:",
            lambda: raced(scores(3, 6)),
            lambda: raced(planted(3, 6)),
        ),
        (
            "corrected for the choice among the 3 contenders, it is",
            lambda: raced(scores(3, 6)),
            lambda: raced(planted(3, 6)),
        ),
        (
            "Training failed in 1 trial",
            lambda: raced(np.where(np.arange(18).reshape(3, 6) == 12, -np.inf, scores(3, 6))),
            lambda: raced(scores(3, 6)),
        ),
        (
            "Nothing to race: there is no other contender. The best: the only configuration with a value",
            lambda: raced(scores(1, 6)),
            lambda: raced(scores(3, 6)),
        ),
        ("To go on, plan anew: --seeds-at-most 9", lambda: raced(scores(3, 6)), lambda: raced(planted(3, 6))),
        ("error 5 % over all planned rounds", lambda: raced(planted(3, 6)), lambda: raced(scores(3, 6))),
    ],
)
def test_the_end_of_a_race_is_told_as_it_is(sentence, true, false):
    said = true()
    assert sentence in said, said
    assert sentence not in false()
