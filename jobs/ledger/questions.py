"""What a table does not say by itself, and what a person said about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from core.errors import UserError

UNITS = ("percent", "fraction")


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that nobody but a person knows.

    Attributes:
        text: The question, with its file and column.
        option: The option that answers it, such as `--map`.
        prefix: What stands before the answer, such as `dropout=`.
        answers: The words to choose from.
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
    """What a person said.

    Attributes:
        mapping: Header to what it becomes.
        units: Header to `percent` or `fraction`; the empty one is that of the whole table.
        brackets: What a number in brackets behind another is: `spread`, `ignore`, or empty where nobody said.
    """

    mapping: Mapping[str, str] = field(default_factory=dict[str, str])
    units: Mapping[str, str] = field(default_factory=dict[str, str])
    brackets: str = ""

    def unit(self, header: str) -> str:
        """That of a column; empty where nobody said."""
        return self.units.get(header) or self.units.get("", "")

    def check(self, headers: Collection[str], source: str) -> None:
        """See that each unit is of a column.

        Raises:
            UserError: There is no such column.
        """
        for header in self.units:
            if header and header not in headers:
                raise UserError(
                    f"--unit {header}=…: {source} has no column {header!r}; there are: {', '.join(headers)}."
                )

    def also(self, question: Question, answer: str) -> Answers:
        """With one more answer."""
        header = question.prefix.removesuffix("=")
        if question.option == "--map":
            return Answers({**self.mapping, header: answer}, self.units, self.brackets)
        if question.option == "--unit":
            return Answers(self.mapping, {**self.units, header: answer}, self.brackets)
        return Answers(self.mapping, self.units, answer)
