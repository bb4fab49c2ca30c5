import pytest

from core.errors import UserError
from jobs.results.names import resolve, short_names
from jobs.results.where import Where

ROW = {
    "study": "s",
    "seed": 1,
    "status": "ok",
    "param.optimiser.learning_rate": 1e-3,
    "param.method.name": "cc",
    "param.encoder.name": "mlp",
    "param.encoder.widths": "[512,256]",
    "param.method.normalise": True,
    "param.threshold": None,
    "metric.nmi": 0.5,
    "best.nmi": 0.6,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate < 1e-2", True),
        ("1e-4 < learning_rate <= 1e-3", True),
        ("1e-4 < learning_rate < 5e-4", False),
        ("learning_rate < 1e-2 and method.name == 'cc'", True),
        ("method.name == 'tcl' or seed == 1", True),
        ("not method.name == 'cc'", False),
        ("method.name in ['cc', 'tcl']", True),
        ("method.name not in ('cc',)", False),
        ("normalise", True),
        ("normalise == False", False),
        ("nmi > 0.55", False),
        ("best.nmi > 0.55", True),
        ("param.method.name != 'cc'", False),
        ("threshold < 1", False),
        ("threshold > -1", False),
        ("threshold == None", True),
        ("threshold is not None", False),
        ("encoder.widths == [512, 256]", True),
        ("widths in [[512, 256], [64]]", True),
        (" nmi >= -1 ", True),
        ("status == 'ok' and (seed == 2 or seed == 1)", True),
    ],
)
def test_expressions(text, expected):
    assert Where(text).matcher(ROW)(ROW) is expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "nmi.real.__class__()",
        "(lambda: 1)()",
        "nmi + 1 > 0",
        "nmi[0] > 1",
        "[x for x in (1,)]",
        "f'{nmi}' == ''",
        "nmi if seed else 1",
        "nmi = 3",
        "nmi := 3",
        "",
        "nmi >",
        "nmi > 1; seed",
        "{1: 2} == seed",
        "nmi == b'x'",
        "nmi == 2j",
        "(" * 500 + "nmi" + ")" * 500,
    ],
)
def test_what_is_not_an_expression_is_refused(text):
    with pytest.raises(UserError, match="write comparisons"):
        Where(text)


def test_a_number_and_a_word_have_no_order():
    with pytest.raises(UserError, match="'cc' with 3"):
        Where("method.name < 3").matcher(ROW)(ROW)


def test_a_wrong_name_gets_a_suggestion():
    with pytest.raises(UserError, match=r"no column 'learning_rat'.*did you mean 'learning_rate'\?"):
        Where("learning_rat < 1").matcher(ROW)


def test_an_ambiguous_name_is_refused_with_the_choices():
    with pytest.raises(UserError, match=r"param\.encoder\.name or param\.method\.name"):
        Where("name == 'cc'").matcher(ROW)


def test_a_parameter_and_a_metric_of_one_name_are_ambiguous():
    with pytest.raises(UserError, match="ambiguous"):
        resolve("nmi", ["param.nmi", "metric.nmi"])


def test_a_whole_key_wins_over_the_end_of_another():
    assert resolve("threshold", ["param.threshold", "param.method.threshold"]) == "param.threshold"


def test_short_names_are_the_shortest_endings_that_differ():
    names = short_names(["method.name", "encoder.name", "optimiser.learning_rate", "name"])
    assert names == {
        "method.name": "method.name",
        "encoder.name": "encoder.name",
        "optimiser.learning_rate": "learning_rate",
        "name": "name",
    }
