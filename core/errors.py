"""The one error that is a person's to mend, and how numbers of things are said."""


class UserError(Exception):
    """What the user gave is wrong: printed without a traceback, exit code 2.

    The message is one or more whole lines, each saying what is wrong, where, and what would be right.
    """


def counted(number: int, noun: str, verb: str = "") -> str:
    """`1 trial`, `4 trials`; with the verb `are` or `were`, `1 trial is`, `4 trials are`."""
    said = f"{number:,} {noun}{'s' * (number != 1)}"
    return f"{said} {verb if number != 1 else {'are': 'is', 'were': 'was'}[verb]}" if verb else said
