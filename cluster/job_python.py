"""Tells the command of a job which Python the cluster runs; `cluster.submit.Jobs` has it called on the head."""

import os
import sys

VARIABLE = "CONCLUS_PYTHON"


def tell() -> None:
    """Sets VARIABLE to this process's interpreter, for the processes that it starts.

    The process that starts a job's command is one of Ray's workers, so it has the interpreter that `ray start` had on
    the head. The head's PATH may name another Python, or none.
    """
    os.environ[VARIABLE] = sys.executable
