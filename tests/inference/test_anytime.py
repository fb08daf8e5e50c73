"""The any-time classifier computes less and says what it would have said."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pixelbayes.inference.anytime import (
    THRESHOLDS,
    AnytimeClassifier,
    AnytimeRule,
    accumulate,
    agreement_limit,
    fit_anytime,
    replay,
    slices_of,
)
from pixelbayes.inference.classification import BayesClassifier, class_posterior

PRIOR = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64).log()


def random_walks(images: int = 200, slices: int = 8, seed: int = 0) -> torch.Tensor:
    """Evidence that drifts apart, (N, 3, S)."""
    generator = torch.Generator().manual_seed(seed)
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


@pytest.mark.parametrize("temperature", [1.0, 10.0, 1e6])
def test_a_rule_that_drops_nothing_answers_as_the_classifier_does(
    tiny_network, random_levels, temperature
):
    """Whose temperature weighs the evidence against the prior."""
    network = tiny_network(image_size=(13, 9))
    levels = random_levels(6, network.config)
    classifier = BayesClassifier(network, log_prior=PRIOR, temperature=temperature)
    never = AnytimeRule(math.inf, (100.0, 60.0, 20.0))
    answers = AnytimeClassifier(classifier, never).predict(levels)
    assert answers.predicted.equal(classifier.predict(levels))


def test_the_agreement_that_is_promised_is_with_the_answer_at_the_temperature():
    cumulative, temperature = random_walks(1000), 5.0
    rule = fit_anytime(cumulative, PRIOR, temperature=temperature, agreement=0.95)
    joint = cumulative + temperature * PRIOR[:, None]
    full = class_posterior(cumulative[:, :, -1], PRIOR, temperature).argmax(dim=1)
    assert (replay(joint, rule).predicted == full).double().mean() >= 0.95


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


def true_agreement(rule: AnytimeRule, joint: torch.Tensor) -> float:
    full = joint[:, :, -1].argmax(dim=1)
    return (replay(joint, rule).predicted == full).double().mean().item()


def test_bolder_targets_cost_less():
    cumulative = random_walks(1000)
    costs = []
    for agreement in (0.995, 0.95, 0.8):
        rule = fit_anytime(cumulative, PRIOR, agreement=agreement)
        costs.append(replay(cumulative + PRIOR[:, None], rule).cost)
    assert 1.0 > costs[0] > costs[1] > costs[2]


def test_agreement_on_new_images_falls_below_its_bound_in_at_most_5_percent_of_fits():
    population = random_walks(10_000) + PRIOR[:, None]
    fits, agreements = 120, []
    for number in range(fits):
        sample = random_walks(150, seed=1 + number)
        rule = fit_anytime(sample, PRIOR, agreement=0.95, confidence=0.95)
        assert rule.bound is not None
        assert rule.bound.agreement >= 0.95
        agreements.append(true_agreement(rule, population))
    below = sum(agreement < 0.95 for agreement in agreements)
    assert below <= 0.05 * fits
    assert sorted(agreements)[fits // 2] < 0.985, "so careful that the bound says little"


@pytest.mark.parametrize("seed", range(4))
def test_no_threshold_of_the_table_that_passes_is_cheaper(seed):
    cumulative = random_walks(400, seed=seed)
    rule = fit_anytime(cumulative, PRIOR, agreement=0.95)
    assert rule.bound is not None
    joint = (cumulative + PRIOR[:, None])[torch.arange(400) % 10 != 0]
    full = joint[:, :, -1].argmax(dim=1)
    wrong = torch.zeros(len(joint), dtype=torch.bool)
    costs = []
    for threshold in THRESHOLDS:
        result = replay(joint, AnytimeRule(threshold, rule.deviations))
        wrong |= result.predicted != full
        exact = stats.binomtest(len(joint) - int(wrong.sum()), len(joint), alternative="greater")
        if exact.proportion_ci(0.95, method="exact").low >= 0.95:
            costs.append(result.cost)
    assert replay(joint, rule).cost == min(costs)


@pytest.mark.parametrize(("disagreeing", "images"), [(0, 598), (3, 40), (40, 40), (39, 40)])
def test_the_limit_is_that_of_clopper_and_pearson(disagreeing, images):
    exact = stats.binomtest(images - disagreeing, images, alternative="greater")
    assert agreement_limit(disagreeing, images, 0.95) == pytest.approx(
        exact.proportion_ci(0.95, method="exact").low, abs=1e-12
    )


def test_too_few_images_to_show_an_agreement_are_refused_with_the_number_that_it_takes():
    with pytest.raises(ValueError, match="takes at least 665 images even if none disagrees"):
        fit_anytime(random_walks(500), PRIOR)
    assert fit_anytime(random_walks(665), PRIOR).bound is not None


def test_a_rule_does_not_change_with_the_thresholds_of_images_that_measure_deviations():
    cumulative = random_walks(400)
    doubled = cumulative.clone()
    doubled[::10] *= 2.0
    rule, other = (fit_anytime(x, PRIOR, agreement=0.95) for x in (cumulative, doubled))
    torch.testing.assert_close(2.0 * torch.tensor(rule.deviations), torch.tensor(other.deviations))
    # The same drops at half the threshold, up to the grid's step of 4 %.
    assert other.threshold == pytest.approx(rule.threshold / 2, rel=0.1)


def test_a_class_of_probability_zero_is_never_answered_nor_computed(tiny_network, random_levels):
    network = tiny_network()
    levels = random_levels(6, network.config)
    prior = torch.tensor([0.0, 0.6, 0.4], dtype=torch.float64).log()
    classifier = BayesClassifier(network, log_prior=prior)
    rule = AnytimeRule(math.inf, (60.0,))
    result = AnytimeClassifier(classifier, rule).predict(levels)
    assert result.predicted.equal(classifier.predict(levels))
    assert result.slices[:, 0].eq(0).all()
    replayed = replay(accumulate(network, levels) + prior[:, None], rule)
    assert result.slices.equal(replayed.slices)
    fitted = fit_anytime(random_walks(400), prior, agreement=0.9)
    assert all(math.isfinite(deviation) for deviation in fitted.deviations)


def test_an_image_of_which_one_class_is_possible_costs_nothing(tiny_network, random_levels):
    network = tiny_network()
    prior = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).log()
    classifier = BayesClassifier(network, log_prior=prior)
    result = AnytimeClassifier(classifier, AnytimeRule(1.0, (60.0,))).predict(
        random_levels(2, network.config)
    )
    assert result.cost == 0.0
    assert result.predicted.eq(1).all()


@pytest.mark.parametrize("memory_budget", [1, 20_000, 1 << 30])
def test_answers_and_cost_are_the_same_at_any_memory_budget(
    tiny_network, random_levels, memory_budget
):
    network = tiny_network(image_size=(13, 9))
    levels = random_levels(7, network.config)
    rule = AnytimeRule(0.3, (100.0, 60.0, 20.0))
    classifier = BayesClassifier(network, log_prior=PRIOR, memory_budget=memory_budget)
    result = AnytimeClassifier(classifier, rule).predict(levels)
    replayed = replay(accumulate(network, levels) + PRIOR[:, None], rule)
    assert result.predicted.equal(replayed.predicted)
    assert result.slices.equal(replayed.slices)
    assert 0.0 < result.cost < 1.0


def test_open_pairs_of_all_images_are_computed_in_few_passes(
    tiny_network, random_levels, monkeypatch
):
    network = tiny_network()
    passes: list[int] = []
    describe_rows = network.describe_rows

    def counted(levels, *arguments):
        passes.append(len(levels))
        return describe_rows(levels, *arguments)

    monkeypatch.setattr(network, "describe_rows", counted)
    classifier = BayesClassifier(network)
    monkeypatch.setattr(classifier, "chunk_images", lambda: 2)
    levels = random_levels(8, network.config)
    result = AnytimeClassifier(classifier, AnytimeRule(0.3, (60.0,))).predict(levels)
    computed = [int((result.slices > done).sum()) for done in range(2)]
    assert computed[0] == 24
    assert computed[1] < 24
    assert len(passes) == sum(-(-pairs // 6) for pairs in computed)
    assert max(passes) <= 6


def test_a_rule_for_another_image_size_is_refused(tiny_network):
    with pytest.raises(ValueError, match="fit one on its own validation data"):
        AnytimeClassifier(BayesClassifier(tiny_network()), AnytimeRule(1.0, (1.0, 1.0, 1.0)))


@pytest.mark.parametrize("wrong", [{"agreement": 0.0}, {"agreement": 1.0}, {"confidence": 1.1}])
def test_an_agreement_that_no_sample_can_show_is_refused(wrong):
    with pytest.raises(ValueError, match=r"lie in \(0, 1\)"):
        fit_anytime(random_walks(), PRIOR, **wrong)


@given(threshold=st.floats(0.0, 5.0), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_an_image_is_decided_by_its_own_likelihoods_alone(threshold, seed):
    joint = random_walks(12, seed=seed) + PRIOR[:, None]
    rule = AnytimeRule(threshold, tuple(6.0 - 0.7 * done for done in range(7)))
    together = replay(joint, rule)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    assert replay(joint[order], rule).predicted.equal(together.predicted[order])
    assert replay(joint[:1], rule).slices.equal(together.slices[:1])
    # What all classes of an image share says nothing.
    shared = replay(joint - 100.0 * torch.arange(12.0)[:, None, None], rule)
    assert shared.predicted.equal(together.predicted)
    assert shared.slices.equal(together.slices)


@given(threshold=st.floats(0.0, 5.0), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_class_is_computed_from_the_top_without_a_gap_and_the_answer_to_the_last(threshold, seed):
    joint = random_walks(12, seed=seed) + PRIOR[:, None]
    rule = AnytimeRule(threshold, tuple(6.0 - 0.7 * done for done in range(7)))
    result = replay(joint, rule)
    assert result.slices.min() >= 1, "every class is looked at once"
    assert result.slices.max() <= 8
    answered = result.slices.gather(1, result.predicted[:, None])[:, 0]
    assert answered.equal(result.slices.max(dim=1).values)
    assert result.cost == pytest.approx(float(result.slices.double().mean()) / 8)


def test_at_threshold_zero_the_leader_after_the_first_slice_is_the_answer():
    joint = random_walks(50) + PRIOR[:, None]
    result = replay(joint, AnytimeRule(0.0, (1.0,) * 7))
    assert result.predicted.equal(joint[:, :, 0].argmax(dim=1))
    assert result.cost == pytest.approx(1 / 8)


@pytest.mark.parametrize("rows", [8, 13, 32])
def test_slices_are_the_rows_of_an_image_from_the_top_down(rows):
    parts = slices_of(rows)
    assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
    assert all(part.start % 4 == 0 for part in parts), "where three resolutions can be cut"


def test_a_loaded_model_is_told_where_its_classifier_is(tiny_model, random_levels):
    levels = random_levels(1, tiny_model.network.config)
    with pytest.raises(TypeError, match=r"got PixelBayes; of a loaded model model\.classifier\(\)"):
        accumulate(tiny_model, levels)
    rule = AnytimeRule(3.0, (1.0,))
    with pytest.raises(TypeError, match=r"model\.classifier\(\) makes it"):
        AnytimeClassifier(tiny_model, rule)
