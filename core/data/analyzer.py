"""Splits a text into the terms that TF-IDF counts: words, characters, words found by jieba, or by your own function.

Chinese, Japanese, Thai and others are written without spaces: without a split, a whole clause would count as one word.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import PurePath
from typing import Any

from core.config import plugins
from core.data.dataset import cache_folder, content_hash, user_path
from core.errors import UserError

NAMES = ("word", "char", "chinese")
# Scripts without spaces, and the most letters that a word has on average if there are spaces between words:
# Hiragana, Katakana and Han; Thai, Lao, Myanmar and Khmer, which write each sound.
_SCRIPTS = (
    (re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"), 3),
    (re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"), 8),
)
# In any script, a text of one word with more letters than this is not a word: it is a sequence, a code or a clause.
_LONGEST = 24
_INSTALL = "`uv sync --extra chinese --inexact --no-dev`"

Split = Callable[[str], Sequence[str]]


def file_of(analyzer: str) -> tuple[str, str] | None:
    """The file and the function in `PATH.py:function`; None if the name has another form."""
    path, _, function = analyzer.rpartition(":")
    return (path, function) if path.endswith(".py") else None


def identity(analyzer: str | None) -> list[str]:
    """The parts of a fingerprint that identify an analyzer; your own file counts by its content, `word` adds nothing.

    Raises:
        UserError: the analyzer is unknown, its file cannot be read, or jieba is not installed.
    """
    if analyzer in {None, "word"}:
        return []
    if analyzer == "chinese":
        return ["chinese", _jieba_version()]
    if analyzer is not None and (named := file_of(analyzer)):
        file = user_path(named[0])
        if not file.is_file():
            raise UserError(f"data.analyzer: {named[0]} is not a file: name a function as PATH.py:function")
        return [PurePath(file).name, content_hash(file), named[1]]
    if analyzer == "char":
        return ["char"]
    raise UserError(f"data.analyzer: {analyzer!r} is unknown: use {', '.join(NAMES)}, or PATH.py:function")


def settings(analyzer: str | None) -> dict[str, Any]:
    """The analyzer as arguments of scikit-learn's vectorizers.

    Raises:
        UserError: jieba is not installed, or the file does not define the function or may not be run.
    """
    if analyzer == "char":
        return {"analyzer": "char", "ngram_range": (1, 2)}
    if analyzer == "chinese":
        return {"analyzer": _chinese()}
    if analyzer is not None and (named := file_of(analyzer)):
        return {"analyzer": functools.partial(_own, plugins.file_function(*named), analyzer)}
    return {}


def told(texts: Sequence[str], analyzer: str | None) -> tuple[str, ...]:
    """Notes for the user on texts that are split into words.

    Raises:
        UserError: most texts are one word each, and `analyzer` is not set.
    """
    share = one_word_share(texts)
    if share < 0.005 or analyzer not in {None, "word"}:
        return ()
    said = f"{share:.0%} of the texts are one word each, without spaces between words"
    if share > 0.5 and analyzer is None:
        raise UserError(
            f"data.analyzer: {said} (as in Chinese, Japanese and Thai): set `analyzer: char` (characters and pairs of "
            "them), `chinese` (words found by jieba), PATH.py:function (your own), or `word` to split at spaces anyway"
        )
    return (said,)


def one_word_share(texts: Sequence[str]) -> float:
    """The share of texts without spaces between words, in 0..1."""
    return sum(map(_is_one_word, texts)) / len(texts)


def _is_one_word(text: str) -> bool:
    words = text.split()
    return (len(words) == 1 and len(words[0]) > _LONGEST) or any(
        _runs_on(words, letter, most) for letter, most in _SCRIPTS
    )


def _runs_on(words: Sequence[str], letter: re.Pattern[str], most: int) -> bool:
    """Whether words are mostly in a script and too long for it."""
    letters = [len(letter.findall(word)) for word in words]
    return 2 * sum(letters) > sum(map(len, words)) and sum(letters) > most * sum(one > 0 for one in letters)


def _jieba_version() -> str:
    try:
        return metadata.version("jieba")
    except metadata.PackageNotFoundError as error:
        raise UserError(f"data.analyzer: chinese needs jieba, which is not installed: {_INSTALL}") from error


@functools.lru_cache(maxsize=1)
def _chinese() -> Split:
    """The function that splits a text with jieba: words in small letters, without punctuation."""
    _jieba_version()
    with warnings.catch_warnings():  # Python has something to say on the way it is written.
        warnings.simplefilter("ignore")
        jieba: Any = importlib.import_module("jieba")
    jieba.setLogLevel(logging.WARNING)
    tokenizer = jieba.Tokenizer()
    # By default its dictionary is kept in a folder of the system that others can write, and read from there unchecked.
    folder = cache_folder() / "jieba"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.tmp_dir = str(folder)
    return lambda text: [word for word in tokenizer.cut(text.lower()) if any(map(str.isalnum, word))]


def _own(split: Split, name: str, text: str) -> list[str]:
    try:
        words = list(split(text))
    except Exception as error:
        raise UserError(f"data.analyzer: {name} failed: {type(error).__name__}: {error}") from error
    if {type(word) for word in words} - {str}:
        raise UserError(f"data.analyzer: {name} must return a list of strings for a text")
    return words
