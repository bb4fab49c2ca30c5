"""Tables that come with scikit-learn, beside scikit-learn's own readers."""

import numpy as np
import pytest
from sklearn import datasets
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

from core.datasets import scikit_learn
from core.errors import UserError

TABLES = {"breast-cancer": datasets.load_breast_cancer, "iris": datasets.load_iris, "wine": datasets.load_wine}


@pytest.mark.parametrize("table", TABLES)
def test_a_table_is_scikit_learn_s_own_standardised(table):
    own, read = TABLES[table](), scikit_learn.load(table=table)
    np.testing.assert_allclose(read.samples, StandardScaler().fit_transform(own.data), atol=1e-6)
    assert adjusted_rand_score(read.labels, own.target) == 1
    assert [read.class_names[one] for one in read.labels] == [str(own.target_names[one]) for one in own.target]


def test_each_table_has_a_fingerprint_of_its_own():
    assert len({scikit_learn.fingerprint(table=one) for one in TABLES}) == 3
    assert scikit_learn.load().fingerprint == scikit_learn.fingerprint(table="wine")


def test_a_damaged_file_is_told(tmp_path, monkeypatch):
    (tmp_path / "wine_data.csv").write_text("2,1,a,b\n0.5,0\nx,1\n", encoding="utf-8")
    monkeypatch.setattr(scikit_learn, "_file", lambda _: tmp_path / "wine_data.csv")
    with pytest.raises(UserError, match=r"wine_data\.csv: it is damaged .*install scikit-learn again"):
        scikit_learn.load()
