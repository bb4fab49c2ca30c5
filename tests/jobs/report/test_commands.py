"""`conclus report` and `conclus plot` as a person meets them."""

import json
import re
import subprocess
import sys

import pytest

WHAT = (
    ["leaderboard"],
    ["curves"],
    ["selection"],
    ["importance"],
    ["effect", "learning_rate"],
    ["interaction", "learning_rate", "instance_temperature"],
)


def test_report_writes_the_page(results, tmp_path, command):
    out = tmp_path / "new" / "page.html"
    code, said, _ = command("report", results, "--out", out)
    assert (code, said) == (0, f"Wrote {out}.\n")
    assert out.read_text().startswith("<!doctype html>")
    assert not list(out.parent.glob(".*"))


def test_report_ranks_by_the_studys_own_metric(results, tmp_path, command):
    (results / "study=s" / "study.json").write_text(json.dumps({"select": {"metric": "acc", "mode": "max"}}))
    command("report", results, "--out", tmp_path / "page.html")
    assert "ranked by acc" in (tmp_path / "page.html").read_text()


def test_the_table_for_a_paper_tells_how_it_was_made(results, command):
    (results / "study=s" / "study.json").write_text(json.dumps({"commit": "abc123+changes"}))
    code, text, _ = command("report", results, "--format", "latex")
    assert code == 0
    assert r"\toprule" in text
    assert all(name in text for name in ("learning rate & ", r"$\tau_{\mathrm{I}}$ & ", "NMI & ACC & ARI"))
    assert "% Selection: mean of nmi over the seeds, the larger the better." in text
    assert "% Commit: abc123+changes." in text
    assert r"95 \% interval over n = 3 seeds: $\pm$ half its width" in text
    assert "±" not in text


def test_the_same_in_markdown_starts_with_the_conclusions(results, command):
    code, text, _ = command("report", results, "--format", "markdown")
    assert code == 0
    assert text.index("**Best**") < text.index("| ---") < text.index("<small>")
    assert re.search(r"\*\*0\.\d{3} ±0\.\d{3}\*\*", text)


def test_special_characters_are_escaped_in_papers(store, command):
    store.put("s", [store.attempt("s", i, 0, {"encoder.name": f"a_{i}|<b>*%&"}, 0.5, 1) for i in (0, 1)])
    assert r"a\_0|\textless{}b\textgreater{}*\%\&" in command("report", store.path, "--format", "latex")[1]
    assert r"a_0\|\<b>\*%&" in command("report", store.path, "--format", "markdown")[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["report", "nowhere"], "There is no results folder 'nowhere'"),
        (["report", "{}", "--out", "page.pdf"], "should end in one of .html, .htm, .md, .tex"),
        (["report", "{}", "--metric", "nim"], "did you mean"),
        (["report", "{}", "--where", "seed > 99"], "No trial matches"),
        (["report", "{}", "--metric", "loss", "--format", "latex"], "can rescale the loss"),
        (["plot", "{}", "leaderboard", "--out", "x.pdf"], "should end in one of .png, .svg"),
        (["plot", "{}", "curve", "--out", "x.png"], "'curve' is nothing to draw: write one of leaderboard"),
        (["plot", "{}", "effect", "--out", "x.png"], "effect takes one parameter, not 0"),
        (["plot", "{}", "effect", "learning_rat", "--out", "x.png"], "did you mean"),
        (["plot", "{}", "interaction", "learning_rate", "--out", "x.png"], "interaction takes two parameters, not 1"),
        (["plot", "{}", "leaderboard", "--metric", "loss", "--out", "x.png"], "can rescale the loss"),
        (["plot", "{}", "importance", "--metric", "loss", "--out", "x.png"], "cannot be split"),
        (["plot", "{}", "effect", "instance_temperature", "--on", "loss", "--out", "x.png"], "is not ranked by loss"),
    ],
)
def test_a_mistake_is_one_line(arguments, sentence, results, command, monkeypatch):
    monkeypatch.chdir(results)
    code, _, err = command(*(one.format(results) for one in arguments))
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1
    assert not list(results.glob("x.*"))


@pytest.mark.parametrize("what", WHAT, ids=" ".join)
def test_every_picture_is_the_same_each_time(what, results, tmp_path, command):
    files = [tmp_path / f"{i}.svg" for i in range(2)]
    for file in files:
        assert command("plot", results, *what, "--out", file)[0] == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert "<dc:date>" not in files[0].read_text()
    assert files[0].read_text().count("<path") > 10


def test_dollars_in_a_name_are_dollars_in_a_picture(store, tmp_path, command):
    rows = [store.attempt("s", cell, seed, {"method.name": name}, 0.5 + cell / 10 + seed / 90, 4)
            for cell, name in enumerate(("$x^$", "$y$")) for seed in range(3)]  # fmt: skip
    store.put("s", rows)
    for what in (["leaderboard"], ["effect", "method"]):
        assert command("plot", store.path, *what, "--out", tmp_path / "x.svg")[0] == 0
        assert "$x^$" in (tmp_path / "x.svg").read_text()


def test_a_picture_needs_no_display_and_no_torch(results, tmp_path, root):
    out = tmp_path / "effect.png"
    code = (
        f"import sys; sys.argv = ['conclus', 'plot', {str(results)!r}, 'curves', '--out', {str(out)!r}]\n"
        "import conclus\n"
        "try: conclus.main()\n"
        "finally: print(sorted({'torch', 'ray', 'pandas', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env={}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert out.read_bytes().startswith(b"\x89PNG")


def test_pictures_without_matplotlib_name_the_extra(results, tmp_path, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "jobs.report.plots", raising=False)
    code, _, err = command("plot", results, "curves", "--out", tmp_path / "x.png")
    assert (code, err) == (2, "Error: Pictures need matplotlib: uv sync --extra plot --inexact\n")
