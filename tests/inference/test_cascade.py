"""Cheap members of an ensemble answer alone where that is safe."""

from __future__ import annotations

import pytest
import torch

from pixelbayes.inference.anytime import agreement_limit
from pixelbayes.inference.cascade import CascadeRule, fit_cascade, replay, running_posteriors
from pixelbayes.inference.classification import uniform_log_prior
from pixelbayes.models import PixelBayes
from pixelbayes.models.ensemble import Ensemble

PRIOR = uniform_log_prior(3)


def drawn(images: int, seed: int, noise: float = 2.0) -> torch.Tensor:
    """Posteriors of two members that see the same truth through noise of their own."""
    generator = torch.Generator().manual_seed(seed)
    truth = 3.0 * torch.randn(images, 3, generator=generator, dtype=torch.float64)
    own = noise * torch.randn(2, images, 3, generator=generator, dtype=torch.float64)
    return running_posteriors(truth + own, PRIOR)


def test_after_all_members_the_posterior_is_the_ensembles():
    tables = torch.randn(3, 5, 3, dtype=torch.float64)
    mean = torch.log_softmax(tables.mean(dim=0) / 2.0 + PRIOR, dim=1)
    torch.testing.assert_close(running_posteriors(tables, PRIOR, 2.0)[-1], mean)


def test_who_is_never_sure_answers_as_all_members_and_who_always_is_as_the_first():
    running = drawn(200, seed=0)
    careful, bold = replay(running, CascadeRule(1.0)), replay(running, CascadeRule(0.0))
    assert torch.equal(careful.log_posterior, running[-1])
    assert (careful.asked == 2).all()
    assert torch.equal(bold.log_posterior, running[0])
    assert (bold.asked == 1).all()


def test_an_image_is_decided_by_the_first_member_that_makes_it_sure():
    running = torch.tensor([[0.5, 0.5], [0.95, 0.05], [0.6, 0.4]], dtype=torch.float64).log()
    result = replay(running[:, None], CascadeRule(0.9))
    assert int(result.asked) == 2
    assert torch.equal(result.log_posterior, running[1][None])


def test_a_rule_keeps_its_bound_on_new_images_in_nearly_all_fits():
    agreement, confidence, fits = 0.97, 0.9, 200
    broken = 0
    new = drawn(20_000, seed=10_000)
    for seed in range(fits):
        rule = fit_cascade(drawn(300, seed), agreement=agreement, confidence=confidence)
        agree = replay(new, rule).predicted == new[-1].argmax(dim=1)
        broken += agree.double().mean() < agreement
    # of 200 fits that break their bound with probability 0.1, more than 33 are one in a thousand
    assert broken <= 33
    assert rule.threshold < 1.0


def test_the_fitted_rule_is_the_boldest_that_passes():
    running = drawn(500, seed=1)
    rule = fit_cascade(running, agreement=0.97)
    assert rule.bound is not None
    assert agreement_limit(rule.bound.disagreeing, 500, 0.95) >= 0.97
    bolder = CascadeRule(rule.threshold - 0.05)
    disagreeing = int((replay(running, bolder).predicted != running[-1].argmax(dim=1)).sum())
    assert agreement_limit(disagreeing, 500, 0.95) < 0.97


def test_too_few_images_are_refused_with_the_number_it_takes():
    with pytest.raises(ValueError, match=r"at least 299 images .* got 298"):
        fit_cascade(drawn(298, seed=0), agreement=0.99)
    with pytest.raises(ValueError, match=r"lie in \(0, 1\)"):
        fit_cascade(drawn(298, seed=0), agreement=1.0)


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.5, 1.0])
def test_an_ensemble_that_is_asked_in_turn_answers_as_the_replay_says(
    tiny_model, tiny_network, random_levels, threshold
):
    other = PixelBayes(tiny_network(seed=7), tiny_model.metadata)
    ensemble = Ensemble([tiny_model, other]).with_temperature(30.0)
    levels = random_levels(12, tiny_model.network.config)
    tables = torch.stack(
        [member.log_likelihoods(levels) / member.temperature for member in ensemble.members]
    )
    running = running_posteriors(tables, ensemble.log_prior, ensemble.temperature)
    expected = replay(running, CascadeRule(threshold))
    found = ensemble.answer_in_turn(levels, CascadeRule(threshold))
    assert torch.equal(found.asked, expected.asked)
    torch.testing.assert_close(found.log_posterior, expected.log_posterior)


def test_a_decided_image_is_not_shown_to_the_next_member(tiny_model, tiny_network, random_levels):
    other = PixelBayes(tiny_network(seed=7), tiny_model.metadata)
    ensemble = Ensemble([tiny_model, other])
    levels = random_levels(6, tiny_model.network.config)
    seen = []
    log_likelihoods = other.log_likelihoods
    other.log_likelihoods = lambda some: seen.append(len(some)) or log_likelihoods(some)
    result = ensemble.answer_in_turn(levels, CascadeRule(0.999))
    assert sum(seen) == int((result.asked == 2).sum()) < 6
