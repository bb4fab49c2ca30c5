"""Addresses of data that are refused before any store is asked, and what stands in the way in the cache."""

import os

import pytest

from core.data import remote
from core.errors import UserError


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("s3://[::1/x", "is no address of an object store: Invalid IPv6 URL"),
        ("s3://b/x.csv#f", "#f is no part of an address"),
        ("ftp://b/x.csv", "data lies in a file or in an object store"),
        ("s3://key:secret@b/x.csv", "leave the credentials out"),
    ],
)
def test_an_address_that_cannot_be_read_is_refused(location, said):
    with pytest.raises(UserError, match=said.replace("(", r"\(")) as found:
        remote.checked(location)
    assert "secret" not in str(found.value)


def test_a_lock_that_is_a_link_or_a_fifo_is_refused(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(OSError, match=r"Too many levels|not a regular file"):
            remote._opened(tmp_path / name)
    assert (tmp_path / "precious").read_text() == "mine"
    remote._opened(tmp_path / "new").close()


def test_a_fifo_in_place_of_what_is_known_is_as_nothing_known(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    assert remote._recalled(tmp_path / "a.json", {}) is None


def test_whatever_stands_in_the_way_of_a_download_is_removed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    for make in (
        lambda path: path.mkdir(),
        lambda path: path.write_text("x"),
        lambda path: path.symlink_to(tmp_path / "precious"),
    ):
        make(tmp_path / "part")
        remote._clear(tmp_path / "part")
        assert not os.path.lexists(tmp_path / "part")
    assert (tmp_path / "precious").read_text() == "mine"
