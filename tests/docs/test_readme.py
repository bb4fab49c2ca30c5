"""Both READMEs say the same, name everything there is, and are short."""

import re

import pytest

import conclus
from core import registry
from tests.docs.pages import READMES, blocks, headings

ENGLISH, CHINESE = READMES


def test_readme_is_short():
    assert ENGLISH.read_text(encoding="utf-8").count("\n") < 130


def test_both_have_the_same_headings_commands_and_links():
    assert headings(ENGLISH) == headings(CHINESE)
    assert [(one.language, one.title) for one in blocks(ENGLISH)] == [
        (one.language, one.title) for one in blocks(CHINESE)
    ]
    same = zip(blocks(ENGLISH), blocks(CHINESE), strict=True)
    for english, chinese in same:
        assert without_comments(english.text) == without_comments(chinese.text)
    assert links(ENGLISH) - {"README.zh-CN.md"} == links(CHINESE) - {"README.md"}


def without_comments(text):
    return [re.sub(r" +# .*", "", line) for line in text.splitlines()]


def links(page):
    return set(re.findall(r"\]\((.+?)\)|src=\"(.+?)\"", page.read_text(encoding="utf-8"))) - {
        ("README.md", ""),
        ("README.zh-CN.md", ""),
    }


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_every_command_and_method_is_named(page):
    text = page.read_text(encoding="utf-8")
    names = [*conclus.cli.list_commands(conclus.click.Context(conclus.cli)), *registry.names("methods")]
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_both_show_the_same_numbers(page):
    rows = [
        line.split("|")[2:] for line in page.read_text(encoding="utf-8").splitlines() if "±" in line and "|" in line
    ]
    assert len(rows) == 5
    assert rows == [
        line.split("|")[2:] for line in ENGLISH.read_text(encoding="utf-8").splitlines() if "±" in line and "|" in line
    ]
