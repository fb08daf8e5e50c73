"""The any-time classifier computes less and says what it would have said."""

from __future__ import annotations

import math

import pytest
import torch

from pixelbayes.inference.anytime import (
    AnytimeClassifier,
    AnytimeRule,
    accumulate,
    fit_anytime,
    replay,
)
from pixelbayes.inference.classification import BayesClassifier

PRIOR = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()


def random_walks(images: int = 200, slices: int = 8) -> torch.Tensor:
    """Evidence that drifts apart, (N, 3, S)."""
    generator = torch.Generator().manual_seed(0)
    shape = (images, 3, slices)
    steps = torch.randn(shape, generator=generator, dtype=torch.float64)
    drift = torch.randn(images, 3, 1, generator=generator, dtype=torch.float64)
    return (steps + drift).cumsum(dim=2)


def test_the_last_slice_holds_the_likelihood_of_the_whole_image(tiny_network, random_levels):
    network = tiny_network(image_size=(13, 9))
    levels = random_levels(3, network.config)
    torch.testing.assert_close(
        accumulate(network, levels)[:, :, -1], BayesClassifier(network).log_likelihoods(levels)
    )


@pytest.mark.parametrize("threshold", [0.0, 0.3, 1.0, math.inf])
def test_computing_slice_by_slice_answers_as_replaying_all_likelihoods(
    tiny_network, random_levels, threshold
):
    network = tiny_network(image_size=(13, 9))
    levels = random_levels(6, network.config)
    rule = AnytimeRule(threshold, (100.0, 60.0, 20.0))
    classifier = BayesClassifier(network, log_prior=PRIOR)
    computed = AnytimeClassifier(classifier, rule).predict(levels)
    replayed = replay(accumulate(network, levels) + PRIOR[:, None], rule)
    assert computed.predicted.equal(replayed.predicted)
    assert computed.slices.equal(replayed.slices)
    assert computed.cost == pytest.approx(replayed.cost)


def test_dropping_classes_slice_by_slice_knows_every_option(tiny_network, random_levels, option):
    network = tiny_network(image_size=(13, 9), **option)
    levels = random_levels(6, network.config)
    rule = AnytimeRule(0.3, (100.0, 60.0, 20.0))
    computed = AnytimeClassifier(BayesClassifier(network), rule).predict(levels)
    joint = accumulate(network, levels) - math.log(3.0)
    replayed = replay(joint, rule)
    assert computed.predicted.equal(replayed.predicted)
    assert computed.slices.equal(replayed.slices)


def test_an_infinite_threshold_computes_everything_and_agrees(tiny_network, random_levels):
    network = tiny_network()
    levels = random_levels(4, network.config)
    classifier = BayesClassifier(network)
    result = AnytimeClassifier(classifier, AnytimeRule(math.inf, (1.0,))).predict(levels)
    assert result.cost == 1.0
    assert result.predicted.equal(classifier.predict(levels))


def test_a_fitted_rule_agrees_as_often_as_asked_and_costs_less():
    cumulative = random_walks()
    full = (cumulative[:, :, -1] + PRIOR).argmax(dim=1)
    costs = []
    for agreement in (1.0, 0.95, 0.8):
        rule = fit_anytime(cumulative, PRIOR, agreement=agreement)
        result = replay(cumulative + PRIOR[:, None], rule)
        assert (result.predicted == full).double().mean() >= agreement
        costs.append(result.cost)
    assert 1.0 > costs[0] >= costs[1] >= costs[2]


def test_a_rule_for_another_image_size_is_refused(tiny_network):
    with pytest.raises(ValueError, match="fit one on its own validation data"):
        AnytimeClassifier(BayesClassifier(tiny_network()), AnytimeRule(1.0, (1.0, 1.0, 1.0)))


@pytest.mark.parametrize("agreement", [0.0, 1.1])
def test_an_agreement_that_is_no_share_is_refused(agreement):
    with pytest.raises(ValueError, match=r"agreement in \(0, 1\]"):
        fit_anytime(random_walks(), PRIOR, agreement=agreement)
