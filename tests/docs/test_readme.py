"""Both READMEs say the same, name everything there is, and are short."""

import re

import pytest

import conclus
from core.config import plugins as registry
from tests.docs.pages import READMES, blocks, headings

ENGLISH, CHINESE = READMES
TEXTS = [page.read_text(encoding="utf-8") for page in READMES]


def test_readme_is_short():
    assert TEXTS[0].count("\n") < 130


def test_both_have_the_same_headings_and_commands():
    assert headings(ENGLISH) == headings(CHINESE)
    for english, chinese in zip(blocks(ENGLISH), blocks(CHINESE), strict=True):
        assert (english.language, english.title) == (chinese.language, chinese.title)
        assert without_comments(english.text) == without_comments(chinese.text)


def without_comments(text):
    return [re.sub(r" +# .*", "", line) for line in text.splitlines()]


def test_both_have_the_same_links_and_lead_to_each_other():
    english, chinese = (set(re.findall(r"\]\((.+?)\)", text)) for text in TEXTS)
    assert english - chinese == {CHINESE.name}
    assert chinese - english == {ENGLISH.name}


def test_both_show_the_same_measurements():
    rows = re.compile(r"\|.*\d / \.\d")
    english, chinese = ([row.split("|")[2:] for row in text.splitlines() if rows.match(row)] for text in TEXTS)
    assert len(english) == 4
    assert english == chinese


@pytest.mark.parametrize("text", TEXTS, ids=[page.name for page in READMES])
def test_every_command_and_method_is_named(text):
    names = [*conclus.cli.list_commands(conclus.click.Context(conclus.cli)), *registry.names("methods")]
    assert [name for name in names if f"`{name}`" not in text] == []
