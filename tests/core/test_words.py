"""How numbers of things are said."""

import pytest

from core.errors import counted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((1, "trial"), "1 trial"),
        ((0, "trial"), "0 trials"),
        ((1234, "sample"), "1,234 samples"),
        ((1, "row", "were"), "1 row was"),
        ((2, "trial", "are"), "2 trials are"),
    ],
)
def test_one_is_no_plural(arguments, said):
    assert counted(*arguments) == said
