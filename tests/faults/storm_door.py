"""`conclus`, whose trials leave a checkpoint after every epoch, so that a kill may cost one epoch at most.

Its disk is slow, so that kills also hit files that are half-written.
"""

import os
import time
from pathlib import Path

import conclus
from jobs.execution import dispatch, queue_runner

synced = os.fsync


def slowly(descriptor: int) -> None:
    time.sleep(0.015)
    synced(descriptor)


os.fsync = slowly
shared = dispatch.shared
dispatch.shared = lambda *arguments, **options: shared(*arguments, **options) | {"checkpoint_share": 1.0}
queue_runner.FRONT_DOOR = Path(__file__).resolve()

if __name__ == "__main__":
    conclus.main()
