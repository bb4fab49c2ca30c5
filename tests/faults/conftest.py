"""What fault tests share: their marker, a folder for a study, a cluster whose nodes they kill."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.nodes import Nodes, new_token
from tests.faults.runs import Folder

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks every test of this folder, and leaves out the storm and Slurm unless they are asked for by name."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)
    for name in ("storm", "slurm"):
        if name in config.getoption("markexpr"):
            continue
        left_out = [item for item in items if item.get_closest_marker(name)]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """A folder for a study that runs on this machine alone."""
    made = Folder(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="session")
def _three() -> Iterator[Nodes]:
    with Nodes(token=new_token()) as started:
        yield started


@pytest.fixture
def cluster(_three: Nodes) -> Nodes:
    """A head and two more nodes with one core each, shared; what a test has killed is there again for the next."""
    if "head" not in _three.alive():
        for name in list(_three.processes):
            _three.kill(name)
        _three.start_head()
    for name in {"one", "two"} - set(_three.alive()):
        _three.add(name)
    return _three


@pytest.fixture
def on_cluster(cluster: Nodes, tmp_path: Path) -> Iterator[Folder]:
    """A folder for a study that runs on the cluster: give its runs the address."""
    made = Folder(tmp_path, cluster.env)
    yield made
    made.end()
