"""`conclus report` and `conclus plot` as a person meets them."""

import json
import re
import subprocess
import sys
from html import unescape

import pytest
from PIL import Image

from jobs.charts.courses import courses
from jobs.charts.figure import figure
from jobs.report.contents import gather
from jobs.report.plots import charts

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
    assert "ranked by ACC" in (tmp_path / "page.html").read_text()


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
        (["plot", "{}", "leaderboard", "--out", "x.jpg"], "should end in one of .png, .svg, .pdf"),
        (["plot", "{}", "leaderboard", "--out", "x.png", "--width", "3.3"], "'3.3' is no width from 2in to 40in"),
        (["plot", "{}", "leaderboard", "--out", "x.png", "--width", "3mm"], "'3mm' is no width"),
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
    assert files[0].read_text().count("<path") > 5


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
        "finally: print(sorted({'torch', 'ray', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env={}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert out.read_bytes().startswith(b"\x89PNG")


def test_figures_without_what_draws_them_name_the_extra(results, tmp_path, command, monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    code, _, err = command("plot", results, "curves", "--out", tmp_path / "x.png")
    assert (code, err) == (2, "Error: Figures need vl-convert-python: uv sync --extra plot --inexact --no-dev\n")


def test_a_figure_has_the_width_of_a_column_and_letters_of_7_points(results, tmp_path, command):
    for suffix in ("svg", "pdf", "png"):
        assert command("plot", results, "leaderboard", "--out", tmp_path / f"x.{suffix}", "--width", "3.3in")[0] == 0
    svg = (tmp_path / "x.svg").read_text()
    assert 3.25 * 96 <= float(re.search(r'width="([\d.]+)"', svg)[1]) <= 3.35 * 96
    sizes = [float(one) for one in re.findall(r'font-size="([\d.]+)px"', svg)]
    assert min(sizes) * 72 / 96 >= 7
    box = re.search(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", (tmp_path / "x.pdf").read_bytes())
    assert 3.25 * 72 <= float(box[1]) <= 3.35 * 72
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.width / picture.info["dpi"][0] == pytest.approx(3.3, abs=0.02)


def words_of(figure):
    """The texts of a drawing."""
    return {unescape(one) for one in re.findall(r">([^<>]*)</text>", figure.read_text())}


def test_own_names_stand_in_figures_and_on_the_page(results, tmp_path, command):
    labels, page, figure = tmp_path / "l.yaml", tmp_path / "page.html", tmp_path / "x.svg"
    labels.write_text('metrics: {nmi: "My {score}"}\nparameters: {learning_rate: η, threshold: θ}\n', encoding="utf-8")
    own = ("--labels", labels)
    _, _, err = command("plot", results, "effect", "learning_rate", *own, "--out", figure)
    assert "l.yaml: parameters.threshold: nothing in these results has this name" in err
    assert {"η", "My {score}", "difference of My {score}"} <= words_of(figure)
    assert command("plot", results, "interaction", "lr", "tau_i", *own, "--out", figure)[0] == 0
    assert {"η", "τ_I"} <= words_of(figure)
    code, _, err = command("report", results, *own, "--out", page)
    assert (code, "parameters.threshold" in err) == (0, True)
    text = page.read_text()
    assert "ranked by My {score}" in text
    assert ">η</th>" in text
    drawn = "".join(re.findall(r'<script type="application/json" class="[a-z]+">(.*?)</script>', text))
    for told in (r"\u03b7 0.0005", r"\u03b7=0.0005", "My {score} 0."):
        assert told in drawn
    assert not re.search(r'"title":"(nmi|NMI|learning.rate|[^"]*instance_temperature)"', drawn)


def test_the_figure_is_the_chart_of_the_page(results, tmp_path, command):
    page, figure = tmp_path / "page.html", tmp_path / "x.svg"
    assert command("report", results, "--out", page)[0] == 0
    assert command("plot", results, "effect", "learning_rate", "--out", figure)[0] == 0
    drawn = charts(gather([str(results)], "nmi", "max"), "effect", ["learning_rate"])[0]
    assert json.dumps(drawn["layer"], separators=(",", ":")) in page.read_text()
    assert {"learning rate", "NMI", "difference of NMI"} <= words_of(figure)


def test_huge_numbers_are_in_scientific_form_wherever_they_are_shown(store, tmp_path, command):
    store.put(
        "s",
        [
            store.attempt(
                "s", cell, seed, {"rate": 10.0 ** (90 + cell)}, 0.5, 4,
                seconds=9.0e98, metrics={"big": (value := (1.2345678901234567 + cell + seed / 10) * 1e99)},
                history=[(epoch, 1.0, "big", value * epoch / 4) for epoch in range(1, 5)],
            )
            for cell in range(3)
            for seed in range(3)
        ],
    )  # fmt: skip
    asked = ("--metric", "big", "--mode", "max")
    said = command("aggregate", tmp_path, *asked)[1]
    assert "3.335e+99 ±2.484e+98" in said
    assert "its mean is 3.335e+99 (95 %: 3." in " ".join(said.split())
    said += command("report", tmp_path, "--format", "latex", *asked)[1] + command("status", tmp_path)[1]
    said += command("effect", tmp_path, "rate", *asked)[1]
    assert command("report", tmp_path, *asked, "--out", tmp_path / "page.html")[0] == 0
    page = (tmp_path / "page.html").read_text()
    told = re.findall(r'"told": ?"[^"]*"', page)
    assert any("3.335e+99" in one for one in told)
    assert command("plot", tmp_path, "leaderboard", *asked, "--out", tmp_path / "f.svg")[0] == 0
    said += " ".join(re.findall(r">([^<>]*)</text>", (tmp_path / "f.svg").read_text()))
    said += " ".join(told) + " ".join(re.findall(r">([^<>]*)</t[dh]>", page))
    assert "e+99" in said
    assert re.findall(r"\d[\d,]{11,}|\d\.\d{6,}e", said) == []


@pytest.mark.parametrize("epochs", [1, 2, 3, 5])
def test_an_axis_of_few_epochs_has_whole_numbers_alone(store, tmp_path, command, epochs):
    drawn = courses({"a": {"label_free": [(epoch, 0.5) for epoch in range(1, epochs + 1)]}}, "value", "words")
    (tmp_path / "x.svg").write_bytes(figure([drawn], ".svg", 7.0))
    told = {word for word in words_of(tmp_path / "x.svg") if re.fullmatch(r"[\d.]+", word) and float(word) >= 0.9}
    assert told <= {str(epoch) for epoch in range(1, epochs + 1)}
    if epochs > 1:
        assert len(told) == epochs
