"""The error for mistakes that the user can correct."""


class UserError(Exception):
    """What the user gave is wrong: printed without a traceback, exit code 2.

    The message is one or more whole lines, each saying what is wrong, where, and what would be right.
    """
