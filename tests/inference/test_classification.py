"""Bayes' rule over exact likelihoods."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pixelbayes.core import FUSIONS
from pixelbayes.inference.classification import (
    BayesClassifier,
    class_posterior,
    uniform_log_prior,
)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("memory_budget", [1, 200_000, 1 << 30])
def test_all_classes_in_one_pass_equal_a_loop_over_classes_at_any_memory_budget(
    tiny_network, random_levels, fusion, memory_budget
):
    network = tiny_network(fusion=fusion)
    levels = random_levels(5, network.config)
    classifier = BayesClassifier(network, memory_budget=memory_budget)
    with torch.inference_mode():
        looped = [network(levels, torch.full((5,), label)).log_prob(levels) for label in range(3)]
    torch.testing.assert_close(
        classifier.log_likelihoods(levels), torch.stack(looped, dim=1), rtol=1e-12, atol=0
    )


def test_posterior_is_bayes_rule():
    log_likelihood = torch.tensor([[-100.0, -101.0]], dtype=torch.float64)
    prior = torch.tensor([0.2, 0.8], dtype=torch.float64)
    joint = torch.tensor([0.2, 0.8 * math.exp(-1.0)], dtype=torch.float64)
    torch.testing.assert_close(
        class_posterior(log_likelihood, prior.log()).exp()[0], joint / joint.sum()
    )


def test_posterior_of_one_class_is_certain(tiny_network, random_levels):
    network = tiny_network(classes=1)
    classifier = BayesClassifier(network)
    assert classifier.predict_log_proba(random_levels(2, network.config)).abs().max() == 0.0


def test_posterior_of_the_unconditional_model_is_its_prior(tiny_network, random_levels):
    network = tiny_network(fusion="none")
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    classifier = BayesClassifier(network, log_prior=prior.log())
    posterior = classifier.predict_log_proba(random_levels(2, network.config)).exp()
    torch.testing.assert_close(posterior, prior.expand(2, 3))


def test_temperature_leaves_the_ranking_and_moves_confidence_to_the_prior(
    tiny_network, random_levels
):
    network, cold = tiny_network(), BayesClassifier(tiny_network())
    levels = random_levels(4, network.config)
    warm = BayesClassifier(network, temperature=1e8)
    assert cold.predict(levels).equal(warm.predict(levels))
    torch.testing.assert_close(
        warm.predict_log_proba(levels),
        uniform_log_prior(3).expand(4, 3),
        rtol=0,
        atol=1e-3,
    )


def test_no_gradient_is_kept_and_the_mode_stays_as_it_was(tiny_network, random_levels):
    network = tiny_network().train()
    log_likelihoods = BayesClassifier(network).log_likelihoods(random_levels(2, network.config))
    assert network.training
    assert not log_likelihoods.requires_grad


def test_bfloat16_moves_likelihoods_by_its_rounding_only(tiny_network, random_levels):
    network = tiny_network().float()
    levels = random_levels(4, network.config)
    exact = BayesClassifier(network).log_likelihoods(levels)
    narrow = BayesClassifier(network, autocast=torch.bfloat16).log_likelihoods(levels)
    assert not narrow.equal(exact)
    torch.testing.assert_close(narrow, exact, rtol=2.0**-5, atol=0.0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_only_fusions_of_the_last_layer_share_the_trunk(tiny_network, random_levels, fusion):
    network = tiny_network(fusion=fusion)
    labels = torch.tensor([0, 1, 2])
    batches = []
    last = network.decoder[-1][-1].ul.conv_out
    last.register_forward_hook(lambda *arguments: batches.append(len(arguments[2])))
    network.for_each_label(random_levels(2, network.config), labels)
    assert network.shares_trunk == (batches == [2])


def test_progress_counts_images(tiny_network, random_levels):
    network, seen = tiny_network(), []
    classifier = BayesClassifier(network, memory_budget=1)
    classifier.log_likelihoods(random_levels(3, network.config), progress=seen.append)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("prior", [[0.5, 0.5], [0.5, 0.4, 0.2]])
def test_a_prior_that_is_no_distribution_over_the_classes_is_refused(tiny_network, prior):
    with pytest.raises(ValueError, match="exponentials sum to one"):
        BayesClassifier(tiny_network(), log_prior=torch.tensor(prior).log())


def test_likelihoods_of_a_float32_network_are_summed_in_float64(tiny_network, random_levels):
    network = tiny_network().float()
    levels, labels = random_levels(2, network.config), torch.tensor([1, 1])
    with torch.inference_mode():
        by_pixel = network(levels, labels).log_prob_map(levels)
    likelihoods = BayesClassifier(network).log_likelihoods(levels)[:, 1]
    torch.testing.assert_close(likelihoods, by_pixel.double().sum(dim=(1, 2)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, math.inf])
def test_a_temperature_that_is_none_is_refused(tiny_network, temperature):
    with pytest.raises(ValueError, match="positive and finite"):
        BayesClassifier(tiny_network(), temperature=temperature)


QUICK = settings(max_examples=60, deadline=None, derandomize=True)
NATS = st.floats(-9000.0, 0.0)
TABLES = st.lists(st.lists(NATS, min_size=3, max_size=3), min_size=1, max_size=4).map(
    lambda rows: torch.tensor(rows, dtype=torch.float64)
)
PRIORS = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3).map(
    lambda weights: torch.log_softmax(torch.tensor(weights, dtype=torch.float64).log(), dim=0)
)
TEMPERATURES = st.floats(0.1, 1e3)


@given(table=TABLES, prior=PRIORS, temperature=TEMPERATURES, shift=NATS)
@QUICK
def test_what_all_classes_share_says_nothing(
    table: Tensor, prior: Tensor, temperature: float, shift: float
) -> None:
    """So a classifier that knows log p(x | y) only up to a term of x answers as well."""
    posterior = class_posterior(table, prior, temperature)
    torch.testing.assert_close(
        posterior.logsumexp(dim=1), torch.zeros(len(table), dtype=torch.float64), rtol=0, atol=1e-9
    )
    shifted = class_posterior(table + shift, prior, temperature)
    torch.testing.assert_close(shifted, posterior, rtol=1e-9, atol=1e-7)


@given(table=TABLES, prior=PRIORS, temperature=TEMPERATURES)
@QUICK
def test_the_odds_of_two_classes_do_not_depend_on_the_third(
    table: Tensor, prior: Tensor, temperature: float
) -> None:
    posterior = class_posterior(table, prior, temperature)
    expected = (table[:, 0] - table[:, 1]) / temperature + prior[0] - prior[1]
    torch.testing.assert_close(posterior[:, 0] - posterior[:, 1], expected, rtol=1e-9, atol=1e-7)
    without = class_posterior(table[:, :2], torch.log_softmax(prior[:2], dim=0), temperature)
    torch.testing.assert_close(without[:, 0] - without[:, 1], expected, rtol=1e-9, atol=1e-7)


@given(table=TABLES, prior=PRIORS, seen=TABLES)
@QUICK
def test_an_answer_is_the_prior_of_what_is_seen_next(
    table: Tensor, prior: Tensor, seen: Tensor
) -> None:
    """Bayes' rule twice, on the first half of an image and on the second, is Bayes' rule once."""
    first, second = table[0], seen[0]
    halfway = class_posterior(first[None], prior)[0]
    twice = class_posterior(second[None], halfway)[0]
    once = class_posterior((first + second)[None], prior)[0]
    torch.testing.assert_close(twice, once, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("fusion", ["gated", "late"])
def test_an_image_has_its_likelihoods_wherever_it_stands_in_a_batch(
    tiny_network, random_levels, fusion
):
    network = tiny_network(fusion=fusion)
    levels, order = random_levels(5, network.config), torch.tensor([3, 0, 4, 1, 2])
    classifier = BayesClassifier(network, memory_budget=1 << 20)
    table = classifier.log_likelihoods(levels)
    torch.testing.assert_close(classifier.log_likelihoods(levels[order]), table[order])
    alone = torch.cat([classifier.log_likelihoods(image[None]) for image in levels])
    torch.testing.assert_close(alone, table)


def test_the_answer_is_the_class_of_the_largest_posterior(tiny_network, random_levels):
    network = tiny_network()
    levels = random_levels(6, network.config)
    prior = torch.tensor([0.1, 0.2, 0.7], dtype=torch.float64).log()
    classifier = BayesClassifier(network, log_prior=prior, temperature=40.0)
    posterior = classifier.predict_log_proba(levels)
    assert classifier.predict(levels).equal(posterior.argmax(dim=1))
    expected = class_posterior(classifier.log_likelihoods(levels), prior, 40.0)
    torch.testing.assert_close(posterior, expected)


@pytest.mark.parametrize("fusion", ["gated", "head"])
def test_the_likelihoods_of_the_pixels_sum_to_that_of_the_image(
    tiny_network, random_levels, fusion
):
    network = tiny_network(fusion=fusion, image_size=(9, 11))
    levels = random_levels(3, network.config)
    classifier = BayesClassifier(network)
    maps = classifier.log_likelihood_maps(levels)
    assert maps.shape == (3, 3, 9, 11)
    assert (maps <= 0.0).all()
    torch.testing.assert_close(maps.sum(dim=(2, 3)), classifier.log_likelihoods(levels))


@pytest.mark.parametrize("fusion", ["gated", "late", "head"])
def test_a_larger_budget_never_holds_fewer_images_and_the_least_holds_one(tiny_network, fusion):
    network = tiny_network(fusion=fusion)
    held = [
        BayesClassifier(network, memory_budget=1 << power).chunk_images() for power in range(10, 32)
    ]
    assert held == sorted(held)
    assert held[0] == 1
    assert held[-1] > 100
