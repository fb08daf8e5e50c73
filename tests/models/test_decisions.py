"""Thresholds that are stored with a model, and what they decide."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.conformal import fit_classwise_sets, fit_sets
from pixelbayes.evaluation.outliers import png_bits, typicality
from pixelbayes.io import Reading, plain, structure, to_json
from pixelbayes.models import Metadata, PixelBayes, load_model
from pixelbayes.models.decisions import COVERAGES, SET_METHODS, Decisions, fit_decisions
from pixelbayes.models.prediction import predictions
from pixelbayes.models.storage import DESCRIPTION

CLASSES = 3


def drawn(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities, and labels drawn from them."""
    generator = torch.Generator().manual_seed(seed)
    log_proba = (2 * torch.randn(n, CLASSES, generator=generator).double()).log_softmax(dim=1)
    return log_proba, log_proba.exp().multinomial(1, generator=generator)[:, 0]


def fitted(n: int = 400, *, density: bool = True) -> Decisions:
    """Thresholds whose log p(x) are the whole numbers 1 to n."""
    log_proba, labels = drawn(n)
    return fit_decisions(
        log_prob=torch.arange(1.0, n + 1) if density else None,
        log_proba=log_proba,
        levels=torch.zeros(n, 3, 8, 8, dtype=torch.uint8),
        labels=labels,
        temperature=2.0,
        calibrated_on="validation of nothing",
    )


@pytest.fixture(scope="module")
def decisions() -> Decisions:
    """Of a density."""
    return fitted()


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("method", SET_METHODS)
def test_stored_thresholds_give_the_sets_that_were_fitted(decisions, method, coverage):
    log_proba, labels = drawn(400)
    score, _, classwise = method.partition("-")
    fit = fit_classwise_sets if classwise else fit_sets
    expected = fit(log_proba, labels, coverage=coverage, score=score)(log_proba)
    assert torch.equal(decisions.prediction_set(log_proba, coverage, method), expected)


def test_a_coverage_between_two_has_the_sets_of_the_higher(decisions):
    log_proba, _ = drawn(50, seed=1)
    between = decisions.prediction_set(log_proba, 0.88)
    assert torch.equal(between, decisions.prediction_set(log_proba, 0.9))
    assert torch.equal(
        decisions.prediction_set(log_proba, 0.01),
        decisions.prediction_set(log_proba, COVERAGES[0]),
    )


def test_sets_hold_the_true_class_as_often_as_stated(decisions):
    log_proba, labels = drawn(20_000, seed=2)
    for method in SET_METHODS:
        held = decisions.prediction_set(log_proba, 0.9, method).gather(1, labels[:, None])
        # Beta(361, 40), the coverage of one threshold from 400 images, is within 0.045 of 0.9.
        assert abs(float(held.double().mean()) - 0.9) < 0.045


@pytest.mark.parametrize("coverage", [0.0, -1.0, 0.995, 1.0, "0.9", None, True])
def test_a_coverage_that_was_not_kept_is_refused(decisions, coverage):
    with pytest.raises(PixelBayesError, match=r"at most 0\.99"):
        decisions.prediction_set(drawn(2)[0], coverage)


def test_an_image_is_strange_on_either_side_of_what_is_typical(decisions):
    # |1 .. 400 - 200.5|: every distance occurs twice; of 400 the 381st is 190.5 (rank .95 * 401).
    assert decisions.typical_log_prob == 200.5
    assert decisions.outlier_rule("typicality").threshold == 190.5
    scores = decisions.outlier_rule("typicality")
    distances = typicality(torch.tensor([9.0, 10.0, 200.0, 391.0, 392.0]), 200.5)
    assert scores(distances).tolist() == [True, False, False, False, True]


def test_an_image_is_unlike_where_its_code_is_longer_than_its_detail_makes_one_expect(decisions):
    levels = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    levels[1] = torch.randint(0, 256, (3, 8, 8), generator=torch.Generator().manual_seed(0))
    limit = decisions.outlier_rule("complexity").threshold
    for shift, unlike in ((-1e-6, False), (1e-6, True)):
        # As many bits as the PNG of each, and the threshold: the plain one and the busy one alike.
        log_prob = -(png_bits(levels) + limit + shift) * math.log(2.0)
        assert decisions.is_unlike(log_prob, levels).tolist() == [unlike, unlike]


def test_false_alarms_are_as_rare_as_asked_for(decisions):
    for rule in decisions.outliers.values():
        assert rule.false_alarm_rate == 0.05
        assert rule.estimate.low < 5.0 < rule.estimate.high
        assert list(rule.quantiles) == sorted(rule.quantiles)


def test_a_model_that_is_no_density_has_sets_and_no_thresholds_of_strangers():
    decisions = fitted(density=False)
    assert set(decisions.sets) == {*SET_METHODS}
    assert not decisions.outliers
    with pytest.raises(PixelBayesError, match="gives no p"):
        decisions.is_unlike(torch.zeros(1), torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def test_another_temperature_has_no_sets_but_what_it_does_not_touch(decisions):
    assert decisions.at_temperature(2.0) is decisions
    other = decisions.at_temperature(3.0)
    assert "entropy" not in other.outliers
    assert "typicality" in other.outliers
    with pytest.raises(PixelBayesError, match="pixelbayes calibrate"):
        other.prediction_set(drawn(2)[0], 0.9)


def test_thresholds_come_back_from_json_as_they_were(decisions):
    few = fitted(30)  # too few of a class for 99 %: every class is in the set
    assert None in few.sets["lac-classwise"].thresholds[-1]
    for one in (decisions, few):
        content = json.loads(to_json(plain(one)))
        assert structure(Decisions, content, "model.json", Reading.CURRENT) == one


def test_rows_of_another_length_are_refused(decisions):
    with pytest.raises(PixelBayesError, match="as long as n"):
        replace(decisions.sets["lac"], n=(1, 2))


def calibrated(model: PixelBayes) -> PixelBayes:
    decisions = replace(fitted(), temperature=model.temperature)
    return model.with_decisions(decisions)


def test_a_checkpoint_keeps_them_and_one_without_loads_as_before(tiny_model, tmp_path):
    calibrated(tiny_model).save(tmp_path / "with")
    tiny_model.save(tmp_path / "without")
    assert load_model(tmp_path / "with").decisions == calibrated(tiny_model).decisions
    assert load_model(tmp_path / "without").decisions is None
    assert "decisions" not in json.loads((tmp_path / "without" / DESCRIPTION).read_text("utf-8"))


def test_a_new_temperature_takes_the_sets_from_a_model(tiny_model):
    model = calibrated(tiny_model)
    assert model.with_temperature(model.temperature).decisions == model.decisions
    other = model.with_temperature(1.0)
    assert not other.decisions.sets
    log_proba = torch.full((1, CLASSES), 1 / CLASSES, dtype=torch.float64).log()
    fitted_at = f"at temperature {model.temperature:.4g}, and at another one"
    with pytest.raises(PixelBayesError, match=fitted_at):
        other.decisions.prediction_set(log_proba, 0.9)


def test_predictions_have_sets_and_say_what_is_unlike_only_where_calibrated(tiny_model):
    model, table = calibrated(tiny_model), torch.zeros(2, CLASSES, dtype=torch.float64)
    table[1] -= 1e6
    levels = torch.zeros(2, tiny_model.channels, *tiny_model.image_size, dtype=torch.uint8)
    plain_ones = predictions(tiny_model, table, levels, ["a", "b"])
    assert [one.unlike_training for one in plain_ones] == [None, True], "one is worse than noise"
    answers = predictions(model, table, levels, ["a", "b"], coverage=0.95)
    assert answers[1].unlike_training is True
    assert answers[0].prediction_set[0] == model.classes[0]  # the most probable, by the prior
    with pytest.raises(PixelBayesError, match="pixelbayes calibrate"):
        predictions(tiny_model, table, levels, ["a", "b"], coverage=0.9)


def test_verbs_of_a_model_give_scores_and_sets(tiny_model, random_levels):
    model = calibrated(tiny_model)
    levels = random_levels(2, model.network.config)
    expected = -model.score_samples(levels)
    assert torch.equal(model.outlier_scores(levels), expected)
    typical = model.decisions.typical_log_prob
    assert torch.equal(model.outlier_scores(levels, "typicality"), (-expected - typical).abs())
    sets = model.prediction_sets(levels, 0.99, "aps")
    assert len(sets) == 2
    assert all(set(one) <= {*model.classes} for one in sets)
    with pytest.raises(PixelBayesError, match="no outlier score"):
        model.outlier_scores(levels, "colour")
    with pytest.raises(PixelBayesError, match="this one has none"):
        tiny_model.outlier_scores(levels, "typicality")


def test_an_ensemble_does_not_take_over_thresholds_of_a_member(tiny_model):
    from pixelbayes.models import Ensemble

    assert Ensemble([calibrated(tiny_model), tiny_model]).decisions is None


def test_metadata_has_none_at_first():
    assert Metadata(classes=("a",), resize={}, log_prior=(math.log(1),)).decisions is None
