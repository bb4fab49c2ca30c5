"""Neighbours as views: the nearest by cosine, never the sample itself, drawn from the stream."""

import pytest
import torch

from core.errors import UserError
from core.training.method import Batch
from core.views.neighbours import Views


def data(n=300, dim=7) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(0))


def batch(samples, rows, seed=0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(samples[rows], rows, generator, generator)


def test_a_view_is_one_of_the_neighbours_and_all_of_them_come():
    samples, rows = data(), torch.arange(300).repeat(40)
    views = Views((7,), count=5, dropout=0.0)
    views.prepare(samples)
    drawn = views(batch(samples, rows))
    chosen = (drawn[:, None, :] == samples[views.neighbours[rows]]).all(dim=2)
    assert chosen.any(dim=1).all()
    assert chosen.float().mean(dim=0).sub(0.2).abs().max() < 0.02


def test_the_weak_view_is_the_sample_and_dropout_its_share_of_zeros():
    samples, rows = data(), torch.arange(300)
    plain, dropped = Views((7,), dropout=0.0), Views((7,), dropout=0.3)
    for one in (plain, dropped):
        one.prepare(samples)
    assert torch.equal(plain.weak(batch(samples, rows)), samples)
    view = dropped.weak(batch(samples, rows))
    assert abs((view == 0).float().mean().item() - 0.3) < 0.05
    assert torch.equal(view[view != 0], samples[view != 0])


def test_the_stream_decides():
    samples, rows = data(), torch.arange(300)
    views = Views((7,))
    views.prepare(samples)
    assert torch.equal(views(batch(samples, rows, 1)), views(batch(samples, rows, 1)))
    assert not torch.equal(views(batch(samples, rows, 1)), views(batch(samples, rows, 2)))


def test_fewer_samples_than_neighbours_will_do():
    samples = data(n=3)
    views = Views((7,), count=50)
    views.prepare(samples)
    assert views(batch(samples, torch.arange(3))).shape == (3, 7)


def test_images_are_refused():
    with pytest.raises(UserError, match="need vectors"):
        Views((1, 8, 8))
