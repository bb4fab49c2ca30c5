"""What `auto` comes to: told with its reason, and the same that a trial is built with."""

import numpy as np
import pytest
import torch

from core.config.schema import Mistakes
from core.config.trial import read_trial
from core.data.dataset import Dataset
from core.data.modalities import side_by_side
from core.encoders import auto as auto_encoder
from core.training.chosen import chosen, encoder_for, views_for
from core.views import auto as auto_views

KINDS = [
    ([(7,)], "mlp", "neighbours", "the samples are vectors"),
    ([(1, 8, 8)], "mlp", "affine", "images of 8 x 8"),
    ([(3, 40, 15)], "mlp", "affine", "images of 40 x 15"),
    ([(1, 16, 28)], "convnet", "image", "images of 16 x 28"),
    ([(7,), (5,)], "multiview", "multiview", "the samples have 2 views"),
]


def trial(**given):
    return read_trial(given, (), Mistakes())


def data(samples, modalities=()):
    labels = np.arange(len(samples)) % 2
    return Dataset("d", samples, labels, ("a", "b"), "f", modalities=modalities)


@pytest.mark.parametrize(("shapes", "encoder", "views", "why"), KINDS)
def test_it_is_by_the_form_of_the_samples_and_what_a_trial_is_built_with(shapes, encoder, views, why):
    for found, name in ((encoder_for(shapes), encoder), (views_for(shapes), views)):
        assert found.name == name
        assert found.why.startswith(why)
    modalities = side_by_side({f"m{place}": shape for place, shape in enumerate(shapes)})
    assert type(auto_encoder.Encoder(modalities).chosen).__module__ == f"core.encoders.{encoder}"
    assert type(auto_views.Views(modalities).chosen).__module__ == f"core.views.{views}"


def test_the_widths_are_those_of_mlp():
    found = auto_encoder.Encoder(side_by_side({"one": (7,)}), widths=(4, 3))
    assert found.dim == 3
    assert found(torch.zeros(2, 7)).shape == (2, 3)


def test_only_what_is_left_open_and_used_is_chosen():
    vectors = data(np.zeros((4, 3), np.float32))
    told = {key: one.name for key, one in chosen(trial(), vectors).items()}
    assert told == {"encoder": "mlp", "views": "neighbours"}
    assert chosen(trial(encoder="linear"), vectors).keys() == {"views"}
    assert chosen(trial(views="noise"), vectors).keys() == {"encoder"}
    assert chosen(trial(method="leiden"), vectors) == {}
    # It maps inputs to targets, without views.
    assert chosen(trial(method="paired"), vectors).keys() == {"encoder"}


def test_views_of_a_frozen_encoder_are_those_of_vectors():
    images = data(np.zeros((4, 3, 32, 32), np.float32))
    frozen = {"name": "timm", "model": "resnet10t", "frozen": True}
    assert chosen(trial(), images)["views"].name == "image"
    assert chosen(trial(encoder=frozen), images)["views"] == ("neighbours", "the vectors of timm are no images")
