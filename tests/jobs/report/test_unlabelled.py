"""A report of a study without labels, which is ranked by consensus."""

import numpy as np

from jobs.execution import runner
from jobs.study import study as studies


def test_the_page_of_a_study_without_labels_shows_clusters_of_the_first_by_consensus(tmp_path, command):
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(size=(30, 4)) + shift for shift in (0, 6, 12)])
    np.savetxt(tmp_path / "mine.csv", rows, delimiter=",", header="a,b,c,d", comments="")
    (tmp_path / "study.yaml").write_text(
        "study: mine\n"
        "trial: {data: {name: file, path: mine.csv, labels: none}, n_clusters: 3}\n"
        "space: {method: {choice: [kmeans, ward]}}\n"
        "seeds: [0, 1]\n"
    )
    results = tmp_path / "results"
    runner.run(studies.load(tmp_path / "study.yaml"), results=str(results), workers=1)
    code, _, told = command("report", results, "--out", tmp_path / "page.html")
    assert (code, told) == (0, ""), told
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "consensus" in page
    assert "the best of" in page or "the only one whose clusters are stored" in page
