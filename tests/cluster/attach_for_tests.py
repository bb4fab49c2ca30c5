"""A driver in a process of its own: `attach_for_tests.py ADDRESS LOG`; prints what it is attached to, or why not.

With PRETENDED_RAY in the environment it takes itself for one of that version of Ray.
"""

import os
import sys
from pathlib import Path

from cluster import connect
from cluster.executor import ClusterError


def main():
    if version := os.environ.get("PRETENDED_RAY"):
        with connect.settings():
            import ray

        ray.__version__ = version
    try:
        with connect.attached(sys.argv[1], Path(sys.argv[2])):
            names = sorted(node.name for node in connect.connected_nodes())
            sys.stdout.write(" ".join([os.environ["RAY_AUTH_MODE"], *names]) + "\n")
    except ClusterError as error:
        sys.stdout.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
