"""Files that mean two things, lead elsewhere, or claim too much: each is read in one way, or refused in one line."""

import numpy as np
import pytest

from core.datasets import file
from core.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def refused(path, said, **options):
    with pytest.raises(UserError, match=said) as error:
        file.load(path=str(path), **options)
    assert "\n" not in str(error.value)


def test_sparse_rows_of_a_folder_count_their_features_in_one_way(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.svm").write_text("0 0:1 2:1\n1 1:1\n")
    (tmp_path / "s" / "b.svm").write_text("0 1:1 3:1\n1 2:1\n")
    refused(tmp_path / "s", r"b\.svm: its indices count from 1, those of a\.svm from 0")
    (tmp_path / "s" / "a.svm").write_text("0 1:1 3:1\n1 2:5\n")
    assert file.load(path=str(tmp_path / "s"), scale="none").samples.tolist() == [[1, 0, 1], [0, 5, 0]] + [
        [1, 0, 1],
        [0, 1, 0],
    ]
