"""Headers, classes and cells of 100,000 characters: what is printed of them has a bound, and says so with `…`."""

import numpy as np
import pytest

from jobs.present.visible import bounded

LONG = "h" * 100_000
STUDY = "study: s\ntrial:\n  data: {name: file, path: FILE}\n  method: {name: cc}\n  epochs: 1\n  n_clusters: 2\n"
GRID = np.random.default_rng(0).normal(size=(60, 3))


def csv(header, last):
    rows = [header, *([f"{a},{b},{c},{last(place)}" for place, (a, b, c) in enumerate(GRID)])]
    return lambda path: path.write_text("\n".join(rows))


FILES = {
    "a feature and a class": ("t.csv", csv(f"{LONG},b,c,label", lambda place: ("k" * 100_000) if place % 2 else "a")),
    "an id": ("t.csv", csv(f"a,b,c,{LONG}_id", str)),
    "texts": ("t.csv", csv(f"a,b,c,{LONG}", lambda _: "t" * 50_000)),
    "an array": ("t.npz", lambda path: np.savez(path, x=GRID, **{"q" * 5000: GRID[:, :2]})),
}


@pytest.mark.parametrize("name", FILES)
def test_plan_prints_no_name_whole(tmp_path, command, name):
    file, write = FILES[name]
    write(tmp_path / file)
    (tmp_path / "s.yaml").write_text(STUDY.replace("FILE", file))
    _, out, err = command("plan", tmp_path / "s.yaml")
    assert "…" in out + err
    assert max(map(len, (out + err).splitlines())) < 3000


@pytest.mark.parametrize("header", [f"lr,{LONG},nmi,note", f"zz,{LONG},zy,zw"])
def test_import_prints_no_name_whole(tmp_path, command, header):
    (tmp_path / "t.csv").write_text(f"{header}\n0.1,{'v' * 100_000},0.5,{'w' * 100_000}\n0.2,u,0.6,u\n")
    code, out, err = command("import", tmp_path / "t.csv", "--results", tmp_path / "r", "--yes")
    assert (code, "…" in out + err) == (2, True)
    assert max(map(len, (out + err).splitlines())) < 3000


def test_what_is_short_stays_as_it_is():
    path = "/a" * 140
    assert bounded(f"{path}: no such file") == f"{path}: no such file"
    assert bounded("a b " * 3000)[-3:] == "b …"
