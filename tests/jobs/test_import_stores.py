"""`conclus import wandb|mlflow|optuna|ray`: what the trackers themselves wrote, with states and histories."""

import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from jobs.ledger import runs, stores
from jobs.results.reader import read_results


@pytest.fixture
def take(command, tmp_path):
    def take(*words, options=()):
        code, out, err = command("import", *words, "--results", tmp_path / "r", "--yes", *options)
        if code:
            assert code == 2
            assert not (tmp_path / "r").exists()
            return out + err
        return sorted(read_results(str(tmp_path / "r"), history=True).to_pylist(), key=line)

    return take


def line(row):
    return int(json.loads(row["env_json"])["line"])


def history(row, metric):
    return [(one["epoch"], one["value"]) for one in row["history"] if one["metric"] == metric]


def test_offline_runs_of_wandb(take, tmp_path, command):
    wandb = pytest.importorskip("wandb")
    quiet = wandb.Settings(silent=True, console="off", x_disable_meta=True, disable_git=True)
    for name, lr, code in (("one", 0.1, 0), ("two", 0.2, 1)):
        config = {"lr": lr, "seed": 3, "data": {"name": "digits"}}
        where = {"mode": "offline", "dir": str(tmp_path), "project": f"project {name}"}
        run = wandb.init(**where, id=name, name=name, config=config, settings=quiet)
        for step in range(1, 4):
            run.log({"nmi": lr * step, "loss": 1 / step}, step=step)
        run.finish(exit_code=code)
    wandb.teardown()  # Its own process writes the files, and `finish` does not wait for the last of them.
    one, two = sorted(take("wandb", tmp_path / "wandb"), key=lambda row: row["param.optimiser.learning_rate"])
    assert (one["status"], two["status"], two["reason"]) == ("ok", "failed", "failed")
    assert (one["param.optimiser.learning_rate"], one["seed"], one["param.data.name"]) == (0.1, 3, "digits")
    assert history(one, "loss") == [(1, 1.0), (2, 1 / 2), (3, 1 / 3)]
    assert history(two, "nmi") == [(step, 0.2 * step) for step in (1, 2, 3)]
    assert (one["metric.nmi"], one["epochs_done"]) == (pytest.approx(0.3), 3)
    # Again it adds nothing.
    code, out, _ = command("import", "wandb", tmp_path / "wandb", "--results", tmp_path / "r", "--yes")
    assert (code, out.count("1 were there before")) == (0, 2)
    assert (one["study"], two["study"]) == ("project-one", "project-two")


MLFLOW = {
    "a1": (3, 0.1, [(1, 0.3), (2, 0.5)]),
    "b2": (4, 0.2, [(1, 0.1)]),
    "c3": (1, 0.3, []),
}


def file_store(folder):
    (folder / "0").mkdir(parents=True)
    (folder / "0" / "meta.yaml").write_text("experiment_id: '0'\nname: Default\nlifecycle_stage: active\n")
    for place, (key, (status, lr, points)) in enumerate(MLFLOW.items()):
        run = folder / "0" / key
        for name in ("params", "metrics/val"):
            (run / name).mkdir(parents=True)
        start = 1780819200000 + 1000 * place
        (run / "meta.yaml").write_text(
            f"end_time: {start + 61500}\nlifecycle_stage: active\nrun_id: {key}\nrun_name: brisk-{place}\n"
            f"start_time: {start}\nstatus: {status}\nuser_id: me\n"
        )
        (run / "params" / "lr").write_text(str(lr))
        (run / "metrics" / "nmi").write_text("".join(f"{start + 1000 * s} {v} {s}\n" for s, v in points))
        (run / "metrics" / "seconds").write_text(f"{start} 1 1\n")
        (run / "metrics" / "val" / "loss").write_text("".join(f"{start} {1 - v} {s}\n" for s, v in points))
    deleted = folder / "0" / "d4"
    deleted.mkdir()
    (deleted / "meta.yaml").write_text("run_id: d4\nlifecycle_stage: deleted\nstatus: 3\n")
    return folder


def database(folder):
    """The tables of MLflow 3.17, as its server makes them."""
    folder.mkdir()
    with sqlite3.connect(folder / "mlflow.db") as made:
        made.execute(
            "CREATE TABLE runs (run_uuid TEXT, name TEXT, status TEXT, start_time INT, end_time INT, "
            "lifecycle_stage TEXT, experiment_id INT)"
        )
        made.execute("CREATE TABLE experiments (experiment_id INT, name TEXT)")
        made.execute("INSERT INTO experiments VALUES (0, 'Default')")
        made.execute("CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT)")
        made.execute(
            "CREATE TABLE metrics (key TEXT, value FLOAT, timestamp INT, run_uuid TEXT, step INT, is_nan BOOLEAN)"
        )
        words = {1: "RUNNING", 3: "FINISHED", 4: "FAILED"}
        for place, (key, (status, lr, points)) in enumerate(MLFLOW.items()):
            start = 1780819200000 + 1000 * place
            run = (key, f"brisk-{place}", words[status], start, start + 61500, "active", 0)
            made.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", run)
            made.execute("INSERT INTO params VALUES ('lr', ?, ?)", (str(lr), key))
            for step, value in points:
                point = (value, start + 1000 * step, key, step)
                made.execute("INSERT INTO metrics VALUES ('nmi', ?, ?, ?, ?, 0)", point)
                made.execute("INSERT INTO metrics VALUES ('val/loss', ?, ?, ?, ?, 0)", (1 - value, start, key, step))
        made.execute("INSERT INTO runs VALUES ('d4', '', 'FINISHED', 1, 2, 'deleted', 0)")
    return folder / "mlflow.db"


@pytest.mark.parametrize("store", [file_store, database])
def test_mlflow_by_files_and_by_database(take, tmp_path, store):
    rows = take("mlflow", store(tmp_path / "mlruns"))
    assert [(row["status"], row["reason"]) for row in rows] == [
        ("ok", ""),
        ("failed", "failed"),
        ("failed", "it was running when the table was made"),
    ]
    assert [row["param.optimiser.learning_rate"] for row in rows] == [0.1, 0.2, 0.3]
    assert history(rows[0], "nmi") == [(1, 0.3), (2, 0.5)]
    assert history(rows[0], "val_loss") == [(1, 0.7), (2, 0.5)]
    assert [one["t"] for one in rows[0]["history"] if one["metric"] == "nmi"] == [1.0, 2.0]
    assert rows[0]["seconds"] == 61.5
    assert rows[0]["started"].isoformat() == "2026-06-07T08:00:00+00:00"
    assert json.loads(rows[0]["env_json"])["note.run_name"] == "brisk-0"


@pytest.mark.parametrize("where", ["sqlite:///{}/o.db", "journal"])
def test_optuna_by_database_and_by_journal(take, tmp_path, where):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = tmp_path / ("o.log" if where == "journal" else "o.db")
    if where == "journal":
        backend = optuna.storages.journal.JournalFileBackend(str(file))
        storage = optuna.storages.JournalStorage(backend)
    else:
        pytest.importorskip("sqlalchemy")
        storage = where.format(tmp_path)

    def objective(trial):
        lr, width = trial.suggest_float("lr", 0.1, 1, log=True), trial.suggest_int("width", 8, 64)
        encoder = trial.suggest_categorical("encoder", ["mlp", "cnn"])
        for step in range(3):
            trial.report(lr + step, step)
        trial.set_user_attr("nmi", lr / 2)
        if trial.number == 1:
            raise optuna.TrialPruned
        if trial.number == 2:
            raise RuntimeError(encoder, width)
        return lr

    study = optuna.create_study(study_name="mine", storage=storage, sampler=optuna.samplers.RandomSampler(0))
    study.optimize(objective, n_trials=4, catch=RuntimeError)
    study.ask()
    rows = take("optuna", file)
    assert [row["status"] for row in rows] == ["ok", "stopped", "failed", "ok", "failed"]
    for row, trial in zip(rows[:4], study.trials, strict=False):
        assert row["param.optimiser.learning_rate"] == trial.params["lr"]
        assert row["param.width"] == trial.params["width"]
        assert row["param.encoder.name"] == trial.params["encoder"]
        assert row["metric.nmi"] == trial.user_attrs["nmi"]
        assert history(row, "value") == [(step, trial.params["lr"] + step) for step in range(3)]
        assert row["seconds"] == pytest.approx(trial.duration.total_seconds(), abs=2e-6)
    assert rows[0]["metric.value"] == study.trials[0].value


@pytest.mark.parametrize("where", ["sqlite:///{}/o.db", "journal"])
def test_studies_of_optuna_stay_apart_and_keep_their_directions(command, tmp_path, where):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = tmp_path / ("o.log" if where == "journal" else "o.db")
    if where == "journal":
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    else:
        pytest.importorskip("sqlalchemy")
        storage = where.format(tmp_path)

    def objective(trial):
        x = trial.suggest_float("x", 0, 1)
        trial.report(100 - x, 0)
        if trial.number == 2:
            raise optuna.TrialPruned
        return x

    for name, mode in (("up", "maximize"), ("down / x", "minimize")):
        study = optuna.create_study(storage=storage, study_name=name, direction=mode)
        study.optimize(objective, n_trials=4)
    both = optuna.create_study(storage=storage, study_name="both", directions=["minimize", "maximize"])
    both.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1), n_trials=2)

    code, out, err = command("import", "optuna", file, "--results", tmp_path / "r", "--yes")
    assert (code, err) == (0, "")
    assert "Study up, 4 runs; value: the larger, the better." in out
    assert "Study down-x, 4 runs; value: the smaller, the better." in out
    several = "value: the smaller, the better; value_1: the larger, the better"
    assert f"Study both, 2 runs; {several} (the first of them ranks, all make the Pareto front)." in out
    for name, first, count in (("up", max, 3), ("down-x", min, 3), ("both", min, 2)):
        code, out, err = command("aggregate", tmp_path / "r", "--study", name, "--format", "json")
        assert code == 0, err
        values = [one["value"] for one in json.loads(out)]
        assert len(values) == count
        assert values[0] == first(values)
        assert max(values) <= 1  # What a pruned trial reported is no value.
    second = command("aggregate", tmp_path / "r", "--study", "both", "--metric", "value_1")
    assert (second[0], "Larger values of value_1 are better" in " ".join(second[1].split())) == (0, True), second[2]
    # All values of the second are equal, so the front of both is the best of the first.
    told = command("aggregate", tmp_path / "r", "--study", "both")[1]
    assert "front, of value (min), value_1 (max): yes if" in " ".join(told.split())
    assert [line.split().count("yes") for line in told.splitlines()[2:4]] == [1, 0]
    assert command("aggregate", tmp_path / "r", "--study", "both", "--sort", "value_1")[0] == 0
    assert "front, of" not in command("aggregate", tmp_path / "r", "--study", "up")[1]
    assert "Imported rows have none" in command("next", tmp_path / "r", "--study", "up")[2]
    # One of several is chosen by its name, here or there.
    for place, name in enumerate(("down / x", "down-x")):
        one = tmp_path / f"one{place}"
        assert command("import", "optuna", file, "--results", one, "--yes", "--study", name)[0] == 0
        assert [each.name for each in one.iterdir()] == ["study=down-x"]
    code, _, err = command("import", "optuna", file, "--results", tmp_path / "r", "--yes", "--study", "upp")
    assert (code, "has no such study: there are both, down-x, up." in err) == (2, True)


def journal(tmp_path, modes, objective, names=(), attributes=None):
    """The file of a study of Optuna whose trials have these values and attributes, and the study."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = tmp_path / "o.log"
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    study = optuna.create_study(storage=storage, study_name="mine", directions=modes)

    def run(trial):
        for key, value in (attributes or {}).items():
            trial.set_user_attr(key, value)
        x = trial.suggest_float("x", 0, 1)
        if trial.number == 2:
            raise optuna.TrialPruned
        return objective(x)

    study.optimize(run, n_trials=3)
    if names:
        with pytest.warns(optuna.exceptions.ExperimentalWarning):
            study.set_metric_names(list(names))
    return file, study


@pytest.mark.parametrize("copied", [False, True], ids=["journal", "database"])
def test_an_attribute_takes_the_place_of_no_objective_and_of_no_parameter(take, tmp_path, capsys, copied):
    import optuna

    attributes = {"value": -1.0, "x": "text", "nmi": 0.5}
    file, study = journal(tmp_path, ["maximize"], lambda x: x, attributes=attributes)
    if copied:
        pytest.importorskip("sqlalchemy")
        from_storage, file = study._storage, tmp_path / "o.db"
        optuna.copy_study(from_study_name="mine", from_storage=from_storage, to_storage=f"sqlite:///{file}")
    rows = take("optuna", file)
    assert [row["metric.value"] for row in rows] == [*(one.value for one in study.trials[:2]), None]
    assert [row["param.x"] for row in rows] == [one.params["x"] for one in study.trials]
    assert rows[0]["metric.nmi"] == 0.5


def test_an_objective_has_a_name_of_its_own_and_what_is_not_kept_is_said(command, tmp_path):
    names = ["acc", "seconds"]
    attributes = {"acc": 9, "duration": 5}
    file, study = journal(tmp_path, ["maximize", "minimize"], lambda x: (x, 7 * x), names, attributes)
    code, out, err = command("import", "optuna", file, "--results", tmp_path / "r", "--yes")
    assert code == 0
    said = " ".join((out + err).split())
    assert "acc: the larger, the better; reported_seconds: the smaller, the better" in said
    assert "The objective seconds is kept as reported_seconds: seconds is how long a run took." in said
    assert "The user attribute acc of 3 runs is left out: an objective or a parameter has that name." in said
    assert "The metric duration is left out: duration is how long a run took." in said
    rows = sorted(read_results(str(tmp_path / "r")).to_pylist(), key=line)
    assert [(row["metric.acc"], row["metric.reported_seconds"]) for row in rows[:2]] == [
        tuple(one.values) for one in study.trials[:2]
    ]
    assert all(row["seconds"] < 7 for row in rows)
    assert "front, of acc (max), reported_seconds (min)" in " ".join(command("aggregate", tmp_path / "r")[1].split())


def test_two_objectives_of_one_name_are_refused(take, tmp_path):
    file, _ = journal(tmp_path, ["maximize", "minimize"], lambda x: (x, -x), ["a", "a"])
    assert "Two objectives of the study mine are named 'a', so the values of one would be lost" in take("optuna", file)


def test_a_metric_called_like_a_column_of_conclus_is_a_metric(take, tmp_path):
    folder = tmp_path / "exp" / "t"
    folder.mkdir(parents=True)
    (folder / "params.json").write_text('{"lr": 0.1, "seed": 3}')
    report = {"time": 2.5, "status": 1.5, "seed": 7.5, "study": 3.5, "seconds": 99, "nmi": 0.5}
    (folder / "result.json").write_text(json.dumps(report | {"training_iteration": 1, "time_total_s": 4, "done": True}))
    (row,) = take("ray", tmp_path / "exp")
    assert [row[f"metric.{name}"] for name in ("time", "status", "seed", "study", "nmi")] == [2.5, 1.5, 7.5, 3.5, 0.5]
    assert (row["seconds"], row["seed"], row["status"], row["started"], row["study"]) == (4, 3, "ok", None, "exp")


def test_equal_runs_of_two_experiments_of_mlflow_are_two_studies(take, tmp_path):
    for number, name in ((1, "first"), (2, "second")):
        run = tmp_path / "mlruns" / str(number) / f"run{number}"
        (run / "params").mkdir(parents=True)
        (run / "metrics").mkdir()
        (run.parent / "meta.yaml").write_text(f"experiment_id: '{number}'\nname: {name}\n")
        (run / "meta.yaml").write_text(f"run_id: run{number}\nstatus: 3\nstart_time: 1780819200000\n")
        for key, value in (("params/lr", "0.1"), ("params/seed", "3"), ("metrics/nmi", f"1780819201000 0.{number} 1")):
            (run / key).write_text(value)
        (run / "metrics" / f"own{number}").write_text("1780819201000 1 1")
    # What is said of a column that only one of them has counts there.
    rows = take("mlflow", tmp_path / "mlruns", options=("--map", "metrics.own2=acc"))
    assert sorted((row["study"], row["metric.nmi"], row["metric.acc"]) for row in rows) == [
        ("first", 0.1, None),
        ("second", 0.2, 1.0),
    ]


def test_two_experiments_of_ray_tune_are_two_studies(take, tmp_path):
    for name in ("exp_a", "exp_b"):
        trial = tmp_path / "ray" / name / "trial_1"
        trial.mkdir(parents=True)
        (trial / "params.json").write_text('{"lr": 0.1, "seed": 1}')
        (trial / "result.json").write_text('{"training_iteration": 1, "nmi": 0.5, "done": true}\n')
    assert sorted(row["study"] for row in take("ray", tmp_path / "ray")) == ["exp_a", "exp_b"]


def test_the_last_digits_of_a_machine_are_not_shown(command, tmp_path):
    (tmp_path / "t.csv").write_text("lr,nmi\n0.1,0.30000000000000004\n0.2,0.31234000000001\n0.3,0.4\n")
    out = command("import", tmp_path / "t.csv", "--results", tmp_path / "r", "--yes")[1]
    assert "0.3, 0.3123, 0.4" in out


@pytest.mark.parametrize("by", ["result.json", "progress.csv"])
def test_an_experiment_of_ray_tune(take, tmp_path, by):
    for name, done, error in (("t_1", True, False), ("t_2", False, True), ("t_3", False, False)):
        folder = tmp_path / "exp" / name
        folder.mkdir(parents=True)
        config = {"lr": float(name[-1]) / 10, "data": {"name": "digits"}}
        (folder / "params.json").write_text(json.dumps(config))
        (folder / "params.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/bad'\ntR.")
        reports = [
            {"nmi": step / 10, "training_iteration": step, "time_total_s": 2.0 * step, "timestamp": 1780819200 + step}
            | {"done": done and step == 3, "trial_id": name, "hostname": "h", "pid": 7, "config": config}
            for step in (1, 2, 3)
        ]
        if by == "result.json":
            (folder / by).write_text("".join(json.dumps(one) + "\n" for one in reports) + '{"nmi": 0.4, "trai')
        else:
            names = [one for one in reports[0] if one != "config"]
            cells = [",".join(str(one[key]) for key in names) for one in reports]
            (folder / by).write_text("\n".join([",".join(names), *cells]) + "\n")
        if error:
            (folder / "error.txt").write_text("Traceback")
    rows = take("ray", tmp_path / "exp")
    assert [row["status"] for row in rows] == ["ok", "failed", "failed"]
    assert [row["reason"] for row in rows] == ["", "error", "it was running when the table was made"]
    assert history(rows[1], "nmi") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert {name for row in rows for name in row if name.startswith("param.")} == {
        "param.optimiser.learning_rate",
        "param.data.name",
    }
    assert (rows[0]["metric.nmi"], rows[0]["seconds"]) == (0.3, 6.0)


def test_histories_have_the_unit_and_the_name_of_their_column(take, tmp_path):
    folder = tmp_path / "exp" / "t"
    folder.mkdir(parents=True)
    (folder / "params.json").write_text('{"lr": 0.1}')
    reports = [{"acc": 40.0 * step, "my score": step, "training_iteration": step, "done": step == 2} for step in (1, 2)]
    (folder / "result.json").write_text("\n".join(map(json.dumps, reports)))
    (row,) = take("ray", tmp_path / "exp", options=["--map", "metrics.my score=metric.mine"])
    assert row["metric.acc"] == 0.8
    assert history(row, "acc") == [(1, 0.4), (2, 0.8)]
    assert history(row, "mine") == [(1, 1.0), (2, 2.0)]


def test_a_long_history_is_thinned_and_keeps_its_end(take, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "MOST_POINTS", 10)
    folder = tmp_path / "exp" / "t"
    folder.mkdir(parents=True)
    (folder / "params.json").write_text('{"lr": 0.1}')
    reports = [{"loss": step, "training_iteration": step, "done": True} for step in range(1, 26)]
    (folder / "result.json").write_text("\n".join(map(json.dumps, reports)))
    (row,) = take("ray", tmp_path / "exp")
    steps = [step for step, _ in history(row, "loss")]
    assert len(steps) <= 10
    assert steps[-1] == 25


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mlflow", "none"], "does not exist"),
        (["mlflow", "."], "has no meta.yaml"),
        (["wandb", "."], "has no run-*.wandb"),
        (["optuna", "."], "is a folder: give Optuna's database"),
        (["optuna", "text"], "is neither a database nor a journal of Optuna"),
        (["optuna", "bad.db"], "the database cannot be read"),
        (["comet", "."], "'comet' is no tracker that can be read: wandb, mlflow, optuna, ray"),
        (["."], "is a folder: say what wrote it"),
    ],
)
def test_what_cannot_be_read_is_told(take, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("no\n")
    Path("bad.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert said in take(*words)


def test_links_out_of_a_store_are_not_followed(tmp_path):
    store = file_store(tmp_path / "mlruns")
    secret = tmp_path / "secret"
    secret.write_text("sesame")
    (store / "0" / "a1" / "params" / "token").symlink_to(secret)
    found = stores.read("mlflow", store)
    assert {name for one in found for name in one.params} == {"lr"}


@given(
    st.lists(st.dictionaries(st.sampled_from(["op_code", "study_id", "trial_id", "state", "step"]), st.integers(-1, 9)))
)
def test_a_journal_of_anything_is_read_or_refused(tmp_path_factory, said):
    file = tmp_path_factory.mktemp("j") / "j.log"
    file.write_text("".join(json.dumps(one) + "\n" for one in [{"op_code": 0, "study_name": "s"}, *said]))
    try:
        stores.read("optuna", file)
    except UserError as error:
        assert "is not as optuna writes it" in str(error)  # noqa: PT017 - either is right
