"""The READMEs and the pages of docs as blocks of text, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
# The reference is made from the program, and holds no commands to run.
PAGES = [*READMES, *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "reference")]
# A block is a file where the text before it ends in the file's name.
_BLOCK = re.compile(r"(?:`([\w-]+\.\w+)`[:\uff1a]\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(conclus [^`…]+)`")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the name of the file that it is (else empty), and its text."""

    language: str
    title: str
    text: str


def name_of(page: Path) -> str:
    """The page as it is called in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, in order."""
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(language, title, text) for title, language, text in found]


def headings(page: Path) -> list[str]:
    """The marks of all headings, in order: `#`, `##`, …; lines inside of blocks are none."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return re.findall(r"^(#+) ", text, flags=re.MULTILINE)


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each command of `conclus` in a block of a shell, without `conclus` and what stands before it."""
    if block.language != "sh":
        return
    for line in block.text.splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words[:2] == ["uv", "run"]:
                words = words[2:]
            if words[:1] == ["conclus"]:
                yield words[1:]


def mentioned(page: Path) -> list[list[str]]:
    """The words of each command that stands in the text itself, without `conclus`."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    return [shlex.split(" ".join(found.split()))[1:] for found in _INLINE.findall(text)]
