"""Every command, study file and script in the READMEs and docs is tried: run where that is cheap, else parsed."""

from __future__ import annotations

import re
import shutil

import click
import pytest
import yaml
from click.testing import CliRunner

import conclus
from core.errors import UserError
from jobs.planning import stages
from jobs.study.study import KEYS, STAGES
from tests.docs.pages import PAGES, ROOT, blocks, commands, mentioned, name_of

# Commands that are parsed and not run, by how they begin, each with its reason.
NOT_RUN = {
    "run studies/quickstart.yaml": "its results are made once, for all pages",
    "run studies/": "takes minutes",
    "run gated.yaml": "its gate needs trained models; tests/jobs/test_stages.py runs such a study",
    "run first-look.yaml --set": "as the run above it, longer",
    "run texts.yaml --set": "needs the extra text",
    "run both.yaml": "needs the extra text",
    "run next.yaml": "trains 84 trials",
    "confirm": "trains more seeds; tests/jobs/test_confirm.py runs it",
    "queue run": "trains whole studies; tests/jobs/test_queue.py runs it",
    "plan studies/ledger.yaml --probe": "starts a process; tests/jobs/test_probe.py runs it",
    "clusters": "UMAP is compiled for seconds; tests/jobs/report/test_clusters.py runs it",
    "doctor": "tells of the machine, or needs a head's address",
    "submit": "needs a head's address",
    "watch": "reads the folder of a cluster",
    "status /shared": "reads the folder of a cluster",
    "logs /shared": "reads the folder of a cluster",
    "stop /shared": "reads the folder of a cluster",
    "resume /shared": "reads the folder of a cluster",
    "aggregate /shared": "reads the folder of a cluster",
    "sql /shared": "reads the folder of a cluster",
}
# What `conclus` says no to on purpose, where the page tells of it.
REFUSED = {"aggregate --study pairs --metric validation_loss"}
# So that it takes seconds.
SHORT = ("--workers", "1", "--set", "epochs=1", "--set", "seeds=[0]", "--set", "evaluation.every=1")
TRIALS = 8
MY_DATA = "a,b,c,label\n" + "".join(f"{n % 3 + n / 97},{n % 3 - n / 89},{n / 60},{'xyz'[n % 3]}\n" for n in range(60))


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """What `studies/quickstart.yaml` leaves, of one epoch and a small network."""
    place = str(tmp_path_factory.mktemp("quickstart") / "results")
    study = conclus.load_study(
        ROOT / "studies" / "quickstart.yaml",
        ["epochs=1", "seeds=[0, 1]", "cluster_temperature=0.5", "encoder.widths=[8]", "batch_size=600"],
    )
    assert conclus.run(study, results=place, workers=1).done == TRIALS
    return place


@pytest.fixture
def folder(results, tmp_path, monkeypatch):
    """A folder as a reader has it who did what README says first."""
    shutil.copytree(ROOT / "studies", tmp_path / "studies")
    for name in ("results", "before", "after"):
        shutil.copytree(results, tmp_path / name)
    (tmp_path / "my_data.csv").write_text(MY_DATA)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES[:1] + PAGES[2:], ids=name_of)
def test_what_a_page_shows_works(page, folder, command):
    if page.name == "conclusions.md":  # It compares two studies of one folder.
        shutil.copytree(folder / "results" / "study=quickstart", folder / "results" / "study=quickstart-tcl")
    space = {}
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, f"{name_of(page)}: a block", "exec"), space)
        for words in commands(block):
            parse(words)
            if not skipped(words):
                run(words, folder, command)


def skipped(words):
    return any(" ".join(words).startswith(begin) for begin in NOT_RUN)


def run(words, folder, command):
    text = " ".join(words)
    given = [with_model(word, folder) for word in words] + (list(SHORT) if words[0] == "run" else [])
    code, out, err = command(*given)
    assert code == (2 if text in REFUSED else 0), f"conclus {text}\n{out}\n{err}"


def with_model(word, folder):
    """The folder of a model that is there, instead of the one that a page names."""
    name, found = re.subn(r"models/_\w+$", "models", word)
    return next((folder / name).iterdir()) if found else word


def parse(words):
    """Reads the words as the command line does; a mistake in them is an exception.

    A file that must be there is given by nothing here.
    """
    group, own = conclus.cli, list(words)
    context = click.Context(group, info_name="conclus", **group.context_settings)
    while isinstance(group, click.Group):
        _, found, own = group.resolve_command(context, own)
        assert found is not None
        group = found
    return group.make_context(words[0], own, parent=context)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_are_there_with_their_options(page):
    for words in [*mentioned(page), *(words for block in blocks(page) for words in commands(block))]:
        found = conclus.cli
        for word in words:
            if isinstance(found, click.Group) and not word.startswith("-"):
                found = found.get_command(click.Context(found), word)
                assert found is not None, f"conclus {' '.join(words)}"
        options = {name for one in found.params for name in one.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= options, f"conclus {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_parts_of_study_files_are_right(page, tmp_path):
    for number, block in enumerate(blocks(page)):
        if block.language == "yaml" and not block.title:
            part = yaml.safe_load(block.text)
            assert set(part) <= {*KEYS, STAGES}, block.text
            whole = {"study": "part", **part, "trial": {"data": "digits", **part.get("trial", {})}}
            file = tmp_path / f"{number}.yaml"
            file.write_text(yaml.safe_dump(whole))
            stages.load(file)


def test_a_wrong_command_a_wrong_option_and_a_wrong_part_are_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("`conclus agregate`\n\n```sh\nconclus aggregate --formt csv\n```\n\n```yaml\nseeds: [0, 0]\n```\n")
    with pytest.raises(AssertionError, match="agregate"):
        test_commands_in_the_text_are_there_with_their_options(page)
    with pytest.raises(click.NoSuchOption):
        parse(next(commands(blocks(page)[0])))
    with pytest.raises(UserError, match="none of them twice"):
        test_parts_of_study_files_are_right(page, tmp_path)


def test_every_reason_not_to_run_a_command_is_needed():
    shown = {" ".join(words) for page in PAGES for block in blocks(page) for words in commands(block)}
    for begin in [*NOT_RUN, *REFUSED]:
        assert any(one.startswith(begin) for one in shown), begin


def test_every_score_of_a_trial_is_explained(results):
    text = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("scores.md", "health.md"))
    columns = [name for name in conclus.read_results(results).column_names if name.startswith(("metric.", "health."))]
    scores = {re.sub(r"^\w+\.(kmeans_)?|(?<=loss_)\w+", "", name) for name in columns}
    assert len(scores) > 20
    assert {one for one in scores if f"`{one}" not in text} == set()


def test_the_command_that_a_page_adds_works(results):
    (block,) = (one for one in blocks(ROOT / "docs" / "extending.md") if one.title)
    space = {}
    exec(compile(block.text, block.title, "exec"), space)
    done = CliRunner().invoke(space["command"], [results])
    assert done.exit_code == 0, done.output
    assert len(done.output.splitlines()) == TRIALS
