"""500 kills at random moments, three quarters of an hour: `pytest -n0 -m storm -s`.

`STORM_KILLS` sets how many, `STORM_SEED` repeats the draws of an earlier storm, whose seed it prints.
"""

import os
import random
import secrets
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.storm import LANES, SHARES, RayRun, Scene

pytestmark = [pytest.mark.storm, pytest.mark.ray, pytest.mark.slow]


def test_a_storm_of_kills_loses_nothing_doubles_nothing_and_leaves_no_debris(tmp_path):
    kills = int(os.environ.get("STORM_KILLS", "500"))
    seed = int(os.environ.get("STORM_SEED", secrets.randbelow(2**32)))
    say(f"\nSTORM_SEED={seed} STORM_KILLS={kills}")
    scenes = {kind: kind(tmp_path, random.Random(f"{seed} {kind.name}")) for kind in SHARES}
    with ThreadPoolExecutor(len(LANES)) as pool:
        list(pool.map(lambda lane: [brew(scenes[kind], kills) for kind in lane], LANES))
    tallies = [one.tally for one in scenes.values()]
    assert not [sentence for one in tallies for sentence in one.wrong]
    assert sum(one.orphans_left for one in tallies) == 0
    assert sum(one.kills for one in tallies) >= kills
    assert scenes[RayRun].tally.kills >= kills // 10
    # Where none was ever left by a kill, that none is left at the end says nothing.
    assert kills < 300 or sum(one.orphans_seen for one in tallies) > 0


def brew(scene: Scene, kills: int) -> None:
    """One command's share of the storm, and a line about it."""
    began = time.monotonic()
    scene.strike(-(-int(1000 * SHARES[type(scene)]) * kills // 1000))
    tally = scene.tally
    say(
        f"{scene.name}: {tally.kills} strikes ({dict(tally.signals)}) in {time.monotonic() - began:.0f} s; came "
        f"through {tally.through} times; {tally.repeated} epochs repeated; temporary files: {tally.orphans_seen} seen, "
        f"{tally.orphans_left} left; {len(tally.wrong)} wrong"
    )


def say(line: str) -> None:
    """To whoever waits for it with `-s`."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
