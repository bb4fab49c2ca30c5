"""A real Slurm of two nodes on this machine, each with its own processes, network, host name and temporary folders."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Self

HOSTS = {"n1": "10.77.0.1", "n2": "10.77.0.2"}
UNSHARE = ("unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--mount-proc")
TOOLS = ("slurmctld", "slurmd", "munged", "sbatch", "unshare", "nsenter", "ip")

# `ray stop`, at the end of a job, ends every Ray that it sees: only those of its own node, in a namespace of its own.
# Debian's Slurm wants one host name per slurmd, and two nodes of one Ray need an address each.
NODE = """
set -e
folder=$1
hostname "$2"
mkdir -p /tmp/ray
mount -t tmpfs none /tmp/ray
mount -t tmpfs none /run
mount --bind "$folder/hosts" /etc/hosts
ip link set lo up
until ip link show eth &> /dev/null; do sleep 0.1; done
ip address add "$3/24" dev eth
ip link set eth up
mkdir -m 755 /run/munge
install -m 400 "$folder/munge.key" /run/munge/key
munged --foreground --force --key-file=/run/munge/key --seed-file=/run/munge/seed --log-file=/run/munge/log \
  --pid-file=/run/munge/pid > "$folder/$2.munged" 2>&1 &
until [[ -S /run/munge/munge.socket.2 ]]; do sleep 0.1; done
[[ $2 != n1 ]] || slurmctld -D -c > "$folder/slurmctld" 2>&1 &
slurmd -D > "$folder/$2.slurmd" 2>&1 &
wait
"""

# No systemd and no cgroup is needed; a requeued job does not wait for what a power cut may have left.
CONF = """
ClusterName=test
SlurmctldHost=n1({n1})
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
OverTimeLimit=0
KillWait=5
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=n1 NodeAddr={n1} CPUs=1 Gres=gpu:1 State=UNKNOWN
NodeName=n2 NodeAddr={n2} CPUs=1 Gres=gpu:1 State=UNKNOWN
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def lacking() -> str:
    """Why no Slurm can be started here; empty if one can."""
    if missing := [name for name in TOOLS if shutil.which(name) is None]:
        return f"{', '.join(missing)} is not installed (apt-get install slurm-wlm munge)"
    if os.geteuid() or subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode:
        return "this user may make no namespaces: nodes on one machine need them"
    return ""


class SlurmNodes:
    """A controller and two nodes that end with the with-block.

    Args:
        folder: Where they keep their files; jobs have it as their home.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        (self.folder / "state").mkdir()
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "hosts").write_text(
            "127.0.0.1 localhost\n" + "".join(f"{address} {name}\n" for name, address in HOSTS.items())
        )
        # A card is a file, which Slurm does not open.
        (self.folder / "gres.conf").write_text("NodeName=n1,n2 Name=gpu File=/dev/zero\n")
        (self.folder / "slurm.conf").write_text(CONF.format(folder=self.folder, **HOSTS))
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _start(self) -> None:
        for name, address in HOSTS.items():
            self._nodes[name] = subprocess.Popen(
                [*UNSHARE, "--kill-child", "bash", "-c", NODE, "node", str(self.folder), name, address],
                env=self._env,
            )
        self._inside = {name: self._first(node.pid) for name, node in self._nodes.items()}
        one, two = (str(pid) for pid in self._inside.values())
        ends = ["name", "eth", "netns", one, "type", "veth", "peer", "name", "eth", "netns", two]
        subprocess.run(["ip", "link", "add", *ends], check=True)
        self.wait_until(lambda: self("sinfo", "--noheader", "--format=%t %D", check=False).split() == ["idle", "2"])

    @property
    def _env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SLURM_"))}
        return kept | {"SLURM_CONF": str(self.folder / "slurm.conf"), "HOME": str(self.folder)}

    def _first(self, parent: int) -> int:
        """The first process in the namespaces of a node."""
        children = Path(f"/proc/{parent}/task/{parent}/children")
        self.wait_until(lambda: children.read_text().split())
        return int(children.read_text())

    def _end(self) -> None:
        for node in self._nodes.values():
            node.send_signal(signal.SIGKILL)  # and with it, by --kill-child, all that is in its namespaces
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(timeout=30)

    def __call__(self, *command: str, check: bool = True, **variables: str) -> str:
        """What a command on the first node prints."""
        enter = ["nsenter", "--target", str(self._inside["n1"]), "--all", f"--wd={self.folder}"]
        done = subprocess.run(
            [*enter, *command], env=self._env | variables, capture_output=True, text=True, check=False, timeout=300
        )
        assert not (check and done.returncode), done.stderr
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """What Slurm knows of a job."""
        told = self("scontrol", "--oneliner", "show", "job", number).split()
        return dict(one.split("=", 1) for one in told if "=" in one)

    def wait_until(self, condition, seconds: float = 300) -> None:
        """Until it holds; fails with what the daemons said."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.said()
            time.sleep(0.2)

    def said(self) -> str:
        """The last lines of each daemon and of each job."""
        files = sorted(one for one in self.folder.iterdir() if one.is_file() and one.stat().st_size < 10**6)
        logs = [one for one in files if one.name.endswith((".slurmd", ".munged", "slurmctld", ".out"))]
        return "\n".join(f"== {one.name}\n{one.read_text(errors='replace')[-3000:]}" for one in logs)
