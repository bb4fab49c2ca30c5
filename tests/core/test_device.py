"""A process keeps to its share of a card. Without a card: what torch is told, and what is refused."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import UserError
from core.training import device


def test_a_cpu_gets_its_threads_and_nothing_else(monkeypatch):
    told = []
    monkeypatch.setattr(device, "limit_threads", told.append)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *_: told.append("card"))
    assert device.prepare("cpu", threads=3, share=0.25) == "cpu"
    assert told == [3]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_where_torch_sees_no_card_that_is_said():
    with pytest.raises(UserError, match="torch sees no GPU"):
        device.prepare("cuda", threads=1, share=1.0)


@pytest.fixture
def backends():
    """What `prepare` sets for the whole process, put back afterwards."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cudnn.deterministic, products.allow_tf32
    cudnn.allow_tf32 = products.allow_tf32 = True
    cudnn.deterministic = False
    yield
    cudnn.allow_tf32, cudnn.deterministic, products.allow_tf32 = before


@pytest.mark.usefixtures("backends")
def test_a_card_is_shared_emptied_and_exact(monkeypatch):
    told = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    card = type("Card", (), {"total_memory": 60 * 10**9})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA X")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: told.append("emptied"))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda part, card: told.append((card.index, round(part, 6)))
    )
    assert device.prepare("cuda", threads=1, share=0.25) == "NVIDIA X"
    assert told == ["emptied", (0, 0.233333)]  # 15 GB less CUDA's 1, of a card that has a number
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.deterministic


@given(st.integers(2 * 10**9, 10**12), st.integers(1, 30))
def test_processes_that_share_a_card_never_take_more_than_it_has(total, trials):
    share = 1 / trials
    try:
        part = device.allocatable(share, total)
    except UserError:
        assert share * total <= device.CONTEXT_BYTES * (1 + 1e-9)
        return
    assert trials * (part * total + device.CONTEXT_BYTES) <= total * (1 + 1e-9)


def test_several_cards_are_no_larger_share_of_the_first():
    assert device.allocatable(2.0, 10**11) == device.allocatable(1.0, 10**11) < 1


def test_a_share_that_is_too_small_names_what_would_do():
    with pytest.raises(UserError, match=r"0\.05 of a card of 8\.0 GB is less than CUDA takes .* a larger share"):
        device.allocatable(0.05, 8 * 10**9)


THREADS = """
import sys
import torch, scipy.linalg, sklearn.cluster  # each brings a library of threads
from threadpoolctl import threadpool_info
from core.training import device

for wanted in (2, 1, 2):
    device.prepare("cpu", threads=wanted, share=0)
    print(torch.get_num_threads(), *(one["num_threads"] for one in threadpool_info()))
"""


def test_a_trial_takes_its_threads_in_every_library_also_after_another_in_its_process():
    found = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in found.splitlines()]
    assert [set(line) for line in lines] == [{"2"}, {"1"}, {"2"}]
    assert len(lines[0]) > 2
