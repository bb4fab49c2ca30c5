"""What the course of a trial is judged to be."""

import pytest

from core.evaluation.health import RULES, Course, judge, judged_score, summary
from core.evaluation.rules import NOTICES, Condition


def course(*, epochs=20, ended=True, **series):
    """A course of scores, each a list with one value an epoch from the first."""
    return Course(
        series={name: list(enumerate(values, 1)) for name, values in series.items()},
        n_clusters=10,
        n_samples=1000,
        batch_size=100,
        epochs=epochs,
        ended=ended,
    )


WELL = {"loss": [5.0, 4.0, 3.0], "nmi": [0.3, 0.5, 0.7], "marginal_entropy": [0.9] * 3, "clusters_empty": [0.0] * 3}


def test_a_course_that_is_well():
    assert judge(course(**WELL)) == ()
    assert summary(course(**WELL))["verdict"] == "OK"
    assert judge(Course(series={})) == ()
    assert summary(Course(series={})) == {"verdict": "OK"}


def test_labels():
    found = judge(course(**WELL | {"marginal_entropy": [0.9, 0.2, 0.1], "clusters_empty": [0.0, 4.0, 3.0]}))
    assert {one.label for one in found} >= {"EMPTY_CLUSTERS=3"}
    assert next(one.label for one in found if one.code == "COLLAPSED").startswith("COLLAPSED@")


def test_a_trial_that_has_recovered_is_well():
    assert judge(course(**WELL | {"marginal_entropy": [0.1, 0.2, 0.9]})) == ()


def test_clusters_may_be_empty_in_the_first_half_of_a_running_trial():
    early = WELL | {"clusters_empty": [4.0, 4.0, 4.0]}
    assert judge(course(**early, ended=False)) == ()
    assert [one.label for one in judge(course(**early))] == ["EMPTY_CLUSTERS=4"]


def test_a_finding_tells_since_when_its_bound_was_passed_without_a_break():
    """Clusters may be empty in the first half of the epochs; if they stay so, it is told since when."""
    (found,) = judge(course(clusters_empty=[1.0, 0.0, *[2.0] * 18]))
    assert (found.epoch, found.since, found.label) == (10, 3, "EMPTY_CLUSTERS=2")
    (collapsed,) = judge(course(marginal_entropy=[0.9, 0.1, 0.9, *[0.1] * 17]))
    assert (collapsed.since, collapsed.label) == (4, "COLLAPSED@5")


def test_diverged():
    for loss in ([5.0, float("nan"), 4.0], [5.0, 60.0, 4.0], [5.0, float("inf")]):
        assert [(one.label, one.epoch) for one in judge(course(loss=loss))] == [("DIVERGED", 2)]


def test_a_gradient_is_compared_with_those_before_it_alone():
    """The gradients of a collapsed trial vanish; that makes those of its first epochs no jump."""
    vanished = {"gradient_norm_mean": [2.0, 1.0, 1.0, *[1e-6] * 9], "gradient_norm_max": [9.0, 5.0, 4.0, *[1e-5] * 9]}
    assert judge(course(**vanished)) == ()
    jump = {"gradient_norm_mean": [2.0, 1.0, 3.0, 1.5, 9e3], "gradient_norm_max": [3.0, 2.0, 4.0, 2.0, 1e5]}
    whole = {name: [*values, *[1e9] * 5] for name, values in jump.items()}
    for seen in (jump, whole):
        (found,) = judge(course(**seen))
        assert (found.code, found.epoch) == ("DIVERGED", 5)
    assert dict(course(**jump).get("gradient_jump")) == {4: 2.0 / 2.0, 5: 1e5 / 1.75}


def test_below_the_input():
    inputs = Course(series={"nmi": [(5, 0.4), (10, 0.5)], "input_kmeans_nmi": [(10, 0.6)]})
    (found,) = judge(inputs)
    assert (found.label, found.epoch) == ("BELOW_INPUT", 10)
    assert found.evidence == {"nmi": 0.5, "input_kmeans_nmi": 0.6}
    assert "nmi 0.5" in found.sentence
    assert judge(Course(series={"nmi": [(10, 0.585)], "input_kmeans_nmi": [(10, 0.6)]})) == ()


def test_below_the_clusters_that_the_method_found_before_it_trained():
    scores = {"nmi": [(10, 0.65)], "input_kmeans_nmi": [(10, 0.6)]}
    assert judge(Course(series=scores)) == ()
    (found,) = judge(Course(series=scores | {"candidate_nmi": [(10, 0.7)]}))
    assert (found.label, found.evidence) == ("BELOW_INPUT", {"nmi": 0.65, "candidate_nmi": 0.7})


def test_training_that_did_not_help_is_a_notice_on_the_last_epoch():
    """In the epochs before, the clusters of the input answer for the time being only."""
    helped = [(6, 0.0), (8, 0.0), (10, 1.0)]
    assert judge(Course(series={"training_helped": helped})) == ()
    assert judge(Course(series={"training_helped": helped[:2]}, epochs=10, ended=False)) == ()
    (found,) = judge(Course(series={"training_helped": [(6, 1.0), (10, 0.0)]}, epochs=10))
    assert (found.label, found.epoch) == ("TRAINING_DID_NOT_HELP", 10)
    assert {found.code} == NOTICES


def test_a_course_of_a_history():
    history = [(1, "loss", 3.0), (2, "loss", 2.0), (2, "health.label_free", 0.5), (2, "nmi", 0.4)]
    found = Course.of(history, n_clusters=3, epochs=2)
    assert found.values("loss") == [3.0, 2.0]
    assert found.get("label_free") == [(2, 0.5)]
    assert (found.n_clusters, found.epochs, found.last) == (3, 2, 2)


def test_summary():
    nmi, label_free = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.55], [0.1, 0.2, 0.9, 0.4, 0.5, 0.6, 0.7]
    found = summary(course(nmi=nmi, label_free=label_free, imbalance_pred=[2.0]))
    assert found["performance_trend"] == "improving"
    assert (found["total_improvements"], found["total_degradations"]) == (5, 1)
    assert (found["best_epoch_label_free"], found["best_epoch_nmi"], found["epoch_gap"]) == (3, 6, -3)
    assert 0.9 < found["stability_score"] < 1
    assert found["imbalance_pred"] == 2
    assert found["of_nmi"] == 1
    unlabelled = summary(course(label_free=label_free))
    assert "best_epoch_nmi" not in unlabelled
    assert "epoch_gap" not in unlabelled
    assert (unlabelled["of_nmi"], unlabelled["total_improvements"]) == (0, 5)


def test_a_topic_model_is_judged_by_npmi_unless_its_study_ranks_by_another_score():
    rising, falling = [0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.4, 0.3, 0.2, 0.1]
    topical = course(npmi=rising, nmi=falling, active_topics=[1.0] * 5)
    assert (judged_score(topical), summary(topical)["performance_trend"]) == ("npmi", "improving")
    assert summary(topical)["of_nmi"] == 0
    assert summary(topical, "nmi")["performance_trend"] == "declining"
    assert judged_score(topical, "acc") == "npmi"
    assert judged_score(course(npmi=rising, nmi=falling)) == "nmi"


def test_of_one_scored_epoch_no_trend_and_no_stability_is_known():
    found = summary(course(nmi=[0.5]))
    assert not {"performance_trend", "trend_slope", "stability_score"} & set(found)
    assert found["best_epoch_nmi"] == 1
    assert "stability_score" in summary(course(nmi=[0.5, 0.6, 0.7]))


@pytest.mark.parametrize(
    ("condition", "values", "holds"),
    [
        (Condition("a", "<", 0.5), {"a": 0.4}, True),
        (Condition("a", "<", 0.5), {"a": 0.5}, False),
        (Condition("a", ">", 0.5), {"a": 0.6}, True),
        (Condition("a", ">", 0.5), {"a": float("nan")}, False),
        (Condition("a", ">", 5, times="b"), {"a": 9.0, "b": 2.0}, False),
        (Condition("a", ">", 5, times="b"), {"a": 11.0, "b": 2.0}, True),
        (Condition("a", ">", 5, times="b"), {"a": 11.0}, False),
        (Condition("a", "<", -0.1, plus="b"), {"a": 0.3, "b": 0.5}, True),
    ],
)
def test_conditions(condition, values, holds):
    assert condition.holds(values) is holds


def test_one_row_a_code():
    codes = [rule.code for rule in RULES]
    assert len(set(codes)) == len(codes)
    assert all(rule.change and rule.source and rule.why and rule.bound for rule in RULES)
