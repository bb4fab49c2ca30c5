"""The JSON Schema of study files: kept in docs, true of what the reader takes, and of what it refuses."""

import json

import jsonschema
import pytest

from core.config import plugins
from core.config.trial import EarlyStopping, Evaluation, Optimiser, TrialConfig, section_options
from core.errors import UserError
from jobs.commands.schema import study_schema
from jobs.planning import stages
from jobs.study import study, yaml_document


def leaves(error):
    """A mistake, or all those for which none of several ways to write a thing was met."""
    return [one for inner in error.context for one in leaves(inner)] or [error]


@pytest.fixture(scope="module")
def check():
    """The places and words of what the schema finds wrong with a study."""
    schema = study_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    def check(text):
        value = yaml_document.read(text, "study.yaml").value
        return [f"{one.json_path}: {one.message}" for error in validator.iter_errors(value) for one in leaves(error)]

    return check


def refused(tmp_path, text):
    """What the reader finds wrong with it."""
    file = tmp_path / "study.yaml"
    file.write_text(text, encoding="utf-8")
    try:
        stages.load(file)
    except UserError as error:
        return str(error)
    return ""


def test_the_kept_file_is_what_the_command_writes(command, root, tmp_path):
    kept = (root / "docs" / "study.schema.json").read_text(encoding="utf-8")
    assert command("schema") == (0, kept, ""), "write it anew: conclus schema --out docs/study.schema.json"
    command("schema", "--out", tmp_path / "schema.json")
    assert (tmp_path / "schema.json").read_text(encoding="utf-8") == kept


def test_shipped_studies_name_the_schema_and_fit_it(root, check):
    files = sorted((root / "studies").glob("*.yaml"))
    assert files
    for file in files:
        text = file.read_text(encoding="utf-8")
        name = text.partition("\n")[0].removeprefix("# yaml-language-server: $schema=")
        assert (file.parent / name).resolve() == root / "docs" / "study.schema.json", file
        assert check(text) == [], file


RIGHT = [
    "trial: {data: digits}",
    "trial: {data: digits, learning_rate: 1e-3, instance_temperature: 1, epochs: 3}",
    "trial: {data.name: digits, optimiser.learning_rate: 1}",
    "trial: {data: {name: file, path: mine.npz, features: [a, b], unlabelled: [-1, none]}}",
    "trial: {data: {name: file}, path: mine.npz}",
    "trial: {data: {name: digits}, method: {name: tcl, threshold: adaptive}, encoder: {widths: [4]}}",
    "trial: {data: digits, method: null, n_clusters: auto}",
    "trial: {data: digit-halves, method: paired, loss: {name: cosine_mse, mse_weight: 1}}",
    "trial: {data: digits}\nspace: {method: {grid: [cc, {name: tcl, gamma: 1}]}}",
    "trial: {data: digits, method: tcl}\nspace: {gamma: {uniform: [0.5, 1]}}\nsearch: {name: random, trials: 4}",
    "trial: {data: digit-halves, method: paired}\nspace: {loss: {grid: [mse, {name: info-nce, temperature: 0.1}]}}",
    "space: {data: {grid: [digits, fashion-mnist]}}",
    "trial: {data: digits}\nspace: {method: {grid: [cc, {name: tcl, space: {threshold: {grid: [0.9]}}}]}}",
    "trial: {data: digits}\nspace: {encoder: {grid: [{name: mlp, space: {epochs: {int: [1, 2]}}}]}}",
    "space: {data: {grid: [digits]}, method: {grid: [{name: paired, space: {loss: {grid: [{name: mse, space: }]}}}]}}",
    "trial: {data: digits}\nspace: {epochs: {int: [8, 9]}}\nsearch: grid\nselect: null\nresources: {memory_gb: null}",
    "trial: {data: digits}\nresources: {gpu: 0.5, accelerator: A100, custom: {ssd: 1, tape: 0.5}, at_most: 0.5}",
    "trial: {data: digits, early_stopping: {metric: nmi}}\nselect: {metric: best.acc, mode: min, save_model: true}",
    "trial: {data: digits}\nstages: [{name: a, space: {epochs: {grid: [1, 2]}}, continue_if: {at_least: 0.5}}]",
    "trial: {data: digits}\nstages: [{name: a}, {name: b, from: best, trial: {method: tcl, boost: 0.9}, search: grid}]",
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_the_reader_takes_fits_the_schema(check, tmp_path, text):
    assert refused(tmp_path, f"study: s\n{text}") == ""
    assert check(f"study: s\n{text}") == []


WRONG = [
    ("trial: {data: digits}", "'study' is a required property"),
    ("study: a b\ntrial: {data: digits}", "$.study: "),
    ("study: s", "'trial' is a required property"),
    ("study: s\ntrial: {epochs: 3}", "$.trial: 'data' is a required property"),
    ("study: s\ntrial: {data: digits}\nsead: [1]", "'sead' was unexpected"),
    ("study: s\ntrial: {data: digits}\nseeds: []", "$.seeds: "),
    ("study: s\ntrial: {data: digits}\nseeds: [1, 1]", "non-unique"),
    ("study: s\ntrial: {data: digits}\nseeds: [-1]", "$.seeds[0]: -1 is less than the minimum of 0"),
    ("study: s\ntrial: {data: digits, lerning_rate: 1}", "$.trial: 'lerning_rate' is not one of"),
    (
        "study: s\ntrial: {data: digits, learning_rate: 0}",
        "$.trial.learning_rate: 0 is less than or equal to the minimum",
    ),
    ("study: s\ntrial: {data: digits, name: cc}", "$.trial: 'name' is not one of"),
    ("study: s\ntrial: {data: digits, optimiser: {nam: adam}}", "$.trial.optimiser: "),
    ("study: s\ntrial: {data: digits, optimiser: {name: sgd}}", "$.trial.optimiser.name: 'sgd' is not one of"),
    ("study: s\ntrial: {data: digits, method: ccc}", "$.trial.method: "),
    ("study: s\ntrial: {data: digits, method: {name: cc, threshold: 0.9}}", "'threshold' was unexpected"),
    ("study: s\ntrial: {data: digits, method: {name: tcl, threshold: 2}}", "$.trial.method.threshold: "),
    ("study: s\ntrial: {data: digits, encoder: {widths: 4}}", "$.trial.encoder.widths: 4 is not of type 'array'"),
    ("study: s\ntrial: {data: file}", "$.trial: 'path' is a required property"),
    ("study: s\ntrial: {data: {name: file, scale: unit}}", "$.trial: 'path' is a required property"),
    ("study: s\ntrial: {data: digits}\nspace: {epochs: [1, 2]}", "$.space.epochs: "),
    ("study: s\ntrial: {data: digits}\nspace: {epochs: {grid: []}}", "$.space.epochs.grid: "),
    ("study: s\ntrial: {data: digits}\nspace: {epochs: {grid: [1, 0]}}", "$.space.epochs.grid[1]: 0 is less than"),
    ("study: s\ntrial: {data: digits}\nspace: {epochs: {int: [1, 2, 3]}}", "$.space.epochs.int: "),
    ("study: s\ntrial: {data: digits}\nspace: {epochs: {grid: [1], int: [1, 2]}}", "$.space.epochs: "),
    ("study: s\ntrial: {data: digits}\nspace: {epochs: {gird: [1]}}", "$.space.epochs: 'gird' is not one of"),
    ("study: s\ntrial: {data: digits}\nspace: {epoch: {grid: [1]}}", "$.space: 'epoch' is not one of"),
    ("study: s\ntrial: {data: digits}\nspace: {method: {grid: [cc, ccc]}}", "$.space.method.grid[1]: "),
    ("study: s\ntrial: {data: digits, method: {name: cc, space: {epochs: {grid: [1]}}}}", "$.trial.method: "),
    ("study: s\ntrial: {data: digits}\nspace: {method: {grid: [{name: cc, space: [1]}]}}", "grid[0].space: [1] is not"),
    (
        "study: s\ntrial: {data: digits}\nspace: {method: {grid: [{name: cc, space: {epoch: {grid: [1]}}}]}}",
        "$.space.method.grid[0].space: 'epoch' is not one of",
    ),
    (
        "study: s\ntrial: {data: digits}\nspace: {method: {grid: [{name: cc, space: {epochs: {grid: [0]}}}]}}",
        "$.space.method.grid[0].space.epochs.grid[0]: 0 is less than",
    ),
    ("study: s\ntrial: {data: digits}\nsearch: {name: rndom, trials: 2}", "$.search: "),
    ("study: s\ntrial: {data: digits}\nresources: {cpu: 0}", "$.resources: "),
    ("study: s\ntrial: {data: digits}\nresources: {gpu: 2}", "$.resources: "),
    ("study: s\ntrial: {data: digits}\nresources: {custom: {ssd: 0}}", "$.resources: "),
    ("study: s\ntrial: {data: digits}\nresources: {custom: [ssd]}", "$.resources: "),
    ("study: s\ntrial: {data: digits}\nstages: []", "$.stages: "),
    ("study: s\ntrial: {data: digits}\nstages: [{space: {epochs: {grid: [1]}}}]", "'name' is a required property"),
    ("study: s\ntrial: {data: digits}\nstages: [{name: a, from: worst}]", "$.stages[0].from: 'worst' is not one of"),
    ("study: s\ntrial: {data: digits}\nstages: [{name: a, trial: {epoch: 1}}]", "$.stages[0].trial: 'epoch' is not"),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text for text, _ in WRONG])
def test_what_is_wrong_is_refused_by_both(check, tmp_path, text, words):
    assert refused(tmp_path, text)
    found = check(text)
    assert any(words in one for one in found), found


def test_options_of_a_plug_in_of_ones_own_pass(check, tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Method:\n    def __init__(self, setting, *, sharp: float = 1.0): ...\n", encoding="utf-8"
    )
    text = "study: s\ntrial: {data: digits, method: ./mine.py, sharp: 2}\nspace: {method.sharp: {grid: [1, 3]}}"
    assert refused(tmp_path, text) == ""
    assert check(text) == []
    assert check(text.replace("./mine.py", "cc")) != []


def test_a_data_set_of_ones_own_has_any_name(check, tmp_path, monkeypatch):
    (tmp_path / "stack.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    monkeypatch.setenv("CONCLUS_DATA", str(tmp_path))
    text = "study: s\ntrial: {data: stack}"
    assert refused(tmp_path, text) == ""
    assert check(text) == []


SECTIONS = (TrialConfig, Optimiser, Evaluation, EarlyStopping, *study.SECTIONS.values(), stages.Gate)
OWNERS = {f"{kind}.{name}": plugins.options(kind, name) for kind in plugins.ENTRY for name in plugins.names(kind)}
OWNERS |= {section.__name__: section_options(section) for section in SECTIONS}


@pytest.mark.parametrize("owner", OWNERS)
def test_every_option_says_what_it_does(owner):
    silent = [one.name for one in OWNERS[owner] if len(one.description) < 10]
    assert not silent, f"{owner}: no line under Args: or Attributes: tells of {silent}"


def test_descriptions_bounds_and_defaults_stand_in_the_schema():
    found = study_schema()["$defs"]["methods.tcl"]["properties"]
    assert found["boost"] == {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": "the share of the epochs, at the end, that learn from labels.",
        "default": 0.25,
    }
    assert {"enum": ["adaptive"]} in found["threshold"]["anyOf"]
    assert json.dumps(study_schema()["$defs"]["search"]).count("description") > 5
