"""What the repository promises of itself: its README's commands, its help, its wheel."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import conclus
from jobs.results.identity import PROTOCOL


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text()


def shell_blocks(text):
    return re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_first_two_blocks_are_one_line_each_and_ci_runs_the_second(readme, root):
    first, second, *_ = shell_blocks(readme)
    assert first.count("\n") == second.count("\n") == 1
    assert "conclus run studies/quickstart.yaml" in first
    assert second.strip() in (root / ".ci" / "run").read_text().splitlines()


def test_the_studies_that_the_readme_names_are_there(readme, root):
    named = set(re.findall(r"studies/[a-z_-]+\.yaml", readme))
    assert named
    assert all((root / one).is_file() for one in named)


def test_links_lead_somewhere(root):
    for page in (*root.glob("*.md"), *root.glob("docs/**/*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def with_subcommands(name, command):
    """A command, and those below it, each with the name it is called by."""
    below = command.commands.items() if isinstance(command, conclus.click.Group) else ()
    return [(name, command), *(found for end, one in below for found in with_subcommands(f"{name} {end}", one))]


def test_every_command_has_help_and_stands_in_the_readme(readme):
    context = conclus.click.Context(conclus.cli)
    for file in conclus.cli.list_commands(context):
        for name, command in with_subcommands(file, conclus.cli.get_command(context, file)):
            assert command.help, name
            assert all(one.help for one in command.params if isinstance(one, conclus.click.Option)), name
        assert re.search(rf"`(conclus )?{file}\b", readme), file


def test_the_help_lists_every_command_once_and_cuts_no_line(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = command("--help")
    assert code == 0
    listed = [name for group in conclus.GROUPS.values() for name in group]
    assert sorted(listed) == conclus.cli.list_commands(conclus.click.Context(conclus.cli))
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert all([name, line] in lines for group in conclus.GROUPS.values() for name, line in group.items())
    assert all(f"{title}:" in out for title in ("Plan and run", "Conclude", "Clusters", "Files"))
    assert "..." not in out.partition("Options:")[2]
    assert all(len(line) <= 80 for line in out.splitlines())


def test_it_runs_as_a_module_anywhere(tmp_path, root):
    call = [sys.executable, "-m", "conclus", "plan", root / "studies" / "quickstart.yaml", "--no-data"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "24 trials" in done.stdout
    done = subprocess.run([*call[:3], "plan"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage: conclus plan" in done.stderr


def completed(words, tmp_path):
    """What bash is given to choose from after these words."""
    env = {**os.environ, "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    call = [Path(sys.executable).with_name("conclus")]
    env["_CONCLUS_COMPLETE"] = "bash_complete"
    done = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["conclus", "pl"], {"plan", "plot"}),
        (["conclus", "run", "--allow"], {"--allow-cpu"}),
        (["conclus", "aggregate", "--mode", "m"], {"max", "min"}),
        (["conclus", "methods", "resnet1"], {"resnet18"}),
    ],
)
def test_a_shell_completes_commands_options_and_names(tmp_path, words, found):
    assert set(completed(words, tmp_path)) == found


def test_the_line_for_bash_is_one_that_bash_takes(tmp_path, root):
    page = (root / "docs" / "completion.md").read_text()
    line = 'eval "$(_CONCLUS_COMPLETE=bash_source conclus)"'
    assert f"`{line}`" in page
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    call = ["bash", "-c", f"{line}\ncomplete -p conclus"]
    done = subprocess.run(call, cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert "_conclus_completion" in done.stdout


def test_a_wrong_command_gets_the_nearest(command):
    code, _, err = command("agregate")
    assert code == 2
    assert "did you mean 'aggregate'?" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [(["--help"], 0, ""), (["plan"], 2, "Missing argument 'STUDY'"), (["plan", "--no"], 2, "No such option")],
)
def test_click_s_own_exit_codes_stand(command, arguments, code, said):
    found, _, err = command(*arguments)
    assert found == code
    assert said in err


def test_ctrl_c_at_any_moment_is_130_and_no_traceback(command, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import os, signal\ndef load(): ...\ndef fingerprint(): os.kill(os.getpid(), signal.SIGINT)\n"
    )
    (tmp_path / "study.yaml").write_text("study: s\ntrial: {data: ./mine.py}\n")
    code, out, err = command("plan", tmp_path / "study.yaml")
    assert (code, out, err.split()) == (130, "", ["interrupted"])


def test_versions_agree(root):
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    locked = tomllib.loads((root / "uv.lock").read_text())["package"]
    cut = re.findall(r"^## \[(.+)\] - \d{4}-\d\d-\d\d$", (root / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    page = (root / "docs" / "compatibility.md").read_text()
    assert conclus.__version__ == version
    assert [one["version"] for one in locked if one["name"] == "conclus"] == [version]
    assert cut[:1] == [version]
    assert f"This page describes conclus {version}." in page


def test_every_protocol_of_keys_has_its_line_and_a_new_one_its_minor_version(root):
    page = (root / "docs" / "compatibility.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\d+\.\d+)\.(\d+)[^|]* \| \S.* \|$", page, flags=re.MULTILINE)
    assert [int(one) for one, _, _ in rows] == list(range(1, PROTOCOL + 1))
    assert {patch for _, _, patch in rows} == {"0"}
    minors = [tuple(map(int, minor.split("."))) for _, minor, _ in rows]
    assert minors == sorted(minors)
    assert minors[-1] <= tuple(map(int, conclus.__version__.split(".")[:2]))
    later = [one for one in minors if one > (0, 1)]
    assert len(later) == len(set(later))


def test_no_file_is_longer_than_a_reader_bears(root):
    long = {
        str(path.relative_to(root))
        for package in (*conclus.PACKAGES, "benchmarks")
        for path in (root / package).rglob("*.py")
        if path.read_text().count("\n") > 400
    }
    assert not long


@pytest.mark.slow
def test_the_wheel_holds_every_module_and_no_test(root, tmp_path):
    command = ["uv", "build", "--wheel", "--out-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    kinds = {".py", ".css", ".js"}
    files = [one for name in conclus.PACKAGES for one in (root / name).rglob("*") if one.suffix in kinds]
    ours = {str(one.relative_to(root)) for one in files}
    assert ours | {"conclus.py", "jobs/charts/LICENSES.txt"} <= held
    assert not [one for one in held if one.startswith(("tests/", "benchmarks/", "studies/"))]
