"""In what order the trials of a plan are handed out."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jobs.analysis.scores import within_trial
from jobs.execution import dispatch, stored
from jobs.planning import plan
from jobs.planning.source import TrialList
from jobs.results import reader
from jobs.study import study

STUDY = """study: s
trial: {data: digits}
space: {epochs: {grid: [10, 100]}}
seeds: [0]
"""


def trials(tmp_path_factory, lengths):
    """A trial for each number of epochs, in this order."""
    file = tmp_path_factory.mktemp("study") / "study.yaml"
    file.write_text(STUDY)
    one = plan.make(study.load(file)).trials[0]
    return [
        replace(one, trial_key=str(place), config=replace(one.config, epochs=epochs))
        for place, epochs in enumerate(lengths)
    ]


def given_out(source):
    """All that it hands out."""
    return [following.trial for following in iter(source.take, None)]


def end(lengths, workers):
    """When the last of these is over, each started by the first worker that is free."""
    free = [0] * workers
    for length in lengths:
        first = free.index(min(free))
        free[first] += length
    return max(free)


@given(st.lists(st.integers(1, 9), max_size=24))
def test_all_once_the_first_three_quarters_as_planned_then_the_longest_first(tmp_path_factory, lengths):
    planned = trials(tmp_path_factory, lengths)
    found = given_out(TrialList(planned))
    assert sorted(found, key=lambda one: int(one.trial_key)) == planned
    kept = len(planned) - len(planned) // 4
    assert found[:kept] == planned[:kept]
    last = [(-one.config.epochs, int(one.trial_key)) for one in found[kept:]]
    assert last == sorted(last)


def test_a_long_trial_at_the_end_of_the_plan_keeps_nobody_waiting(tmp_path_factory):
    lengths = [10] * 12 + [10, 10, 10, 40]
    ordered = [one.config.epochs for one in given_out(TrialList(trials(tmp_path_factory, lengths)))]
    assert end(lengths, 2) == 110
    assert end(ordered, 2) == 100


def test_the_row_of_a_hard_death_says_which_code_environment_and_metric_it_was(tmp_path):
    (tmp_path / "s.yaml").write_text(
        "study: s\ntrial: {data: digits, method: cc, epochs: 2}\nselect: {metric: consensus}\n"
    )
    read = study.load(tmp_path / "s.yaml")
    made = plan.make(read)
    shared = dispatch.shared(read, str(tmp_path / "results"), (), device="cpu")
    orders = dispatch.Orders(TrialList(made.trials), shared, read.budget)
    key = orders.take().key
    stored.write_failure(orders.given[key], "DIED: the process was killed")
    (row,) = reader.read_results([str(tmp_path / "results")]).to_pylist()
    assert (row["code_hash"], row["env_hash"]) == (shared["code_hash"], shared["env_hash"])
    assert row["best_metric"] == within_trial("consensus") != "consensus"
