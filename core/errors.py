"""The error for mistakes that the user can correct, and how numbers of things are said."""

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(10), *range(11, 32), *range(127, 160))}


class UserError(Exception):
    """What the user gave is wrong: printed without a traceback, exit code 2.

    Its arguments are one or more whole lines, each saying what is wrong, where, and what would be right. What looks
    like a new line within one of them comes from a file or its name, and is shown as such.
    """

    @property
    def lines(self) -> tuple[str, ...]:
        """The message, line by line."""
        return tuple(map(str, self.args))

    def __str__(self) -> str:
        """The message; what would move a cursor is escaped, as names in it may come from a stranger's results."""
        return "\n".join(self.lines).translate(_CONTROLS)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the message alone, with what would move a cursor escaped."""
        return [f"{type(self).__name__}: {''.join(map(_printable, line))}" for line in self.lines]


def _printable(sign: str) -> str:
    return sign if sign.isprintable() else sign.encode("unicode_escape").decode()


class DataError(UserError):
    """A file of data, or an object in a store, cannot be read as the study says: another machine may have another."""


def counted(number: int, noun: str, verb: str = "") -> str:
    """`1 trial`, `4 trials`; with the verb `are`, `were` or `have`, `1 trial is`, `4 trials are`."""
    said = f"{number:,} {noun}{'s' * (number != 1)}"
    return f"{said} {verb if number != 1 else {'are': 'is', 'were': 'was', 'have': 'has'}[verb]}" if verb else said
