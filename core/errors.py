"""The one error that is a person's to mend."""


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
        """The message."""
        return "\n".join(self.lines)
