"""One thing is never told as several, and no help is wider than a terminal."""

import re

import numpy as np
import pytest

import conclus

STUDY = """study: s
trial:
  data: {name: file, path: t.npz}
  method: {name: cc}
  encoder: {name: linear}
  epochs: 1
  batch_size: 20
  n_clusters: 2
seeds: [0]
select: {save_model: true}
"""
ONE = re.compile(
    r"(?<![\d.,])1 (samples|channels|features|vectors|numbers|trials|finished trials|configurations|rows|seeds)\b"
)


def test_a_study_of_one_trial(tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez("t.npz", x=rng.normal(size=(40, 1, 4, 5)), y=np.arange(40) % 2)
    np.savez("one.npz", x=rng.normal(size=(1, 1, 4, 5)))
    (tmp_path / "s.yaml").write_text(STUDY)
    said = [*command("plan", "s.yaml")[1:], *command("run", "s.yaml", "--workers", "1")[1:]]
    model = next(tmp_path.rglob("best_model.pt"))
    said += [*command("status")[1:], *command("embed", model, "one.npz", "--out", "v.parquet")[1:]]
    said += command("sql", "select 1 a from trials", "--out", "a.parquet")[1:]
    said += command("diff", "results", "results")[1:]
    text = "\n".join(said)
    assert not ONE.findall(text)
    for told in (
        "1 trial is done",
        "1 channel ",
        "Wrote 1 vector of",
        "1 of 1 trial done",
        "Wrote 1 row to",
        "1 configuration in both",
    ):
        assert told in text


@pytest.mark.parametrize("name", sorted(name for group in conclus.GROUPS.values() for name in group))
def test_no_help_is_wider_than_80_columns(name, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = command(name, "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
