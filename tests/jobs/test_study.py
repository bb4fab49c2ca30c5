"""The study file: what it means, short names, overrides, and that it reads back what it shows."""

import pytest
import yaml

from core.config.trial import parameters
from jobs.planning import plan, stages
from jobs.study import study

TEXT = """study: s
trial:
  data: digits
  method: {name: cc, entropy_weight: 2}
  learning_rate: 1e-3
  epochs: 3
space:
  instance_temperature: {grid: [0.3, 0.5]}
  batch_size: {choice: [64, 128]}
seeds: [0, 1, 2]
"""


@pytest.fixture
def write(tmp_path):
    def write(text=TEXT, name="study.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def flat(read, **cell):
    return parameters(read.cell(cell))


def test_numbers_are_numbers_as_yaml_1_2_reads_them(write):
    assert flat(study.load(write()))["optimiser.learning_rate"] == 0.001


def test_short_names_mean_the_dotted_ones_everywhere(write):
    read = study.load(write(), ["cluster_temperature=0.8"])
    assert set(read.space) == {"method.instance_temperature", "batch_size"}
    assert flat(read)["method.cluster_temperature"] == 0.8
    assert flat(read)["method.entropy_weight"] == 2.0


def test_the_names_of_the_ledger_work_as_they_stand(root):
    read = study.load(root / "studies" / "ledger.yaml")
    assert [key.rpartition(".")[2] for key in read.space] == [
        "learning_rate",
        "cluster_temperature",
        "instance_temperature",
        "threshold",
    ]


def test_an_override_pins_what_the_space_would_vary(write):
    read = study.load(write(), ["instance_temperature=0.1"])
    assert set(read.space) == {"batch_size"}
    assert flat(read)["method.instance_temperature"] == 0.1


def test_an_override_may_change_any_part(write):
    read = study.load(write(), ["seeds=[7]", "search.name=random", "search.trials=2", "study=other", "select.mode=min"])
    assert (read.name, read.seeds, read.select.mode) == ("other", (7,), "min")
    assert len(plan.make(read).trials) == 2


def test_a_new_plug_in_drops_the_options_of_the_old_one(write):
    text = TEXT.replace("  data: digits", "  data: digits\n  encoder: {name: mlp, widths: [4]}")
    assert flat(study.load(write(text)))["encoder.widths"] == [4]
    assert flat(study.load(write(text), ["encoder.name=mlp"]))["encoder.widths"] == [512, 512, 256]


def test_a_cell_has_its_own_value_also_where_that_equals_the_trial_s(write, tmp_path):
    words = f"{{name: documents, path: {tmp_path}, max_df: 1.0}}"  # as a share; as a count, 1 is another thing
    read = study.load(write(f"study: s\ntrial: {{data: {words}, method: nmf, n_clusters: 2}}\n"))
    found = [read.cell(cell).data.options["max_df"] for cell in ({}, {"data.max_df": 1})]
    assert [type(one) for one in found] == [float, int]


def test_a_whole_section_may_be_varied_and_its_keys_with_it(write):
    text = TEXT.replace(
        "  batch_size: {choice: [64, 128]}", "  encoder: {choice: [{name: mlp, widths: [4]}, {name: mlp}]}"
    )
    read = study.load(write(text))
    widths = {tuple(one.parameters["encoder.widths"]) for one in plan.make(read).trials}
    assert widths == {(4,), (512, 512, 256)}


def test_show_prints_every_default_and_reads_back_as_the_same_plan(write, command, tmp_path):
    original = plan.make(study.load(write()))
    code, out, _ = command("plan", write(), "--show")
    assert code == 0
    assert yaml.safe_load(out)["trial"]["method"]["cluster_temperature"] == 1.0
    again = plan.make(study.load(write(out, "again.yaml")))
    assert [one.trial_key for one in again.trials] == [one.trial_key for one in original.trials]


def test_paths_are_seen_from_the_study_file(write, tmp_path, monkeypatch):
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n3,4\n")
    text = TEXT.replace("data: digits", "data: {name: file, path: mine.csv}")
    monkeypatch.chdir("/")
    read = study.load(write(text))
    assert read.trial["data"]["path"] == str(tmp_path / "mine.csv")
    assert flat(read)["data.path"] == "mine.csv"


def test_a_name_is_looked_up_in_the_users_data_folder(write, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.csv").write_text("a,b\n1,2\n3,4\n")
    monkeypatch.setenv("CONCLUS_DATA", str(tmp_path / "data"))
    read = study.load(write(TEXT.replace("data: digits", "data: mine")))
    assert read.trial["data"]["name"] == "file"
    assert flat(study.load(write(), ["data.name=mine"]))["data.path"] == "mine.csv"


def test_the_path_of_a_data_set_may_be_a_name_in_the_users_data_folder(write, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.csv").write_text("a,b\n1,2\n3,4\n")
    monkeypatch.setenv("CONCLUS_DATA", str(tmp_path / "data"))
    named = write(TEXT.replace("data: digits", "data: {name: pairs, path: mine}"))
    assert study.load(named).trial["data"]["path"] == str(tmp_path / "data" / "mine.csv")
    # A path, and a file beside the study, are what they say.
    unknown = write(TEXT.replace("data: digits", "data: {name: pairs, path: data/mine}"), "other.yaml")
    assert study.load(unknown).trial["data"]["path"] == str(unknown.parent / "data" / "mine")
    (named.parent / "mine").write_text("a,b\n1,2\n3,4\n")
    assert study.load(named).trial["data"]["path"] == str(named.parent / "mine")


def test_every_study_that_is_shipped_is_good(root, monkeypatch, tmp_path):
    # The trials are listed without reading the documents; only the hash of their file is in a trial's key.
    (tmp_path / "20news-bydate_py3.pkz").write_bytes(b"documents")
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    shipped = sorted((root / "studies").glob("*.yaml"))
    assert len(shipped) >= 2
    for path in shipped:
        assert all(plan.make(one.study).trials for one in stages.load(path).stages)
