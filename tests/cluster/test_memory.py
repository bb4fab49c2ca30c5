"""The bound on a task's memory, on a real process."""

import subprocess
import sys

import pytest

from cluster import memory
from cluster.executor import ClusterError

CODE = """
import resource
from cluster import memory
before = resource.getrlimit(resource.RLIMIT_DATA)
with memory.at_most({extra}):
    try:
        held = bytearray({wanted})
        print("got it")
    except MemoryError:
        print("refused")
assert resource.getrlimit(resource.RLIMIT_DATA) == before
held = bytearray(400_000_000)
print("free again")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts private memory on Linux alone")
@pytest.mark.parametrize(
    ("extra", "wanted", "said"),
    [(200_000_000, 100_000_000, "got it"), (200_000_000, 300_000_000, "refused"), (None, 300_000_000, "got it")],
)
def test_a_block_gets_its_share_and_no_more(root, extra, wanted, said):
    command = [sys.executable, "-c", CODE.format(extra=extra, wanted=wanted)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [said, "free again"]


def test_where_it_cannot_be_kept_a_limit_is_refused(monkeypatch):
    memory.check(1.0)
    monkeypatch.setattr(sys, "platform", "darwin")
    memory.check(None)
    with pytest.raises(ClusterError, match="on Linux only"):
        memory.check(1.0)
