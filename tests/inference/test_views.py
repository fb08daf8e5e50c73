"""Scores over views: a density stays one, a decision rule is a mean."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelbayes.core.likelihood import DiscretizedLogisticMixture
from pixelbayes.core.views import VIEWS, in_view
from pixelbayes.inference.anytime import AnytimeClassifier, AnytimeRule, accumulate
from pixelbayes.inference.classification import BayesClassifier
from pixelbayes.inference.views import log_mean_prob, log_prob_over_views, mean_log_prob


@pytest.mark.parametrize("view", range(len(VIEWS)))
def test_a_view_moves_pixels_within_their_rows_and_is_undone_without_loss(random_levels, view):
    levels = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    seen = in_view(levels, view)
    assert seen.sort(dim=-1).values.equal(levels)
    assert len({tuple(row) for row in seen.flatten(0, 2).tolist()}) == 2 * 3 * 4
    each = in_view(levels, torch.tensor([0, view]))
    assert each.equal(torch.stack([levels[0], seen[1]]))


def joint_of_two_pixels(network, view: int) -> torch.Tensor:
    """log p of all images of two grey pixels, read in this order, (first, second), (256, 256).

    The first two pixels of the network's images: nothing else has come before them.
    """
    levels = torch.zeros(256, 1, 8, 8, dtype=torch.uint8)
    levels[:, 0, 0, 0] = torch.arange(256)
    every = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    described = network(levels, torch.zeros(256, dtype=torch.int64), view)
    first = described.at(0, 0).log_prob(every)
    second = described.at(0, 1)  # given each level of the first
    given = DiscretizedLogisticMixture(
        *(part.repeat_interleave(256, dim=0) for part in vars(second).values())
    )
    return first[:, None] + given.log_prob(every.repeat(256, 1, 1, 1)).view(256, 256)


def test_log_mean_p_is_a_normalised_density_and_mean_log_p_is_not(tiny_network):
    """Enumerated over all images of two pixels; the mirrored view reads the right one first."""
    network = tiny_network(channels=1, views=2)
    with torch.inference_mode():
        by_view = torch.stack(
            [joint_of_two_pixels(network, 0), joint_of_two_pixels(network, 1).T], dim=-1
        )
    for view in range(2):
        assert by_view[..., view].exp().sum().item() == pytest.approx(1.0, abs=1e-9)
    assert log_mean_prob(by_view).exp().sum().item() == pytest.approx(1.0, abs=1e-9)
    assert mean_log_prob(by_view).exp().sum().item() < 1.0 - 1e-5


@pytest.mark.parametrize("over_views", [log_mean_prob, mean_log_prob])
@pytest.mark.parametrize("fusion", ["late", "gated"])
@pytest.mark.parametrize(("known", "views"), [(2, None), (1, (0, 1)), (2, (1,))])
def test_a_classifier_scores_the_views_it_is_asked_for(
    tiny_network, random_levels, fusion, known, views, over_views
):
    network = tiny_network(fusion=fusion, views=known)
    levels = random_levels(3, network.config)
    classifier = BayesClassifier(network, views=views, over_views=over_views)
    scores = []
    with torch.inference_mode():
        for view in (0, 1) if views is None else views:
            seen, told = in_view(levels, view), view if known == 2 else 0
            scores.append(
                network.for_each_label(seen, torch.arange(3), told)
                .log_prob(seen.repeat_interleave(3, dim=0))
                .view(3, 3)
            )
    expected = over_views(torch.stack(scores, dim=-1))
    torch.testing.assert_close(classifier.log_likelihoods(levels), expected, rtol=1e-12, atol=0)


def test_one_view_is_scored_as_before(tiny_network, random_levels):
    network = tiny_network()
    levels = random_levels(2, network.config)
    plain = BayesClassifier(network).log_likelihoods(levels)
    assert plain.equal(BayesClassifier(network, over_views=mean_log_prob).log_likelihoods(levels))


@pytest.mark.parametrize("over_views", [log_mean_prob, mean_log_prob])
def test_any_time_classification_sees_all_views(tiny_network, random_levels, over_views):
    network = tiny_network(views=2)
    levels = random_levels(6, network.config)
    classifier = BayesClassifier(network, over_views=over_views)
    whole = classifier.log_likelihoods(levels)
    torch.testing.assert_close(accumulate(classifier, levels)[:, :, -1], whole)
    everything = AnytimeClassifier(classifier, AnytimeRule(math.inf, (1.0,))).predict(levels)
    assert everything.cost == 1.0
    assert everything.predicted.equal(whole.argmax(dim=1))


@pytest.mark.parametrize("views", [(), (2,), (-1,)])
def test_views_that_are_not_there_are_refused(tiny_network, views):
    with pytest.raises(ValueError, match=r"views are numbers in 0\.\.1"):
        BayesClassifier(tiny_network(), views=views)


@given(
    by_view=st.lists(st.floats(-500.0, 0.0), min_size=1, max_size=4), shift=st.floats(-500.0, 0.0)
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_mean_of_logarithms_is_never_above_the_logarithm_of_the_mean(by_view, shift):
    """Jensen's inequality, with equality where all views say the same."""
    values = torch.tensor(by_view, dtype=torch.float64)
    assert mean_log_prob(values) <= log_mean_prob(values) + 1e-9
    assert min(by_view) - 1e-9 <= float(log_mean_prob(values)) <= max(by_view) + 1e-9
    alike = torch.full_like(values, shift)
    for over_views in (log_mean_prob, mean_log_prob):
        assert float(over_views(alike)) == pytest.approx(shift, abs=1e-9)
        moved = over_views(values + shift) - over_views(values)
        assert float(moved) == pytest.approx(shift, abs=1e-9)


@pytest.mark.parametrize("over_views", [log_mean_prob, mean_log_prob])
def test_an_image_and_its_mirror_image_score_alike_where_the_network_is_not_told(
    tiny_network, random_levels, over_views
):
    network = tiny_network()
    levels = random_levels(3, network.config)
    both = BayesClassifier(network, views=(0, 1), over_views=over_views)
    torch.testing.assert_close(both.log_likelihoods(levels.flip(-1)), both.log_likelihoods(levels))
    one = BayesClassifier(network, views=(0,))
    assert not one.log_likelihoods(levels.flip(-1)).allclose(one.log_likelihoods(levels))


@pytest.mark.parametrize("views", [1, 2])
def test_the_density_over_views_is_what_the_classifier_scores(tiny_network, random_levels, views):
    network = tiny_network(views=views)
    levels, labels = random_levels(3, network.config), torch.tensor([2, 0, 1])
    with torch.inference_mode():
        own = log_prob_over_views(network, levels, labels)
    table = BayesClassifier(network).log_likelihoods(levels)
    torch.testing.assert_close(own, table.gather(1, labels[:, None])[:, 0])


def test_views_are_shown_image_by_image_and_undone_by_themselves():
    levels = torch.arange(4 * 2 * 3, dtype=torch.uint8).view(4, 1, 2, 3)
    views = torch.tensor([1, 0, 1, 0])
    seen = in_view(levels, views)
    assert in_view(seen, views).equal(levels)
    assert seen[1].equal(levels[1])
    assert seen[2].equal(levels[2].flip(-1))


def test_pixels_are_summed_in_float64(tiny_network, random_levels):
    network = tiny_network(image_size=(16, 16)).float()
    levels, labels = random_levels(3, network.config), torch.tensor([0, 1, 2])
    with torch.inference_mode():
        by_pixel = network(levels, labels).log_prob_map(levels)
        assert by_pixel.dtype == torch.float32
        expected = by_pixel.double().sum(dim=(1, 2))
        assert log_prob_over_views(network, levels, labels).equal(expected)
