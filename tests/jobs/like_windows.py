"""Runs `conclus` as on Windows: its own modules cannot import what only Unix has, nor use such functions and signals.

Other packages may: here they are those for Linux. The commands, a list of lists of words in JSON, are run one after the
other in this process, until one has another exit code than 0.
"""

import builtins
import json
import os
import signal
import sys

import conclus

UNIX = {"fcntl", "grp", "pwd", "resource", "termios"}
FUNCTIONS = ("fork", "geteuid", "getpgid", "getuid", "killpg", "pread", "pwrite", "sched_getaffinity", "setsid")
FLAGS = ("O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK")
SIGNALS = ("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2")

usual = builtins.__import__


def as_on_windows(name, its=None, *more, **named):
    if name in UNIX and (its or {}).get("__name__", "").partition(".")[0] in conclus.PACKAGES:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return usual(name, its, *more, **named)


builtins.__import__ = as_on_windows
for module, names in ((os, FUNCTIONS + FLAGS), (signal, SIGNALS)):
    for name in names:
        delattr(module, name)
os.environ["USERNAME"] = "ada"
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        conclus.main()
    except SystemExit as left:
        if left.code:
            raise
