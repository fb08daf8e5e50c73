"""The baseline of the training benchmark is the same model, written differently."""

from __future__ import annotations

import copy

import pytest
import torch
from benchmarks.baseline import PlainPixelCNN
from benchmarks.steps import own_step, plain_step

from pixelbayes.core import bits_per_dim


def loaded(network):
    return PlainPixelCNN(network.config).double().load_from(network).eval()


@pytest.mark.parametrize(
    "changes",
    [{}, {"image_size": (12, 8), "blocks_per_stage": 2}, {"channels": 1, "mixtures": 3}],
    ids=["colour", "deeper", "grey"],
)
def test_the_baseline_gives_each_image_the_same_likelihood(tiny_network, random_levels, changes):
    network = tiny_network(**changes)
    levels, labels = random_levels(4, network.config), torch.tensor([0, 1, 2, 1])
    with torch.no_grad():
        expected = network(levels, labels).log_prob_map(levels)
        got = loaded(network)(levels, labels).log_prob_map(levels)
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-4)


def test_the_baseline_has_as_many_weights(tiny_network):
    network = tiny_network()
    assert sum(p.numel() for p in loaded(network).parameters()) == sum(
        p.numel() for p in network.parameters()
    )


def test_without_dropout_both_ways_to_train_stay_together(tiny_network, random_levels):
    network = tiny_network(dropout=0.0)
    levels, labels = random_levels(4, network.config), torch.tensor([0, 1, 2, 1])
    plain, own = plain_step(network), own_step(copy.deepcopy(network), torch.float32)
    for _ in range(3):
        expected, got = plain(levels, labels), own(levels, labels)
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=0.0)


def test_a_step_returns_bits_per_dim_and_changes_the_weights(tiny_network, random_levels):
    network = tiny_network(dropout=0.0)
    levels, labels = random_levels(4, network.config), torch.tensor([0, 1, 2, 1])
    before = bits_per_dim(network(levels, labels).log_prob(levels), network.config.dims).mean()
    step = own_step(network, torch.float32)
    torch.testing.assert_close(step(levels, labels), before.detach())
    assert step(levels, labels) != before


@pytest.mark.parametrize("changes", [{"fusion": "late"}, {"image_size": (9, 8)}])
def test_what_the_baseline_was_not_written_for_is_refused(tiny_network, changes):
    with pytest.raises(ValueError, match="gated fusion and sides divisible by 4"):
        PlainPixelCNN(tiny_network(**changes).config)
