"""Notes on studies and trials: written, found again, merged by copying, and never obeyed."""

import json
import shutil
from datetime import UTC, datetime

import pytest

from core.seal import seal_json
from jobs.results import writer
from jobs.results.schema import Attempt
from jobs.study import notes

HOSTILE = "\x1b[31m<script>x</script> =1+1\nnext\u202e"


def fill(folder, study="s"):
    for key in ("3f2a", "3f9b", "77aa"):
        content = {"trial_key": f"{key}{study}", "config_key": key, "seed": 0, "attempt_id": f"{key}{study}"}
        row = Attempt(
            study=study,
            **content,
            status="ok",
            started=datetime(2026, 6, 7, tzinfo=UTC),
            data_hash="d",
            params={"optimiser.learning_rate": len(key), "batch_size": ord(key[0])},
            metrics={"nmi": 0.5, "acc": 0.5},
        )
        writer.write(str(folder), row)


@pytest.fixture
def results(tmp_path):
    fill(tmp_path / "results")
    return tmp_path / "results"


def test_a_note_is_found_again_everywhere(results, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert command("note", results)[:2] == (0, f"No notes in {results}.\n")
    code, said, err = command("note", results, "--trial", "77", "--tag", "good", "begins  well")
    assert (code, err) == (0, "")
    assert said.startswith("Noted on trial 77aas [good] (")
    assert said.endswith("): begins well\n")
    assert command("note", results, "all on the old node")[0] == 0
    assert command("note", results, "--trial", "3f2", "--tag", "bad", "--tag", "rerun")[0] == 0
    told = json.loads(command("note", results, "--format", "json")[1])
    assert sorted((one["study"], one["trial"], one["tags"], one["text"]) for one in told) == [
        ("s", "", "", "all on the old node"),
        ("s", "3f2as", "bad, rerun", ""),
        ("s", "77aas", "good", "begins well"),
    ]
    shown = command("note", results)[1]
    assert shown.count("\n") == 3
    for words in (["aggregate", results, "-v"], ["status", results]):
        out = command(*words)[1]
        assert all(one.partition(": ")[2] in out for one in shown.splitlines())
        assert out.count("Note on ") == 3
    assert "Note on" not in command("aggregate", results)[1]
    assert "Note on" not in command("aggregate", results, "-v", "--format", "csv")[1]
    command("report", results, "--out", results.parent / "page.html")
    assert "begins well" in (results.parent / "page.html").read_text()
    assert [one["trial"] for one in json.loads(command("note", results, "--trial", "77", "--format", "json")[1])] == [
        "77aas"
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{}", "--trial", "3f", "x"], "2 trials begin with '3f'"),
        (["{}", "--trial", "0", "x"], "There is no trial '0' in"),
        (["{}", "two", "words"], "stands in quotes, as the last word: 'two words'"),
        (["{}", "x" * 501], "at most 500 characters; this one has 501"),
        (["{}", "x", "--tag", "two words"], "a tag is one word"),
        (["{}", "--study", "t", "x"], "There is no study 't'"),
    ],
)
def test_what_is_no_note_is_refused(results, command, words, said):
    code, _, err = command("note", *(one.replace("{}", str(results)) for one in words))
    assert (code, said.replace("{}", str(results)) in err) == (2, True)
    assert not list(results.rglob("_notes/*"))


def test_a_note_is_taken_back_everywhere(results, command):
    for words in (["--trial", "77", "--tag", "good", "begins well"], ["--trial", "77", "late"], ["old node"]):
        command("note", results, *words)
    code, _, err = command("note", results, "--trial", "77", "--remove")
    assert (code, "2 notes on trial 77 are meant" in err, "begins well" in err) == (2, True, True)
    code, said, _ = command("note", results, "--trial", "77", "--tag", "good", "--remove")
    assert code == 0
    assert said.startswith("Removed: note on trial 77aas [good]")
    assert command("note", results, "old", "--remove")[0] == 0
    shown = command("note", results)[1]
    assert (shown.count("\n"), "late" in shown) == (1, True)
    command("report", results, "--out", results.parent / "page.html")
    for out in (command("aggregate", results, "-v")[1], command("status", results)[1]):
        assert out.count("Note on ") == 1
    assert "begins well" not in (results.parent / "page.html").read_text()
    code, _, err = command("note", results, "--remove")
    assert (code, "There is no such note on the study itself" in err) == (2, True)


def test_of_notes_that_begin_alike_the_exact_one_is_removed_and_of_equal_ones_one(results, command):
    on = ("note", results, "--trial", "77")
    for words in (["stalls"], ["stalls late"], ["--tag", "bad", "stalls"], ["again"], ["again"]):
        command(*on, *words)
    code, _, err = command(*on, "stal", "--remove")
    assert (code, "3 notes on trial 77 are meant" in err) == (2, True)
    for words, left in ((["stalls"], 4), (["--tag", "bad", "stalls"], 3), (["again"], 2), (["again"], 1)):
        assert command(*on, *words, "--remove")[0] == 0
        assert command("note", results)[1].count("\n") == left
    assert "stalls late" in command("note", results)[1]


COMMANDS = ("assign", "clusters", "export", "health", "logs", "note", "report", "resume", "stop", "topics")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_trial_is_refused(results, command, name):
    notes.add(results / "study=s", "keep", [], by="me")
    more = {"note": ["--remove"], "report": ["--style", "status"]}.get(name, [])
    code, _, err = command(name, results, "--trial", "", *more)
    assert code == 2
    assert "--trial" in err
    assert "write the first characters of a trial's key" in err
    assert len(notes.read(results / "study=s")[0]) == 1


@pytest.mark.parametrize("name", ["assign", "clusters", "export", "logs", "note", "resume", "stop"])
def test_a_key_finds_its_study(results, command, name):
    fill(results, "t")
    more = ["text"] if name == "note" else []
    _, out, err = command(name, results, *more, "--trial", "3f2at")
    assert "choose one with --study" not in out + err
    assert "3f2at" in out + err or "study=t" in err
    code, _, err = command(name, results, *more, "--trial", "3f2")
    assert code == 2
    assert "has several studies with a trial that begins with '3f2', s, t: choose one with --study NAME" in err
    code, _, err = command(name, results, *more, "--trial", "yy")
    assert (code, "has a trial that begins with 'yy'" in err) == (2, True)


@pytest.mark.parametrize("words", [["{}", ""], ["{}", "--tag", "good", " "], ["{}", "", "--remove"], [""]])
def test_an_empty_text_is_refused(results, command, words):
    notes.add(results / "study=s", "keep", [], by="me")
    code, out, err = command("note", *(word.format(results) for word in words))
    assert (code, out, "The note has no text" in err) == (2, "", True)
    assert len(notes.read(results / "study=s")[0]) == 1


def test_copying_folders_brings_notes_together(results, command, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(results, other)
    for place, words in ((results, "here"), (other, "there")):
        command("note", place, words)
    shutil.copytree(other, results, dirs_exist_ok=True)
    found, wrong = notes.read(results / "study=s")
    assert ({one.text for one in found}, wrong) == ({"here", "there"}, [])


def test_notes_of_a_stranger_are_shown_and_nothing_else(results, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    folder = results / "study=s" / "_notes"
    folder.mkdir()
    note = {"trial": "../x", "text": HOSTILE * 99, "tags": [HOSTILE] * 99, "by": HOSTILE, "at": "never"}
    (folder / "a.json").write_bytes(seal_json(note))
    (folder / "b.json").write_bytes(b"{" * 10_000)
    (folder / "c.json").write_bytes(seal_json({"text": 3}))
    (folder / "d.json").mkdir()
    for words in (["note", results], ["note", results, "--format", "json"], ["aggregate", results, "-v"]):
        code, out, err = command(*words)
        assert code == 0
        assert "\x1b" not in out + err
        assert "\u202e" not in out + err
        assert len(out) < 3000
        assert "notes in" in err or words[0] != "note"
    command("report", results, "--out", results / "page.html")
    assert "<script>x" not in (results / "page.html").read_text()


def test_a_folder_for_notes_that_is_a_link_is_not_followed(results, command, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (results / "study=s" / "_notes").symlink_to(tmp_path / "elsewhere")
    code, _, err = command("note", results, "x")
    assert (code, "is a link" in err) == (2, True)
    assert not list((tmp_path / "elsewhere").iterdir())
    assert "is a link: it is not read." in command("note", results)[2]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["reslts"], "There is no folder 'reslts'; did you mean 'results'?"),
        (["reslts", "--tag", "good"], "did you mean 'results'?"),
        (["./other"], "There is no folder './other'."),
    ],
)
def test_a_mistyped_folder_is_no_note(results, command, monkeypatch, words, hint):
    monkeypatch.chdir(results.parent)
    code, _, err = command("note", *words)
    assert code == 2
    assert hint in err
    assert f"conclus note results {words[0]}" in err
    assert "No notes" in command("note", results)[1]
    for text in ("rerun", "see logs/a for why", "good result"):
        assert command("note", text)[0] == 0
