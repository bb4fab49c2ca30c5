"""What TF-IDF counts of texts: words, characters, words of Chinese, or what a function of one's own says."""

import csv
import importlib.util
import random
from importlib import metadata

import numpy as np
import pytest

from core.config import plugins
from core.data import analyzer
from core.data.dataset import cache_folder
from core.datasets import pairs, text
from core.errors import UserError

WORDS = [["股票", "银行", "利率", "基金", "投资"], ["足球", "比赛", "球员", "教练", "进球"]]
WITHOUT = importlib.util.find_spec("jieba") is None


def table(file, *, glue="", numbered=False):
    """Two hundred texts of six words each, of two topics; `numbered` puts a target of its own beside each."""
    draw = random.Random(0)
    rows = [(glue.join(draw.choices(WORDS[i % 2], k=6)), i if numbered else i % 2) for i in range(200)]
    with file.open("w", encoding="utf-8") as stream:
        csv.writer(stream).writerows([["text", "target" if numbered else "label"], *rows])
    return str(file)


def apart(data):
    """By how much texts of one topic are more alike than others."""
    same, similarity = data.labels[:, None] == data.labels, data.samples @ data.samples.T
    return similarity[same].mean() - similarity[~same].mean()


def own(tmp_path, body):
    file = tmp_path / "cut.py"
    file.write_text(body, encoding="utf-8")
    plugins.allow_named(file)
    return f"{file}:cut"


@pytest.mark.parametrize(
    ("written", "share"),
    [
        ("我们昨天认为股票市场可能下跌", 1),
        ("苹果发布新手机 iPhone 15 今天上市销售", 1),
        ("今日は天気がいいですね。　散歩に行きましょう", 1),
        ("ประเทศไทยมีอากาศร้อนมาก และฝนตกบ่อยทุกวัน", 1),
        ("股票市场", 1),
        ("ACGTTGCAACGTTGCAACGTTGCAACGT", 1),
        ("apple", 0),
        ("足球", 0),
        ("我们 昨天 认为 股票 市场 可能 下跌", 0),
        ("ประเทศ ไทย มี อากาศ ร้อน มาก", 0),
        ("오늘 날씨가 정말 좋습니다", 0),
        ("the word 股票市场投资 is Chinese and means something", 0),
    ],
)
def test_texts_of_one_word_are_known(written, share):
    assert analyzer.one_word_share([written]) == share
    assert analyzer.one_word_share([written, "two words", "two words", "two words"]) == share / 4


def test_texts_without_spaces_are_refused_with_what_to_write(tmp_path):
    with pytest.raises(UserError, match=r"100% of the texts are one word each.*analyzer: char.*chinese.*PATH\.py"):
        text.load(path=table(tmp_path / "zh.csv"))
    assert text.load(path=table(tmp_path / "spaced.csv", glue=" "), dimensions=1).notes == (
        "the texts are the column text",
    )


def test_words_are_taken_where_they_are_meant_and_the_share_is_told(tmp_path):
    data = text.load(path=table(tmp_path / "zh.csv"), analyzer="word")
    assert any("100% of the texts are one word each" in one for one in data.notes)


def test_a_share_below_half_is_told(tmp_path):
    (tmp_path / "some.csv").write_text("text\n" + "one two\n" * 2 + "three four\n股票银行利率\n", encoding="utf-8")
    assert any("25% of the texts" in one for one in text.load(path=str(tmp_path / "some.csv")).notes)


def test_characters_tell_topics_apart_where_there_are_no_words(tmp_path):
    path = table(tmp_path / "zh.csv")
    by = {one: apart(text.load(path=path, analyzer=one, dimensions=4, scale="none")) for one in ("word", "char")}
    assert by["char"] > 0.5 > by["word"]


@pytest.mark.skipif(WITHOUT, reason="jieba is not installed")
def test_chinese_finds_the_words_and_keeps_its_dictionary_where_no_other_can_write(tmp_path):
    analyzer._chinese.cache_clear()  # Another test of this process may have made it, with a cache of its own.
    found = text.load(path=table(tmp_path / "zh.csv"), analyzer="chinese", dimensions=4, scale="none")
    assert apart(found) > 0.5
    assert list((cache_folder() / "jieba").iterdir())


def test_a_missing_jieba_comes_with_the_line_that_installs_it(tmp_path, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(UserError, match="uv sync --extra chinese"):
        text.fingerprint(path=table(tmp_path / "zh.csv"), analyzer="chinese")


def test_a_function_of_ones_own_splits_texts(tmp_path):
    path = table(tmp_path / "zh.csv")
    name = own(tmp_path, "def cut(text):\n    return [text[i : i + 2] for i in range(0, len(text), 2)]\n")
    ours = text.load(path=path, analyzer=name, dimensions=4, scale="none")
    spaced = text.load(path=table(tmp_path / "spaced.csv", glue=" "), dimensions=4, scale="none")
    np.testing.assert_allclose(np.abs(ours.samples), np.abs(spaced.samples), atol=1e-5)


def test_a_function_of_a_file_that_nobody_named_is_not_run(tmp_path):
    (tmp_path / "trap.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef cut(text): return [text]\n")
    with pytest.raises(UserError, match="--plug-in"):
        text.load(path=table(tmp_path / "zh.csv"), analyzer=f"{tmp_path / 'trap.py'}:cut")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("def cut(text):\n    return 1 / 0\n", "failed: ZeroDivisionError"),
        ("def cut(text):\n    return [1, 2]\n", "must return a list of strings"),
        ("def other(text):\n    return [text]\n", "does not define 'cut'"),
    ],
)
def test_a_function_that_does_not_do_is_named(tmp_path, body, words):
    with pytest.raises(UserError, match=words):
        text.load(path=table(tmp_path / "zh.csv"), analyzer=own(tmp_path, body))


@pytest.mark.parametrize(("name", "words"), [("wrod", "unknown"), ("nowhere.py:cut", "can be read")])
def test_an_unknown_analyzer_is_named_before_anything_is_read(tmp_path, name, words):
    with pytest.raises(UserError, match=words):
        text.fingerprint(path=table(tmp_path / "zh.csv"), analyzer=name)


def test_sentence_encoders_take_no_analyzer(tmp_path):
    with pytest.raises(UserError, match=r"data\.analyzer: minilm"):
        text.fingerprint(path=table(tmp_path / "zh.csv"), model="minilm", analyzer="char")


def test_the_analyzer_enters_the_fingerprint_by_content_and_words_are_the_default(tmp_path):
    path = table(tmp_path / "zh.csv")

    def known(name=None):
        return text.fingerprint(path=path, analyzer=name)

    assert known() == known("word")
    first = known(own(tmp_path, "def cut(text): return list(text)\n"))
    second = known(own(tmp_path, "def cut(text): return [text, *text]\n"))
    assert len({known(), known("char"), first, second}) == 4


def test_pairs_of_texts_take_an_analyzer(tmp_path):
    path = table(tmp_path / "zh.csv", numbered=True)
    options = {
        "path": path,
        "inputs": "text",
        "targets": "target",
        "texts": "inputs",
        "model": "tfidf",
        "dimensions": 4,
    }
    with pytest.raises(UserError, match="one word each"):
        pairs.load(**options)
    data = pairs.load(**options, analyzer="char")
    assert data.samples.shape == (200, 4)
    assert data.fingerprint == pairs.fingerprint(**options, analyzer="char")
    assert data.fingerprint != pairs.fingerprint(**options)
