"""The map of the evidence is exact: it sums to the log-odds."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pixelbayes.core import FUSIONS
from pixelbayes.inference.classification import BayesClassifier
from pixelbayes.inference.evidence import evidence, evidence_of_maps

PRIOR = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("against", [0, 2, None], ids=["one", "another", "all others"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_evidence_sums_to_the_log_odds_of_bayes_rule(
    tiny_network, random_levels, fusion, against, dtype
):
    network = tiny_network(fusion=fusion).to(dtype)
    classifier = BayesClassifier(network, log_prior=PRIOR)
    levels = random_levels(1, network.config)
    seen = evidence(classifier, levels[0], 1, against)
    posterior = classifier.predict_log_proba(levels)[0]
    others = [0, 2] if against is None else [against]
    expected = posterior[1] - torch.logsumexp(posterior[others], dim=0)
    assert seen.classes == (1, *others)
    assert seen.evidence.dtype == torch.float64
    # `log_softmax` rounds at the size of the likelihoods, not at that of their difference.
    size = classifier.log_likelihoods(levels).abs().max().item()
    assert seen.posterior_log_odds == pytest.approx(float(expected), rel=1e-5, abs=1e-12 * size)
    assert seen.running[-1].item() == pytest.approx(seen.log_odds, rel=1e-12, abs=1e-9)


def test_evidence_against_all_others_is_that_of_their_running_mixture():
    generator = torch.Generator().manual_seed(0)
    maps = -2.0 * torch.rand(3, 4, 5, generator=generator, dtype=torch.float64)
    weights = PRIOR[[0, 2]].exp() / PRIOR[[0, 2]].exp().sum()  # p(y' | nothing seen, not y)
    terms = []
    for pixel in maps.flatten(1).T:
        predicted = (weights * pixel[[0, 2]].exp()).sum()
        terms.append(pixel[1] - predicted.log())
        weights = weights * pixel[[0, 2]].exp() / predicted
    seen = evidence_of_maps(maps, PRIOR, 1)
    torch.testing.assert_close(seen.evidence.flatten(), torch.stack(terms))


@pytest.mark.parametrize("against", [1, None])
def test_a_term_depends_on_no_later_pixel(tiny_network, random_levels, against):
    network = tiny_network()
    classifier = BayesClassifier(network)
    levels = random_levels(1, network.config)[0]
    other = levels.clone()
    other[:, 5, 3:] = 255 - other[:, 5, 3:]
    first, second = (evidence(classifier, image, 0, against).evidence for image in (levels, other))
    assert first[:5].equal(second[:5])
    assert first[5, :3].equal(second[5, :3])
    assert not first[5, 3:].equal(second[5, 3:])


def test_a_model_that_ignores_the_class_has_no_evidence(tiny_network, random_levels):
    network = tiny_network(fusion="none")
    seen = evidence(BayesClassifier(network, log_prior=PRIOR), random_levels(1, network.config)[0])
    assert seen.evidence.abs().max() < 1e-10
    assert seen.posterior_log_odds == pytest.approx(0.0, abs=1e-9)  # p(0) is a half
    assert seen.classes == (0, 1, 2)


def test_surprise_sums_to_the_code_length(tiny_network, random_levels):
    network = tiny_network()
    classifier, levels = BayesClassifier(network), random_levels(1, network.config)
    seen = evidence(classifier, levels[0], 2)
    assert seen.surprise.sum().item() == pytest.approx(
        -classifier.log_likelihoods(levels)[0, 2].item()
    )
    assert (seen.surprise > 0.0).all()


@pytest.mark.parametrize("temperature", [1.0, 50.0, 1e9])
def test_the_class_is_the_one_that_the_classifier_answers(tiny_network, random_levels, temperature):
    network = tiny_network()
    classifier = BayesClassifier(network, log_prior=PRIOR, temperature=temperature)
    for image in random_levels(4, network.config):
        assert evidence(classifier, image).classes[0] == int(classifier.predict(image[None]))


def test_the_class_is_the_one_that_is_answered_from_all_views(tiny_network, random_levels):
    network = tiny_network(views=2)
    classifier = BayesClassifier(network)
    images = random_levels(60, network.config)
    answers = classifier.predict(images)
    alone = classifier.log_likelihood_maps(images).sum(dim=(2, 3)).argmax(dim=1)
    differing = (alone != answers).nonzero()[:, 0]
    assert len(differing), "else the test says nothing"
    for number in differing[:3].tolist():
        assert evidence(classifier, images[number]).classes[0] == int(answers[number])


def test_sums_by_row_and_the_share_that_holds_half_are_read_off_the_map():
    maps = torch.zeros(2, 2, 5, dtype=torch.float64)
    maps[0, 0, 0], maps[0, 1, 2], maps[0, 1, 3] = 6.0, -4.0, 1.0
    seen = evidence_of_maps(maps, torch.tensor([0.5, 0.5]).log(), 0)
    assert seen.by_row.tolist() == [6.0, -3.0]
    assert seen.running.tolist() == [6.0, 3.0]
    assert seen.log_odds == 3.0
    assert seen.half_share == 0.1  # one of ten pixels holds 6 of 11 nats


def test_even_evidence_is_held_by_half_of_the_pixels_and_none_by_none():
    even = torch.stack([torch.ones(4, 4), torch.zeros(4, 4)])
    prior = torch.tensor([0.5, 0.5]).log()
    assert evidence_of_maps(even, prior, 0).half_share == 0.5
    assert evidence_of_maps(torch.zeros(2, 4, 4), prior, 0).half_share == 0.0


def test_a_class_of_probability_zero_is_not_among_the_others(tiny_network, random_levels):
    network = tiny_network()
    prior = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64).log()
    levels = random_levels(1, network.config)[0]
    seen = evidence(BayesClassifier(network, log_prior=prior), levels, 0)
    assert seen.classes == (0, 1)
    assert math.isfinite(seen.posterior_log_odds)


@pytest.mark.parametrize(
    ("label", "against", "error", "message"),
    [
        (0, 0, ValueError, "got class 0 on both sides"),
        (3, None, ValueError, "no class 3"),
        (0, 3, ValueError, "no class 3"),
        (1.7, None, TypeError, r"got 1\.7"),
    ],
)
def test_classes_that_cannot_be_compared_are_refused(label, against, error, message):
    maps, prior = torch.zeros(3, 2, 2), torch.zeros(3)
    with pytest.raises(error, match=message):
        evidence_of_maps(maps, prior, label, against)


def test_one_class_has_no_evidence(tiny_network, random_levels):
    network = tiny_network(classes=1)
    with pytest.raises(ValueError, match="no other that is possible"):
        evidence(BayesClassifier(network), random_levels(1, network.config)[0])


def random_maps(classes: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return -4.0 * torch.rand(classes, 5, 4, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(3))
def test_what_speaks_for_one_class_speaks_against_the_other(seed):
    maps = random_maps(seed=seed)
    forth, back = (evidence_of_maps(maps, PRIOR, *pair) for pair in ((0, 2), (2, 0)))
    torch.testing.assert_close(forth.evidence, -back.evidence)
    assert forth.posterior_log_odds == pytest.approx(-back.posterior_log_odds)
    assert forth.half_share == back.half_share
    # By way of a third class: log-odds add up, pixel by pixel.
    steps = [evidence_of_maps(maps, PRIOR, *pair).evidence for pair in ((0, 1), (1, 2))]
    torch.testing.assert_close(steps[0] + steps[1], forth.evidence)


def test_of_two_classes_all_others_are_the_other_one():
    maps, prior = random_maps(2), torch.tensor([0.7, 0.3], dtype=torch.float64).log()
    named, mixed = evidence_of_maps(maps, prior, 1, 0), evidence_of_maps(maps, prior, 1)
    assert named.classes == mixed.classes == (1, 0)
    assert named.evidence.equal(mixed.evidence)
    assert named.prior_log_odds == mixed.prior_log_odds == pytest.approx(math.log(0.3 / 0.7))


def test_the_prior_moves_no_pixel_between_two_classes_and_weighs_all_others():
    maps, uniform = random_maps(), torch.full((3,), 1 / 3, dtype=torch.float64).log()
    pairs = [evidence_of_maps(maps, prior, 0, 1) for prior in (PRIOR, uniform)]
    assert pairs[0].evidence.equal(pairs[1].evidence)
    assert pairs[0].prior_log_odds != pairs[1].prior_log_odds
    mixed = [evidence_of_maps(maps, prior, 0) for prior in (PRIOR, uniform)]
    assert not mixed[0].evidence.equal(mixed[1].evidence)
    # Against a mixture whose weight lies on one class, the evidence is that against this class.
    sure = torch.tensor([0.5, 0.5 - 1e-12, 1e-12], dtype=torch.float64).log()
    torch.testing.assert_close(
        evidence_of_maps(maps[:, :1, :2], sure, 0).evidence,
        evidence_of_maps(maps[:, :1, :2], sure, 0, 1).evidence,
        rtol=0,
        atol=1e-6,
    )


@given(
    values=st.lists(st.floats(-9.0, 9.0), min_size=12, max_size=12),
    factor=st.floats(0.1, 100.0),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_share_that_holds_half_knows_neither_units_nor_places_nor_signs(values, factor, seed):
    signal = torch.tensor(values, dtype=torch.float64)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    prior = torch.tensor([0.5, 0.5]).log()

    def share(numbers: torch.Tensor) -> float:
        maps = torch.stack([numbers, torch.zeros(12, dtype=torch.float64)]).view(2, 3, 4)
        return evidence_of_maps(maps, prior, 0).half_share

    assert 0.0 <= share(signal) <= 0.5
    assert share(-signal[order].abs()) == share(signal)
    assert share(signal * factor) == pytest.approx(share(signal), abs=1 / 12 + 1e-9)
