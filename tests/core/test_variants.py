"""Views from changed copies: of the sample or of its neighbours, all of them, drawn from the stream."""

import numpy as np
import pytest
import torch

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.dataset import Dataset
from core.errors import UserError
from core.evaluation.nearest import nearest
from core.training.fit import fit
from core.training.method import Batch
from core.views.variants import Views

COPIES = 3


def data(n=100, dim=7) -> tuple[torch.Tensor, torch.Tensor]:
    """Samples, and copies that say in their first feature whose and which they are."""
    samples = torch.randn(n, dim, generator=torch.Generator().manual_seed(0))
    copies = samples[:, None].repeat(1, COPIES, 1)
    copies[:, :, 0] = torch.arange(n)[:, None] + 0.1 * torch.arange(COPIES)
    return samples, copies


def ready(samples, copies, **options) -> Views:
    views = Views(tuple(samples.shape[1:]), **options)
    views.attach({"variants": copies})
    views.prepare(samples)
    return views


def batch(samples, rows) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(samples[rows], rows, generator, generator)


@pytest.mark.parametrize("neighbours", [0, 4])
def test_all_copies_of_the_sample_and_its_neighbours_come_and_no_others(neighbours):
    samples, copies = data()
    rows = torch.arange(100).repeat(400)
    marks = ready(samples, copies, neighbours=neighbours, dropout=0.0)(batch(samples, rows))[:, 0].view(400, 100)
    itself = torch.arange(100)[:, None]
    allowed = torch.cat([itself, torch.from_numpy(nearest(samples, neighbours).rows)], dim=1)
    for row in range(100):
        expected = {round(float(copies[one, j, 0]), 1) for one in allowed[row] for j in range(COPIES)}
        assert {round(float(mark), 1) for mark in marks[:, row]} == expected


def test_the_weak_view_is_the_sample_and_dropout_its_share_of_zeros():
    samples, copies = data()
    rows = torch.arange(100)
    assert torch.equal(ready(samples, copies, dropout=0.0).weak(batch(samples, rows)), samples)
    dropped = ready(samples, copies, dropout=0.3)
    for view in (dropped.weak(batch(samples, rows)), dropped(batch(samples, rows))):
        assert abs((view == 0).float().mean().item() - 0.3) < 0.06


def test_fewer_samples_than_neighbours_will_do():
    samples, copies = data(n=3)
    assert ready(samples, copies, neighbours=50)(batch(samples, torch.arange(3))).shape == (3, 7)


def test_data_without_copies_and_images_are_refused():
    with pytest.raises(UserError, match="need a data set with variants, such as `data"):
        Views((7,)).attach({})
    with pytest.raises(UserError, match="need vectors"):
        Views((1, 8, 8))


def test_a_trial_over_copies_resumes_exactly():
    samples, copies = data(n=60)
    labels = np.arange(60) % 3
    whole = Dataset("copies", samples.numpy(), labels, ("a", "b", "c"), "copies", {"variants": copies.numpy()})
    mistakes = Mistakes()
    small = {"encoder": {"name": "mlp", "widths": [16, 8]}, "epochs": 4, "batch_size": 32, "evaluation": {"every": 1}}
    trial = read_trial(small | {"views": {"name": "variants", "neighbours": 3}}, (), mistakes)
    assert not mistakes.found
    straight = list(fit(trial, whole, seed=3))
    run = fit(trial, whole, seed=3)
    states = [next(run).state() for _ in range(2)]
    resumed = list(fit(trial, whole, seed=3, resume=states[-1]))
    assert [(row.losses, row.metrics) for row in resumed] == [(row.losses, row.metrics) for row in straight[2:]]
