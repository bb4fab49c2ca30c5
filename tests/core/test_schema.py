"""Values from plain mappings: what is taken, what is refused, and the words of a refusal."""

from typing import Literal

import pytest

from core.config import schema
from core.config.schema import Fraction, Mistakes, Option, PositiveFloat, PositiveInt


def read(value, type_):
    mistakes = Mistakes()
    return schema.convert(value, type_, ("here",), mistakes), [one.text for one in mistakes.found]


@pytest.mark.parametrize(
    ("value", "type_", "expected"),
    [
        (1, float, 1.0),
        (3, PositiveInt, 3),
        (0.0, Fraction, 0.0),
        (None, PositiveInt | None, None),
        ([1, 2], tuple[PositiveInt, ...], (1, 2)),
        ("a", Literal["a", "b"], "a"),
        (2, int | float, 2),
    ],
)
def test_what_fits_is_taken(value, type_, expected):
    found, mistakes = read(value, type_)
    assert found == expected
    assert type(found) is type(expected)
    assert not mistakes


LIST = "['a', 'bb'] is wrong: a list, each item one of 'a', 'b' is needed; 'bb' is not; did you mean 'b'?"


@pytest.mark.parametrize(
    ("value", "type_", "words"),
    [
        (0, PositiveFloat, "0 is wrong: a number above 0 is needed"),
        (1.5, Fraction, "1.5 is wrong: a number at least 0 and at most 1 is needed"),
        (True, float, "True is wrong: a number is needed"),
        (1, bool, "1 is wrong: true or false is needed"),
        (float("nan"), float, "nan is wrong: a number is needed"),
        (2.0, PositiveInt, "2.0 is wrong: a whole number at least 1 is needed"),
        ("max ", Literal["max", "min"], "'max ' is wrong: one of 'max', 'min' is needed; did you mean 'max'?"),
        (5, tuple[int, ...], "5 is wrong: a list, each item a whole number is needed: write [5]"),
        (["a", "bb"], tuple[Literal["a", "b"], ...], LIST),
        ("x", PositiveInt | None, "'x' is wrong: a whole number at least 1 or null is needed"),
    ],
)
def test_what_does_not_fit_is_named_with_what_would(value, type_, words):
    assert read(value, type_)[1] == [words]


def test_all_mistakes_are_found_at_once_and_defaults_filled_in():
    options = [Option("width", PositiveInt, 8), Option("rate", float, required=True), Option("name", str, "x")]
    mistakes = Mistakes()
    found = schema.read_options({"widht": 3, "name": 1}, options, ("trial",), mistakes)
    assert [".".join(one.place) for one in mistakes.found] == ["trial.widht", "trial.rate", "trial.name"]
    assert "did you mean 'width'?" in mistakes.found[0].text
    assert "is missing: a number is needed" in mistakes.found[1].text
    assert found["width"] == 8


DOCSTRING = """What it is.

    Args:
        width: of a layer,
            in numbers: all of them.
        rate (float): how fast.
        empty:

    Returns:
        width: no option.
    """


def test_what_a_docstring_says_of_each_name():
    assert schema.descriptions(DOCSTRING) == {
        "width": "of a layer, in numbers: all of them.",
        "rate": "how fast.",
        "empty": "",
    }
    assert schema.descriptions(DOCSTRING.replace("Args:", "Attributes:")).keys() == {"width", "rate", "empty"}
    assert schema.descriptions(None) == schema.descriptions("Only a line.") == {}


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (Fraction, {"type": "number", "minimum": 0, "maximum": 1}),
        (PositiveFloat, {"type": "number", "exclusiveMinimum": 0}),
        (PositiveInt | None, {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (Literal["a", 2], {"enum": ["a", 2]}),
        (schema.LossPlugIn, {"$ref": "#/$defs/losses"}),
    ],
)
def test_a_type_as_json_schema(type_, expected):
    assert schema.json_schema(type_) == expected
