"""Members of populations, and trials that were stopped early, in statistics over configurations."""

import numpy as np
import pytest

from core.errors import UserError
from jobs.analysis.effect import effect
from jobs.analysis.leaderboard import leaderboard, wanted_columns
from jobs.analysis.selection import criteria_report
from jobs.analysis.trials import gather
from jobs.results.reader import load, read_results
from jobs.results.schema import Attempt
from jobs.results.writer import write


@pytest.fixture
def table(tmp_path):
    """Six plain trials of two configurations, one of them stopped early, and members with values far off."""

    def made(*, plain=True, members=True):
        for rate, seed in ((rate, seed) for rate in (0.1, 0.2) for seed in (0, 1, 2)):
            if plain:
                add(
                    tmp_path,
                    f"t{rate}{seed}",
                    f"c{rate}",
                    seed,
                    rate,
                    rate + seed / 100,
                    early=rate == 0.2 and seed == 2,
                )
            if members:
                add(tmp_path, f"m{rate}{seed}", f"m{rate}{seed}", seed, rate, 9 + seed, source="pbt")
        return read_results([str(tmp_path)])

    return made


def add(folder, key, config, seed, rate, value, *, source="run", early=False):  # noqa: PLR0917
    attempt = Attempt(
        study="s",
        trial_key=key,
        config_key=config,
        seed=seed,
        attempt_id=f"a{key}",
        status="stopped" if early else "ok",
        source=source,
        params={"optimiser.learning_rate": rate},
        data_hash="d",
        metrics={"nmi": value},
    )
    write(str(folder), attempt)


def test_a_ranking_leaves_members_out_and_says_so(table):
    board = leaderboard(table(), "nmi", "max")
    assert [one.params["optimiser.learning_rate"] for one in board.entries] == [0.2, 0.1]
    assert board.entries[0].score.mean == pytest.approx(0.21)
    assert "6 members of populations are left out: their values changed while they trained." in board.notes
    assert "1 trial was stopped early: values are those of the epoch that was reached." in board.notes


def test_members_alone_are_listed_one_by_one(table):
    board = leaderboard(table(plain=False), "nmi", "max")
    assert len(board.entries) == 6
    assert any("members of populations: each began with other values" in note for note in board.notes)


def test_without_members_nothing_is_said_of_them(table):
    assert not any("population" in note for note in leaderboard(table(members=False), "nmi", "max").notes)


def test_an_effect_is_that_of_the_plain_trials(table):
    both, alone = (gather(table(members=members), "nmi") for members in (True, False))
    assert np.array_equal(both.values, alone.values)
    found = effect(both, "optimiser.learning_rate", "max")
    assert found.differences[0].estimate.mean == pytest.approx(0.1)


def test_members_alone_say_nothing_of_a_configuration(table):
    members = table(plain=False)
    with pytest.raises(UserError, match="All 6 trials are members of populations"):
        gather(members, "nmi")
    with pytest.raises(UserError, match="All 6 trials are members of populations"):
        criteria_report(members)


def test_warnings_are_those_of_the_verdict_and_of_a_row_without_one_of_its_reason(tmp_path):
    told = [("TOPIC_COLLAPSE; DEAD_TOPICS", "EMPTY_CLUSTERS=1"), ("OK", "EMPTY_CLUSTERS=1"), ("", "COLLAPSED")]
    for seed, (verdict, reason) in enumerate(told):
        row = Attempt(study="s", trial_key=f"{seed}", config_key="c", seed=seed, attempt_id="a", status="ok")
        row.verdict, row.reason, row.metrics, row.data_hash = verdict, reason, {"nmi": 0.5}, "d"
        write(str(tmp_path), row)
    found = read_results([str(tmp_path)])
    said = "with a warning (conclus health tells more): COLLAPSED in 1, DEAD_TOPICS in 1, TOPIC_COLLAPSE in 1."
    assert any(note.endswith(said) for note in leaderboard(found, "nmi", "max").notes)
    assert gather(found, "nmi").broken.tolist() == [True, False, True]
    few = load([str(tmp_path)], columns=wanted_columns("nmi")).table  # as `conclus aggregate` reads them
    assert any(note.endswith(said) for note in leaderboard(few, "nmi", "max").notes)
