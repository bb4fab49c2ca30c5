"""A report of a study without labels, which is ranked by consensus."""

import numpy as np

from jobs.execution import runner, stored
from jobs.models import choice
from jobs.planning import plan as planning
from jobs.report import contents
from jobs.results.layout import study_folder
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
    assert "of one number of clusters only" not in page


def test_the_clusters_of_several_numbers_are_no_choice_between_these(tmp_path):
    np.savetxt(tmp_path / "mine.csv", np.random.default_rng(0).normal(size=(30, 2)), delimiter=",", header="a,b")
    (tmp_path / "study.yaml").write_text(
        "study: mine\n"
        "trial: {data: {name: file, path: mine.csv, labels: none}, method: kmeans}\n"
        "space: {n_clusters: {grid: [2, 11]}}\n"
        "seeds: [0]\n"
    )
    results = str(tmp_path / "results")
    runner.run(studies.load(tmp_path / "study.yaml"), results=results, workers=1)
    shown = contents.gather([results], "consensus", "max").clusters
    assert shown.why.endswith("the only one of n_clusters 2 whose clusters are stored")
    assert (
        "the best of one number of clusters only. Each has a consensus of its own (2, 11). No score" in shown.notes[0]
    )
    shown = contents.gather([results], "raw_silhouette", "max").clusters
    across = ", across numbers of clusters (2, 11), to all of which no score without labels is fair"
    assert shown.why.endswith(f"the best of the 2 whose clusters are stored{across}")
    # As `assign` and `clusters` say of a study that selects by it.
    study = studies.load(tmp_path / "study.yaml", ["select.metric=raw_silhouette"])
    stored.write_study(results, planning.make(study))
    assert choice.choose(study_folder(results, "mine")).why.endswith(across)
