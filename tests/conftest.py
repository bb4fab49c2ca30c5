"""What all tests share: one thread, small data, and where the repository and the real data sets are."""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

import conclus
from tests.cluster.nodes import Nodes, new_token

# One thread, as trials run; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Below `uv run pytest` every worker would get a copy of this folder and an installation of its own; read by Ray when it
# is imported, which some tests do before `connect.settings` holds.
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")

# Where the environment forbids it, too, compiled files are kept: some hundreds of processes would each compile conclus
# again, and each of the tests' own would take the assertions of all tests apart.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The machine may be busy: a slow example is no finding, nor are examples that are slow to make.
for _name, _examples in (("conclus", 60), ("counts", 600)):
    settings.register_profile(
        _name, deadline=None, max_examples=_examples, suppress_health_check=[HealthCheck.too_slow]
    )

ROOT = Path(__file__).resolve().parents[1]


# In a shell's background Ctrl-C is ignored, also by whatever the tests start: those that press it would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def has_full_counts(config: pytest.Config) -> bool:
    """Whether tests that count over simulated studies or made-up inputs count over ten times as many."""
    return "counts" in config.getoption("markexpr")


def pytest_configure(config: pytest.Config) -> None:
    """How many examples Hypothesis makes of each test that names no number of its own."""
    settings.load_profile("counts" if has_full_counts(config) else "conclus")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those that need Ray come first: they take longest, and `FromBothEnds` keeps one process off them.

    The file that keeps a process for minutes comes before all others. What has another number of repeats with
    `-m counts` gets that marker; what runs with `-m counts` alone (`one_of_each`) is left out without it.
    """
    items.sort(key=lambda item: (not item.get_closest_marker("ray"), item.path.name != "test_submit.py"))
    for item in items:
        if isinstance(item, pytest.Function) and (
            "repeats" in item.fixturenames or hasattr(item.function, "hypothesis")
        ):
            item.add_marker(pytest.mark.counts)
    if not has_full_counts(config):
        left_out = [one for one in items if any(mark.kwargs for mark in one.iter_markers("counts"))]
        items[:] = [one for one in items if one not in left_out]
        config.hook.pytest_deselected(items=left_out)


class FromBothEnds(LoadFileScheduling):
    """Gives files to processes in their order, but to the last process from the end.

    So it computes while the others mostly wait for Ray. Tests that name UMAP are given to one process as one file: each
    process that uses it compiles it again, for ten seconds, and where it is new, for half a minute. The claims of the
    audit share nothing and come late: one by one they end the run of all processes at the same time.
    """

    def _split_scope(self, nodeid: str) -> str:
        if "::test_no_rate_lies_beyond_its_bound[" in nodeid:
            return nodeid
        return "umap" if "umap" in nodeid else super()._split_scope(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if node is self.nodes[-1]:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FromBothEnds | None:
    """The order in which processes get files, with `--dist=loadfile`."""
    return FromBothEnds(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests of what only a graphics card does are skipped where torch sees none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("torch sees no graphics card here")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def repeats(pytestconfig: pytest.Config) -> Callable[[int], int]:
    """How many studies a test simulates: as many as it asks for, with `-m counts` ten times as many."""
    factor = 10 if has_full_counts(pytestconfig) else 1
    return lambda count: factor * count


class Command:
    """Runs `conclus` in this process, as the console script does: exit code, standard output, standard error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        self.monkeypatch.setattr(sys, "argv", ["conclus", *map(str, arguments)])
        self.capsys.readouterr()
        handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        try:
            conclus.main()
            code = 0
        except SystemExit as leave:
            code = leave.code if isinstance(leave.code, int) else 1
        finally:
            signal.signal(signal.SIGINT, handlers[0])
            signal.signal(signal.SIGTERM, handlers[1])
        out, err = self.capsys.readouterr()
        return code, out, err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`conclus`, run in this process."""
    return Command(monkeypatch, capsys)


@pytest.fixture(scope="session")
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The names of folders that are not there yet: `mktemp` would look at all that there are, each time."""
    above = tmp_path_factory.mktemp("homes")
    return (above / str(number) for number in itertools.count())


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    """Two nodes of a real cluster, `head` with an `hdd` and `one` with an `ssd`, for tests that leave them alone."""
    with Nodes(token=new_token(), head=("--resources", '{"hdd": 1}')) as started:
        started.add("one", "--resources", '{"ssd": 1}')
        yield started


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """A real S3 server on this machine, with a bucket called `bucket`: its host and port."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "{}:{}".format(*server.get_host_and_port())
    urllib.request.urlopen(urllib.request.Request(f"http://{address}/bucket", method="PUT")).close()
    yield address
    server.stop()


@pytest.fixture
def s3(s3_server: str) -> Callable[[], str]:
    """Makes addresses of new, empty prefixes in the bucket."""
    return lambda: f"s3://key:secret@bucket/{secrets.token_hex(4)}?scheme=http&endpoint_override={s3_server}"


@pytest.fixture(autouse=True)
def _own_cache(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Fingerprints are cached in the user's folder: not in that of whoever runs the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(next(_homes)))


@pytest.fixture(autouse=True)
def _own_state(_homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes what conclus knows of the person who runs it, or lets a plug-in run for the next one."""
    from core.config import plugins

    monkeypatch.setenv("XDG_STATE_HOME", str(next(_homes)))
    monkeypatch.setattr(plugins, "_allowed", set())


@pytest.fixture
def foreign_store(monkeypatch):
    """A host that notes the requests that it gets and refuses them: its port, and their paths."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    asked = []

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port, asked
        server.shutdown()
