"""One trial among others, as whoever runs a study meets it: what it prints, its end on request, and the metrics."""

import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from core.errors import UserError
from jobs.execution import output
from jobs.planning import plan
from jobs.results import provenance, stops, storage
from jobs.results.lock import exclusive
from jobs.results.schema import Attempt
from jobs.results.writer import new_attempt_id, write
from jobs.study import snapshot, study
from tests.cluster.nodes import free_port
from tests.faults.runs import SLOW, Folder, repeated

LOUD = """        print(f"epoch {epoch} of seed {self.seed}")
        os.write(2, b"from C\\n")
        if (HERE"""


@pytest.fixture
def folder(tmp_path):
    """A study of two trials whose method prints."""
    made = Folder(tmp_path, dict(os.environ) | {provenance.BY: "ann"})
    made.prepare(SLOW.format(pause=0.5, epochs=80, seeds=[0, 1]))
    file = tmp_path / "mine.py"
    file.write_text(file.read_text().replace("        if (HERE", LOUD, 1))
    yield made
    made.end()


@pytest.mark.ray
def test_of_two_running_trials_one_is_read_and_ended_and_goes_on_later(folder, command, monkeypatch):
    results, port = folder.path / "results", free_port()
    monkeypatch.setenv(provenance.BY, "ann")
    run = folder.start("--workers", "2", "--metrics", str(port))

    def epochs(name):
        return [one.epoch for one in folder.epochs() if one.seed == name]

    def both():
        return sorted({one.seed for one in folder.epochs() if one.epoch >= 2})

    run.wait_until(lambda: len(both()) == 2)
    mine, other = both()  # the method's own names of their seeds
    assert scraped(port)["conclus_trials_running"] == 2
    (key,) = (
        file.name.partition(".")[0]
        for file in (results / "study=s" / "_logs").glob("*.out")
        if f"of seed {mine}\n" in file.read_text()
    )
    code, out, err = command("logs", results, "--trial", key[:8])
    assert (code, err) == (0, "")
    assert {f"epoch 1 of seed {mine}", "from C"} <= set(out.splitlines())
    assert f"of seed {other}" not in out
    code, _, err = command("stop", results, "--trial", "")
    assert (code, "write the first characters of a trial's key" in err) == (2, True)
    code, _, err = command("stop", results, "--trial", "nothing")
    assert (code, "no trial nothing is running" in err) == (2, True)
    code, _, err = command("stop", results, "--trial", key[:8])
    assert (code, f"conclus resume {results} --trial {key}" in err) == (0, True)
    asked = len(epochs(mine))

    def row():
        return next(one for one in folder.rows() if one["trial_key"] == key)

    run.wait_until(lambda: row()["status"] == "stopped")
    request = results / "study=s" / "_stops" / f"{key}.json"
    code, _, err = command("resume", results, "--trial", key[:8], "--workers", "1")
    refused = f"study s runs: trial {key} stays stopped; stop the study first, then resume it with --trial"
    assert (code, refused in err, request.exists()) == (2, True, True)
    # It looks once a second, at the end of an epoch of half a second.
    assert len(epochs(mine)) <= asked + 4 < 80
    assert re.fullmatch(rf"STOPPED: by ann@\S+, after epoch {len(epochs(mine))} of 80", row()["reason"])
    run.wait_until(lambda: scraped(port)["conclus_trials_stopped_early"] == 1)
    assert (scraped(port)["conclus_trials_running"], scraped(port)["conclus_trials_planned"]) == (1, 2)
    folder.mend()
    code, _, err = run.end()
    assert code == 0, err
    assert f"metrics at http://127.0.0.1:{port}/metrics\n" in err
    assert f"trial {key}: STOPPED: by ann@" in err
    assert sorted(one["status"] for one in folder.rows()) == ["ok", "stopped"]
    # Nothing starts it again but a person.
    count = len(folder.epochs())
    assert command("run", folder.path / "study.yaml", "--results", results, "--workers", "1", "--quiet")[0] == 0
    assert len(folder.epochs()) == count
    code, _, err = command("resume", results, "--trial", key[:8], "--workers", "1")
    assert code == 0, err
    assert (row()["status"], row()["epochs_done"], repeated(folder.epochs())) == ("ok", 80, {})
    assert not request.exists()
    assert "nobody has stopped a trial" in command("resume", results, "--trial", key, "--workers", "1")[2]


def scraped(port):
    """What Prometheus reads, by the name of each number."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=300) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    assert {"conclus_trials_done", "conclus_trials_failed", "conclus_trial_seconds"} <= {one.name for one in families}
    assert all(sample.labels["study"] == "s" for family in families for sample in family.samples)
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_a_trial_that_failed_has_its_last_words_beside_its_traceback(folder, command):
    options = (
        "--results",
        folder.path / "results",
        "--workers",
        "1",
        "--set",
        "method.harm=crash",
        "--set",
        "seeds=[0]",
    )
    (folder.path / "study.yaml").write_text((folder.path / "study.yaml").read_text().replace("pause: 0.5", "pause: 0"))
    code, out, _ = command("run", folder.path / "study.yaml", *options, "--metrics", "0.0.0.0:0")
    assert (code, "epoch 1 of seed " in out) == (1, True)  # in the driver's process it is shown as well
    (row,) = folder.rows()
    code, out, _ = command("logs", folder.path / "results", "--trial", row["trial_key"])
    assert code == 0
    logs = sorted(file.name for file in (folder.path / "results" / "study=s" / "_logs").iterdir())
    assert logs == [f"{row['trial_key']}.{row['attempt_id']}{ending}" for ending in (".out", ".txt")]
    printed, _, traceback = out.partition("\n== ")
    assert printed.startswith(f"== {row['trial_key']}, what it printed (")
    assert printed.count("epoch ") == 2
    assert "RuntimeError: mine broke" in traceback


def test_metrics_on_another_address_are_told_to_be_open_and_a_wrong_one_is_refused(folder, command):
    folder.mend()
    options = ("--results", folder.path / "results", "--workers", "1", "--quiet", "--metrics")
    code, _, err = command("run", folder.path / "study.yaml", *options, "0.0.0.0:0")
    assert code == 0
    assert re.fullmatch(r"metrics at http://0.0.0.0:\d+/metrics: anyone who reaches it can read them\n", err)
    assert command("queue", "add", folder.path / "study.yaml", "--results", folder.path / "results")[0] == 0
    code, out, _ = command("queue", "run", "--results", folder.path / "results", "--workers", "1", "--metrics", "0")
    assert (code, "metrics at http://127.0.0.1:" in out) == (0, True)
    for wrong, why in [
        ("x", "write it as PORT"),
        ("70000", "write it as PORT"),
        ("192.0.2.1:9100", "nothing can listen"),
    ]:
        code, _, err = command("run", folder.path / "study.yaml", *options, wrong)
        assert (code, err.count("\n"), why in err) == (2, 1, True)


# What is kept of what is printed


def kept(results):
    """The text of the only file of what was printed; None if there is none."""
    files = storage.files(storage.at(str(results)) / "study=s" / "_logs", ".out")
    assert len(files) <= 1
    return storage.read_regular(files[0]).decode() if files else None


def test_nothing_is_left_of_a_silent_trial_and_the_end_of_a_loud_one(tmp_path):
    for alone in (True, False):
        with output.kept(str(tmp_path), "s", "t", "A", alone=alone):
            pass
        assert kept(tmp_path) is None
    with output.kept(str(tmp_path), "s", "t", "A", alone=True) as tend:
        for number in range(60):
            os.write(1, b"%06d " % number * 10_000 + b"\n")
            tend()
            assert (tmp_path / "study=s/_logs").stat()
            (file,) = (tmp_path / "study=s/_logs").iterdir()
            assert file.stat().st_size <= 2 * output.LARGEST
    text = kept(tmp_path)
    assert len(text) <= output.LARGEST
    assert text.startswith("[the beginning is cut]\n0000")
    assert text.endswith("000059 \n")


def test_the_last_words_of_a_process_that_dies_are_kept(tmp_path):
    code = (
        "import os, sys; from jobs.execution import output\n"
        "with output.kept(sys.argv[1], 's', 't', 'A', alone=True):\n"
        "    print('first'); os.system('echo a child'); os.write(2, b'terminate called\\n'); os.abort()\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False, cwd=Path(__file__).parents[2])
    assert kept(tmp_path) == "first\na child\nterminate called\n"


def test_a_bar_that_is_written_over_and_a_broken_sign_are_shown_as_on_a_terminal(tmp_path, command):
    row = Attempt(study="s", trial_key="t", config_key="c", seed=0, attempt_id=new_attempt_id(), status="running")
    write(str(tmp_path), row)
    with output.kept(str(tmp_path), "s", "t", "A", alone=True):
        os.write(2, b" 10 %\r 20 %\r100 %\r\n\xff end\n\x07")
    assert command("logs", tmp_path, "--trial", "t")[1].splitlines()[1:] == ["100 %", "� end", "\\x07", ""]


def test_without_a_place_and_on_an_object_store(tmp_path, s3, monkeypatch):
    (tmp_path / "study=s").write_text("no folder")
    with output.kept(str(tmp_path), "s", "t", "A", alone=True):
        sys.stdout.write("heard by nobody")
    place = s3()
    monkeypatch.setattr(output, "UPLOAD_SECONDS", 0.0)
    with output.kept(place, "s", "t", "A", alone=True) as tend:
        tend()
        assert kept(place) is None
        sys.stdout.write("first\n")
        tend()
        assert kept(place) == "first\n"
        sys.stdout.write("second\n")
    assert kept(place) == "first\nsecond\n"


# Requests


def test_a_request_in_anybodys_results_can_end_a_trial_and_do_nothing_else(tmp_path, command, s3):
    for key in ("../../x", "a/b", ""):
        with pytest.raises(Exception, match="is no key"):
            stops.ask(tmp_path, key, "ann")
    place = tmp_path / "study=s" / "_stops" / "t.json"
    place.parent.mkdir(parents=True)
    for content in (b"", b"{", b'{"by": 3}', b'{"by": "' + b"x" * 10**6 + b'"}'):
        place.write_bytes(content)
        assert len(stops.Request(tmp_path / "study=s", "t").came()) in {len("somebody"), 200}
    place.unlink()
    os.mkfifo(place)
    assert stops.Request(tmp_path / "study=s", "t").came() is None
    there = storage.at(s3()) / "study=s"
    assert stops.Request(there, "t").came() is None
    stops.ask(there, "t", "ann@here")
    assert (stops.asked(there), stops.Request(there, "t").came()) == ({"t"}, "ann@here")
    stops.withdraw(there, "t")
    assert stops.asked(there) == set()
    row = Attempt(study="s", trial_key="../x", config_key="c", seed=0, attempt_id=new_attempt_id(), status="running")
    (tmp_path / "study=s" / "trials").mkdir()
    write(str(tmp_path / "study=s" / "trials"), row)


def test_no_link_leads_out_of_the_results(tmp_path, command):
    outside, inside = tmp_path / "mine", tmp_path / "results" / "study=s"
    outside.mkdir()
    (outside / "package.json").write_text("{}")
    row = Attempt(study="s", trial_key="t", config_key="c", seed=0, attempt_id=new_attempt_id(), status="running")
    write(str(inside.parent), row)
    for name in ("_stops", "_logs"):
        (inside / name).symlink_to(outside)
    for one in (stops.withdraw, lambda folder, key: stops.ask(folder, key, "ann")):
        with pytest.raises(UserError, match="_stops is a link: requests lie in the results themselves"):
            one(inside, "package")
    assert stops.asked(inside) == set()
    with output.kept(str(inside.parent), "s", "t", "A", alone=True):
        os.write(1, b"heard by nobody")
    assert [one.name for one in outside.iterdir()] == ["package.json"]
    (inside / "_logs").unlink()
    (inside / "_logs").mkdir()
    (inside / "_logs" / "t.A.out").symlink_to(outside / "package.json")
    assert "{}" not in "".join(command("logs", inside.parent, "--trial", "t")[1:])


def test_a_trial_stays_stopped_until_the_run_that_takes_it_up_begins(folder, command):
    read = study.load(folder.path / "study.yaml")
    place, key = folder.path / "results" / "study=s", plan.make(read).trials[0].trial_key
    snapshot.write(read, place)
    row = Attempt(study="s", trial_key=key, config_key="c", seed=0, attempt_id=new_attempt_id(), status="stopped")
    write(str(folder.path / "results"), row)
    stops.ask(place, key, "ann")
    data, away = folder.path / "data" / "mine.npz", folder.path / "data" / "away"
    data.rename(away)
    code, _, err = command("resume", place.parent, "--trial", key, "--workers", "1")
    assert (code, "mine.npz" in err, stops.asked(place)) == (2, True, {key})
    away.rename(data)
    with exclusive(str(place.parent), "s"):
        code, _, err = command("resume", place.parent, "--trial", key, "--workers", "1")
    assert (code, f"study s runs: trial {key} stays stopped" in err, stops.asked(place)) == (2, True, {key})


def test_of_several_studies_none_has_the_trial_and_a_file_cannot_be_read(tmp_path, command):
    for name in ("s", "other"):
        row = Attempt(study=name, trial_key="t", config_key="c", seed=0, attempt_id=new_attempt_id(), status="running")
        write(str(tmp_path), row)
    (tmp_path / "study=s" / "trials" / "u.A.parquet").write_bytes(b"PAR1")
    code, _, err = command("stop", tmp_path, "--trial", "u")
    assert (code, "u.A.parquet" in err, "No study in" in err) == (2, True, True)


def test_of_several_studies_the_command_that_goes_on_with_a_trial_names_one(tmp_path, command):
    for name in ("s", "other"):
        row = Attempt(study=name, trial_key="t", config_key="c", seed=0, attempt_id=new_attempt_id(), status="running")
        write(str(tmp_path), row)
        again = "" if name == "s" else "--study other "
        said = command("stop", tmp_path, *again.split(), "--trial", "t")[2]
        assert said.endswith(f"the trial can be run again with: conclus resume {tmp_path} {again}--trial t\n")


def test_a_way_back_is_promised_only_where_there_is_one(tmp_path, command):
    row = Attempt(study="s", trial_key="t", config_key="c", seed=0, attempt_id=new_attempt_id(), status="running")
    write(str(tmp_path), row)
    assert "once no process runs the study" in command("stop", tmp_path, "--trial", "t")[2]
    asha = "study: s\ntrial: {data: digits}\nsearch: {name: random, trials: 2, scheduler: asha}\n"
    (tmp_path / "s.yaml").write_text(asha)
    snapshot.write(study.load(tmp_path / "s.yaml"), tmp_path / "study=s")
    said = command("stop", tmp_path, "--trial", "t")[2]
    assert said == "trial t ends after its epoch, and the study goes on; its search takes the trial as done\n"
    code, _, err = command("resume", tmp_path, "--trial", "t")
    assert (code, "it cannot be run again" in err) == (2, True)
