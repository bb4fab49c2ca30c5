"""`conclus cache` lists and clears what can be made again."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import conclus
from core.data import prepared
from core.data.dataset import Dataset


def call(*words, **more):
    return CliRunner().invoke(conclus.cli, ["cache", *words], **more)


@pytest.fixture
def entries():
    for key, name in (("a1", "cats"), ("b2", "do\x1b[31mgs")):
        data = Dataset(name, np.eye(3, 4, dtype=np.float32), None, (), key * 32)
        prepared.prepared(key * 32, lambda data=data: data)
    return prepared.entries_folder()


def test_it_lists_the_data_sets_and_what_they_take(entries):
    done = call()
    assert done.exit_code == 0
    assert "a1a1a1a1a1a1  cats" in done.stdout
    assert "3 \N{MULTIPLICATION SIGN} 4" in done.stdout
    assert "\x1b" not in done.stdout
    assert "of at most 50 GB" in done.stdout
    assert {one["data"] for one in json.loads(call("--format", "json").stdout)} == {"cats", "do\x1b[31mgs"}


def test_it_removes_one_data_set_or_all(entries):
    assert call("--clear", "a1", input="n\n").exit_code == 1
    assert len(prepared.entries(entries)) == 2
    done = call("--clear", "a1", "--yes")
    assert done.exit_code == 0
    assert "removed 1 data set" in done.stdout
    assert [one.name for one in prepared.entries(entries)] == ["b2" * 32]
    mine = entries.parent / "notes.txt"
    mine.write_text("kept")
    assert call("--clear", "--yes").exit_code == 0
    assert prepared.entries(entries) == []
    assert mine.read_text() == "kept"
    assert "data sets take 0.000 GB" in call().stdout


def test_a_link_to_a_larger_disk_stays(entries, tmp_path):
    entries.rename(tmp_path / "large")
    entries.symlink_to(tmp_path / "large")
    assert call("--clear", "--yes").exit_code == 0
    assert entries.is_symlink()
    assert list((tmp_path / "large").iterdir()) == []


def test_an_unknown_key_is_one_line(entries, command):
    code, out, err = command("cache", "--clear", "zz", "--yes")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "begins with 'zz'" in err


def test_an_empty_cache_and_a_damaged_entry_are_listed(entries):
    (entries / ("a1" * 32) / "about.json").write_text("{")
    assert "damaged" in call().stdout
    assert call("--clear", "--yes").exit_code == 0
    assert "GB of at most" in call().stdout
