"""Questions about a table that only the user can answer, and the answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from core.errors import UserError

UNITS = ("percent", "fraction")


@dataclass(frozen=True, slots=True)
class Question:
    """One question that only the user can answer.

    Attributes:
        text: The question, with its file and column.
        option: The option that answers it, such as `--map`.
        prefix: The text before the answer, such as `dropout=`.
        answers: The possible answers.
    """

    text: str
    option: str
    prefix: str
    answers: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The question with the options that answer it."""
        *first, last = (self._option(answer) for answer in self.answers)
        return f"{self.text} Say {', '.join(first)} or {last}."

    def _option(self, answer: str) -> str:
        word = f"{self.prefix}{answer}"
        return f"{self.option} {word}" if word.isidentifier() else f"{self.option} '{word}'"


@dataclass(frozen=True, slots=True)
class Answers:
    """The user's answers.

    Attributes:
        mapping: The meaning of columns, by header.
        units: `percent` or `fraction` by header; the empty header stands for the whole table.
        brackets: How to read a number in brackets after another: `spread`, `ignore`, or empty without an answer.
        cells: What a cell should say, by `LINE:HEADER`.
        constants: Parameters of the rows that do not say them, by key.
        below: What a line below a table that names a run of its own is: `run`, `note`, or empty without an answer.
    """

    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    units: Mapping[str, str] = field(default_factory=dict[str, str])
    brackets: str = ""
    cells: Mapping[str, str] = field(default_factory=dict[str, str])
    constants: Mapping[str, str] = field(default_factory=dict[str, str])
    below: str = ""

    def unit(self, header: str) -> str:
        """The unit of a column; empty without an answer."""
        return self.units.get(header) or self.units.get("", "")

    def check(self, headers: Collection[str], source: str) -> None:
        """Checks that each unit belongs to a column.

        Raises:
            UserError: There is no such column.
        """
        for header in self.units:
            if header and header not in headers:
                raise UserError(
                    f"--unit {header}=…: {source} has no column {header!r}; there are: {', '.join(headers)}."
                )

    def also(self, question: Question, answer: str) -> Answers:
        """A copy with one more answer."""
        header = question.prefix.removesuffix("=")
        if question.option == "--map":
            return replace(self, mapping={**self.mapping, header: answer})
        if question.option == "--unit":
            return replace(self, units={**self.units, header: answer})
        if question.option == "--cell":
            return replace(self, cells={**self.cells, header: answer})
        return replace(self, below=answer) if question.option == "--below" else replace(self, brackets=answer)
