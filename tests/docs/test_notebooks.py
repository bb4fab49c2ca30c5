"""The notebooks of docs run from the first cell to the last, show what they speak of, and lie there without outputs."""

import asyncio
import json

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tests.docs.pages import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def run(notebook, kernel, **options):
    """The notebook, or that of the name, after its cells were run, with no name left of the notebook before."""
    if isinstance(notebook, str):
        notebook = nbformat.read(ROOT / "docs" / "notebooks" / f"{notebook}.ipynb", as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))
    client = NotebookClient(notebook, timeout=300, km=kernel, **options)
    try:
        return client.execute()
    finally:
        client.kc.stop_channels()


def shown(notebook):
    """By cell the HTML that it showed, and its texts."""
    outputs = [one for cell in notebook.cells if cell.cell_type == "code" for one in cell.outputs]
    data = [one.data for one in outputs if "data" in one]
    html = [one["text/html"] for one in data if "text/html" in one]
    texts = [one.get("text/plain", "") for one in data] + [one.text for one in outputs if one.output_type == "stream"]
    return "\n".join(html), "\n".join(texts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all: the second notebook goes on with the results of the first."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def kernel(folder):
    """One kernel for all: each would import torch and the others again."""
    started = AsyncKernelManager(kernel_name="python3")
    asyncio.run(started.start_kernel(cwd=str(folder)))
    yield started
    asyncio.run(started.shutdown_kernel(now=True))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_is_short(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(nbformat.reads(json.dumps(content), as_version=4))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None), "clear the outputs"
    assert len(content["cells"]) < 25


def test_the_first_study_shows_a_bar_and_a_leaderboard(kernel):
    html, texts = shown(run("first-study", kernel))
    assert '<progress value="12.000" max="12"' in html
    assert "12/12 done" in html
    assert "(12, 0)" in texts
    assert "unknown key; did you mean 'epochs'" in texts
    assert html.count("<b>") >= 1, "the best is bold"
    assert "conclus next" not in texts


def test_results_are_read(kernel, folder):
    html, texts = shown(run("reading-results", kernel))
    assert "results in results-wine of wine" in texts
    assert "['differences', 'values', 'slices']" in texts
    assert "luck (the seed)" in html
    assert html.count("vegaEmbed(") >= 2
    assert (folder / "wine.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_estimator_is_fitted(kernel):
    _, texts = shown(run("estimator", kernel))
    assert "epoch 3 of 3: loss" in texts
    assert "(1797, 256)" in texts


def test_a_mistake_in_a_notebook_is_shown_in_words_alone(kernel):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import conclus\nconclus.open('nowhere')")])
    (output,) = run(notebook, kernel, allow_errors=True).cells[1].outputs
    assert (output.output_type, output.ename) == ("error", "UserError")
    assert output.traceback == [
        "UserError: There is no results folder 'nowhere': give the folder that `conclus run` wrote to."
    ]
