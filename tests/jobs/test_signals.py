"""Ctrl-C while trials run: it asks them to stop, whatever the process is just doing."""

import io
import os
import signal

from pyarrow import csv

from cluster.executor import Stop
from jobs.execution.console import _stopped_by_signals


class Interrupted(io.BytesIO):
    """A file during whose reading Ctrl-C is pressed once."""

    pressed = False

    def read(self, *size):
        if not self.pressed:
            self.pressed = True
            os.kill(os.getpid(), signal.SIGINT)
        return super().read(*size)


def test_ctrl_c_while_arrow_reads_a_file_stops_the_trials_and_not_the_reading(capsys):
    stop = Stop()
    with _stopped_by_signals(stop, is_quiet=False):
        table = csv.read_csv(Interrupted(b"a,b\n1,2\n"))
    assert table.num_rows == 1
    assert stop.signal == signal.SIGINT
    assert "stopping: running trials are being kept resumable" in capsys.readouterr().err
