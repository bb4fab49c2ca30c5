"""A study on a cluster whose trials come to harm, each in its own way: one row each says how; the others finish."""

import shutil
import subprocess

import pytest

from tests.faults.runs import SLOW

pytestmark = [pytest.mark.ray, pytest.mark.slow]

HARMS = "space: {method.harm: {grid: [hang, hang_once, crash, nan, memory, none]}}\n"
LIMITS = "resources: {timeout_minutes: 0.2, memory_gb: 0.5}\n"
REASONS = ("DIVERGED: ", "ERROR: RuntimeError: mine broke", "OUT_OF_MEMORY: ", "TIMEOUT: ")


def test_what_happens_to_a_trial_is_its_own_and_is_mended_by_running_it_again(cluster, on_cluster, command):
    on_cluster.prepare(SLOW.format(pause=0.2, epochs=4, seeds=[0]) + HARMS + LIMITS)
    code, _, err = on_cluster.start("--address", cluster.address).end()
    assert code == 1
    for reason in REASONS:
        assert sum(": " + reason in line for line in err.splitlines() if " failed: " in line) == 1
    assert "TIMEOUT: it finished no epoch within 0.2 minutes" in err
    assert "4 trials failed" in err
    before = on_cluster.done()
    assert len(before) == 2
    on_cluster.check_whole(before, failed=REASONS)
    on_cluster.mend()
    code, _, err = on_cluster.go_on(command)
    assert code == 0, err
    on_cluster.check_whole(before)


def test_a_node_that_lacks_the_data_fails_its_trials_alone(cluster, on_cluster):
    on_cluster.prepare(SLOW.format(pause=1.0, epochs=4, seeds=[0, 1, 2, 3]))
    hide = f'mount -t tmpfs none {on_cluster.path}/data || exit 77; exec "$@"'
    within = ("unshare", "-rm", "sh", "-c", hide, "sh")
    if not shutil.which("unshare") or subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a disk of their own")
    cluster.add("bare", within=within)
    try:
        code, _, err = on_cluster.start("--address", cluster.address).end()
    finally:
        cluster.kill("bare")
    assert code == 1
    (line,) = (one for one in err.splitlines() if " failed: " in one)
    assert "BAD_INPUT: " in line
    assert "mine.npz" in line
    assert "1 trial failed" in err
    on_cluster.check_whole({}, failed=("BAD_INPUT: ",))


def test_where_the_first_trials_fail_alike_no_other_is_started(cluster, on_cluster):
    on_cluster.prepare(SLOW.format(pause=0.2, epochs=3, seeds=list(range(12))))
    broken = ("--address", cluster.address, "--workers", "2", "--set", "method.harm=crash")
    code, _, err = on_cluster.start(*broken).end()
    assert code == 1
    (line,) = (one for one in err.splitlines() if one.startswith("paused"))
    assert "the first trials all failed for the same reason (ERROR: RuntimeError: mine broke)" in line
    assert 3 <= len([row for row in on_cluster.rows() if row["status"] == "failed"]) < 12
