"""What is no file where data should be: one line, and never a wait; and arrays without any axis."""

import os
import signal
import socket

import numpy as np
import pytest

from core.datasets import documents, fashion_mnist, file, pairs, text
from core.errors import UserError

GRID = np.arange(24.0).reshape(6, 4)


@pytest.fixture(autouse=True)
def _alarm():
    """A hang is a failure, and no test that never ends."""
    signal.alarm(60)
    yield
    signal.alarm(0)


def listen(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


ODD = {
    "a FIFO": (os.mkfifo, "a FIFO, a socket or a device: name a file or a folder"),
    "a socket": (listen, "a FIFO, a socket or a device: name a file or a folder"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "a FIFO, a socket or a device: name a file or a folder"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "no such file or folder can be read"),
}
READERS = {
    "file": file.load,
    "its hash": file.fingerprint,
    "for a model": lambda path: file.samples_of(path, ("a",)),
    "text": text.load,
    "pairs": pairs.load,
    "documents": documents.load,
    "folder": fashion_mnist.load,
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("name", ODD)
def test_no_reader_waits_for_what_is_no_file(tmp_path, name, suffix, reader):
    make, says = ODD[name]
    path = tmp_path / f"odd{suffix}"
    make(path)
    with pytest.raises(UserError, match=says) as error:
        READERS[reader](path=str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ODD)
def test_plan_says_it_in_one_line(tmp_path, command, name):
    ODD[name][0](tmp_path / "odd.npz")
    study = tmp_path / "s.yaml"
    study.write_text("study: s\ntrial:\n  data: {name: file, path: odd.npz}\n  epochs: 1\n")
    for more in ((), ("--set", f"data.path={tmp_path}/odd.npz")):
        code, _, said = command("plan", study, *more)
        assert (code, said.count("\n")) == (2, 1)
        assert said.startswith("Error: ")


def test_a_path_with_a_nul_is_one_line(tmp_path, command):
    study = tmp_path / "s.yaml"
    study.write_text('study: s\ntrial:\n  data: {name: file, path: "a\\0b.npz"}\n  epochs: 1\n')
    code, _, said = command("plan", study)
    assert (code, said.count("\n")) == (2, 1)
    assert "null" in said


def test_a_folder_of_results_that_is_a_link_to_itself_is_one_line(tmp_path, command):
    study = tmp_path / "s.yaml"
    study.write_text("study: s\ntrial:\n  data: digits\n  epochs: 1\nseeds: [0]\n")
    (tmp_path / "r").symlink_to("r")
    code, _, said = command("run", study, "--results", tmp_path / "r", "--workers", 1, "--quiet")
    assert (code, said.count("\n")) == (2, 1)
    assert "Too many levels of symbolic links" in said


NO_AXES = {
    "samples": ({"x": np.float64(1)}, {}, r"the shape \(\), but it must be"),
    "labels": ({"x": GRID, "y": np.int64(1)}, {}, r"the labels have the shape \(\)"),
    "the shape of a sparse matrix": (
        {"data": np.ones(2), "indices": np.array([0, 1]), "indptr": np.array([0, 1, 2]), "shape": np.int64(2)},
        {},
        r"cannot be read as \.npz",
    ),
    "ids": ({"x": GRID, "who": np.int64(1)}, {"id": "who"}, "`id` names 1 values for 6 samples"),
    "too few ids": ({"x": GRID, "who": np.arange(5)}, {"id": "who"}, "`id` names 5 values for 6 samples"),
}


@pytest.mark.parametrize("name", NO_AXES)
def test_arrays_without_an_axis_are_refused(tmp_path, name):
    arrays, options, says = NO_AXES[name]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=says):
        file.load(path=str(tmp_path / "a.npz"), **options)
