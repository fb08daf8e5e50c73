"""Weighted completions follow p(unknown | known)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelbayes.core.likelihood import LEVELS
from pixelbayes.inference.completion import (
    WeightedDraws,
    complete_weighted,
    importance_weights,
)

UNKNOWN = (2, 3)


@pytest.fixture
def grey(tiny_network):
    """A network in which a pixel decides a lot about those after it."""
    return tiny_network(channels=1, seed=3)


@pytest.fixture
def known():
    mask = torch.ones(8, 8, dtype=torch.bool)
    mask[UNKNOWN] = False
    return mask


def test_weighted_draws_have_the_mean_of_the_exact_posterior(grey, known, random_levels):
    image = random_levels(1, grey.config)[0]
    every_level = image.expand(LEVELS, -1, -1, -1).clone()
    every_level[:, 0, UNKNOWN[0], UNKNOWN[1]] = torch.arange(LEVELS, dtype=torch.uint8)
    labels = torch.full((LEVELS,), 2)
    with torch.inference_mode():
        exact = torch.softmax(grey(every_level, labels).log_prob(every_level), dim=0)
    levels = torch.arange(LEVELS, dtype=torch.float64)
    mean = float((exact * levels).sum())
    deviation = math.sqrt(float((exact * (levels - mean) ** 2).sum()))

    drawn = complete_weighted(
        grey,
        2,
        image,
        known,
        draws=1000,
        generator=torch.Generator().manual_seed(1),
        batch_size=299,
    )
    values = drawn.levels[:, 0, UNKNOWN[0], UNKNOWN[1]].double()
    error = deviation / math.sqrt(drawn.effective_number)
    weighted = float((drawn.log_weights.exp() * values).sum())
    assert abs(weighted - mean) < 4 * error
    assert abs(float(values.mean()) - mean) > 8 * error, "unweighted draws would do as well"


def test_draws_of_the_first_rows_all_weigh_the_same(tiny_network, random_levels):
    network = tiny_network()
    known = (torch.arange(8) < 3)[:, None].expand(8, 8)
    drawn = complete_weighted(
        network,
        1,
        random_levels(1, network.config)[0],
        known,
        draws=5,
        generator=torch.Generator().manual_seed(1),
    )
    assert drawn.effective_number == pytest.approx(5.0)


def test_a_weight_is_the_likelihood_of_the_known_pixels(grey, known, random_levels):
    levels, labels = random_levels(3, grey.config), torch.tensor([0, 1, 2])
    described = grey(levels, labels)
    unknown = described.at(*UNKNOWN).log_prob(levels[:, :, UNKNOWN[0] :, UNKNOWN[1] :][..., :1, :1])
    expected = (described.log_prob(levels) - unknown).detach()
    weights = importance_weights(grey, labels, levels, known)
    torch.testing.assert_close(weights, expected)


def test_chosen_draws_follow_the_weights():
    levels = torch.arange(3, dtype=torch.uint8)[:, None, None, None]
    draws = WeightedDraws(levels, torch.tensor([0.7, 0.3, 0.0], dtype=torch.float64).log())
    chosen = draws.choose(10_000, torch.Generator().manual_seed(0)).flatten()
    shares = torch.bincount(chosen.long(), minlength=3) / 10_000
    torch.testing.assert_close(shares, torch.tensor([0.7, 0.3, 0.0]), atol=0.02, rtol=0.0)


@pytest.mark.parametrize("settings", [{"draws": 0}, {"draws": 1, "batch_size": 0}])
def test_no_draws_are_refused(grey, known, random_levels, settings):
    image = random_levels(1, grey.config)[0]
    with pytest.raises(ValueError, match="at least 1"):
        complete_weighted(grey, 0, image, known, generator=torch.Generator(), **settings)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_draws_do_not_depend_on_how_many_are_drawn_at_a_time(
    grey, known, random_levels, batch_size
):
    image = random_levels(1, grey.config)[0]

    def drawn(at_a_time: int) -> WeightedDraws:
        generator = torch.Generator().manual_seed(2)
        return complete_weighted(
            grey, 1, image, known, draws=7, generator=generator, batch_size=at_a_time
        )

    together, apart = drawn(7), drawn(batch_size)
    assert apart.levels.equal(together.levels)
    torch.testing.assert_close(apart.log_weights, together.log_weights)


def test_every_draw_keeps_what_is_known_and_weights_sum_to_one(grey, random_levels):
    image = random_levels(1, grey.config)[0]
    known = torch.rand(8, 8, generator=torch.Generator().manual_seed(4)) < 0.7
    drawn = complete_weighted(
        grey, 0, image, known, draws=5, generator=torch.Generator().manual_seed(0)
    )
    assert drawn.levels.shape == (5, 1, 8, 8)
    assert all(one[:, known].equal(image[:, known]) for one in drawn.levels)
    assert len({tuple(one[:, ~known].flatten().tolist()) for one in drawn.levels}) == 5
    assert float(drawn.log_weights.exp().sum()) == pytest.approx(1.0)


@given(weights=st.lists(st.floats(-50.0, 50.0), min_size=1, max_size=9), shift=st.floats(-9.0, 9.0))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_effective_number_is_between_one_and_all(weights, shift):
    logits = torch.tensor(weights, dtype=torch.float64)
    levels = torch.zeros(len(weights), 1, 1, 1, dtype=torch.uint8)
    number = WeightedDraws(levels, torch.log_softmax(logits, dim=0)).effective_number
    assert 1.0 - 1e-9 <= number <= len(weights) + 1e-9
    shifted = WeightedDraws(levels, torch.log_softmax(logits + shift, dim=0)).effective_number
    assert shifted == pytest.approx(number, rel=1e-6)
    even = torch.full((len(weights),), 1.0 / len(weights), dtype=torch.float64).log()
    assert WeightedDraws(levels, even).effective_number == pytest.approx(len(weights))


def test_a_draw_that_holds_all_the_weight_is_the_only_one_chosen():
    levels = torch.arange(4, dtype=torch.uint8)[:, None, None, None]
    weights = torch.tensor([-1e4, 0.0, -1e4, -1e4], dtype=torch.float64)
    draws = WeightedDraws(levels, torch.log_softmax(weights, dim=0))
    assert draws.effective_number == pytest.approx(1.0)
    assert draws.choose(50, torch.Generator().manual_seed(0)).eq(1).all()
