"""Plug-ins: found by file name, options read without importing, the user's own by path."""

import inspect
import subprocess
import sys

import pytest

from core.config import plugins
from core.errors import UserError

EVERY = [(kind, name) for kind in plugins.ENTRY for name in plugins.names(kind)]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_options_read_from_source_are_those_of_the_imported_entry(kind, name):
    parameters = inspect.signature(plugins.load(kind, name)).parameters.values()
    keyword_only = [one for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]
    read = plugins.options(kind, name)
    assert [one.name for one in read] == [one.name for one in keyword_only]
    for option, parameter in zip(read, keyword_only, strict=True):
        assert option.required == (parameter.default is inspect.Parameter.empty)
        assert option.required or option.default == parameter.default


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_plug_in_says_what_it_is(kind, name):
    assert len(plugins.summary(kind, name)) > 20


def test_options_are_read_without_importing_the_plug_in(tmp_path):
    plug_in = tmp_path / "mine.py"
    plug_in.write_text(
        "raise RuntimeError('imported')\nclass Method:\n    def __init__(self, setting, *, weight: float = 2.0): ...\n"
    )
    (option,) = plugins.options("methods", str(plug_in))
    assert (option.name, option.type, option.default) == ("weight", float, 2.0)


def test_checking_a_study_needs_no_torch():
    code = (
        "import sys; from core.config import plugins\n"
        "for kind in plugins.ENTRY:\n"
        "    for name in plugins.names(kind): plugins.options(kind, name)\n"
        "print([one for one in ('torch', 'numpy', 'sklearn', 'ray') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_users_file_is_loaded_and_hides_nothing(tmp_path):
    plug_in = tmp_path / "nt_xent.py"
    plug_in.write_text("class Loss:\n    theirs = True\n")
    with pytest.raises(UserError, match=r"neither named by you .* --plug-in"):
        plugins.load("losses", str(plug_in))
    plugins.allow_named(plug_in)
    assert plugins.load("losses", str(plug_in)).theirs
    assert not hasattr(plugins.load("losses", "nt-xent"), "theirs")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist"),
        ("def Method(: pass", "is not a Python file"),
        ("class Methode: ...", "does not define 'Method'"),
        ("class Method:\n    def __init__(self, s, *, a): ...", "line 2: the option 'a' needs a type"),
        ("class Method:\n    def __init__(self, s, *, a: Tensor = 1): ...", "line 2: the option 'a' needs a type"),
        ("class Method:\n    def __init__(self, s, *, a: int = one()): ...", "a literal default"),
    ],
)
def test_a_users_file_that_cannot_serve_is_named(tmp_path, text, words):
    plug_in = tmp_path / "mine.py"
    if text is not None:
        plug_in.write_text(text)
    with pytest.raises(UserError, match=words) as error:
        plugins.options("methods", str(plug_in))
    assert str(plug_in) in str(error.value)


def test_a_wrong_name_gets_the_nearest_and_all():
    with pytest.raises(UserError, match=r"'ccc' is none of the methods; did you mean 'cc'\?; known: .*cc"):
        plugins.options("methods", "ccc")
