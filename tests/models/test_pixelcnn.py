"""The facade loads, saves and names classes."""

from __future__ import annotations

import math

import pytest
import torch

import pixelbayes
from pixelbayes.models import CheckpointError, Metadata, PixelBayes

CLASSES = ("cheeseburger", "koala", "7")


@pytest.fixture
def model(tiny_network) -> PixelBayes:
    metadata = Metadata(
        classes=CLASSES, resize={"size": (8, 8)}, log_prior=tuple(map(math.log, (0.5, 0.25, 0.25)))
    )
    return PixelBayes(tiny_network(), metadata)


def test_a_saved_model_loads_bit_for_bit(model, random_levels, tmp_path):
    model.save(tmp_path / "best")
    levels = random_levels(2, model.network.config)
    for path in (tmp_path / "best", tmp_path):  # a checkpoint, or the run that holds it
        assert pixelbayes.load(path).score_samples(levels).equal(model.score_samples(levels))


def test_loading_from_nowhere_says_so(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        PixelBayes.load(tmp_path / "absent")


@pytest.mark.parametrize(("name", "index"), [("koala", 1), (1, 1), ("0", 0), ("7", 2)])
def test_a_class_is_found_by_name_or_index_and_a_name_wins(model, name, index):
    assert model.class_index(name) == index


@pytest.mark.parametrize("name", ["panda", 3, -1, "3"])
def test_an_unknown_class_is_answered_with_the_known_ones(model, name):
    with pytest.raises(ValueError, match="cheeseburger, koala, 7"):
        model.class_index(name)


def test_marginal_likelihood_sums_over_classes(model, random_levels):
    levels = random_levels(2, model.network.config)
    joint = model.classifier().log_likelihoods(levels).double() + model.log_prior
    torch.testing.assert_close(model.score_samples(levels), joint.logsumexp(dim=1))
