"""Explanations with names: what adds up, what is drawn, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.counterfactual import Counterfactual
from pixelbayes.inference.evidence import Evidence
from pixelbayes.models.explanation import AGAINST, FOR, MARGIN, PANEL, Explanation, side_by_side


@pytest.fixture
def levels(tiny_model, random_levels):
    """One image."""
    return random_levels(1, tiny_model.network.config)[0]


def test_the_evidence_adds_up_to_the_log_odds_of_two_classes(tiny_model, levels):
    found = tiny_model.explain(levels, "pizza", "koala")
    table = tiny_model.log_likelihoods(levels[None])[0]
    expected = float(table[1] - table[0])
    assert found.classes == ("pizza", "koala")
    assert found.log_odds == pytest.approx(expected, rel=1e-9)
    assert float(found.evidence.sum()) == pytest.approx(expected, rel=1e-9)
    assert float(found.surprise.sum()) == pytest.approx(-float(table[1]), rel=1e-9)


def test_without_names_it_is_the_answer_against_the_mixture_of_the_others(tiny_model, levels):
    found = tiny_model.explain(levels)
    answer = tiny_model.predict(levels)[0]
    table = tiny_model.log_likelihoods(levels[None])[0] + tiny_model.log_prior
    of = answer.index
    others = torch.cat([table[:of], table[of + 1 :]]).logsumexp(dim=0)
    assert found.classes[0] == answer.label
    assert found.against == "all others"
    assert found.found.posterior_log_odds == pytest.approx(float(table[of] - others), rel=1e-9)


@pytest.mark.parametrize("against", [None, "koala"])
def test_log_odds_at_the_temperature_are_those_of_the_probabilities(tiny_model, levels, against):
    model = tiny_model.with_temperature(30.0)
    found = model.explain(levels, "pizza", against)
    log_proba = model.predict_log_proba(levels[None])[0]
    others = log_proba[[0, 2]].logsumexp(dim=0) if against is None else log_proba[0]
    expected = float(log_proba[1] - others) - found.found.prior_log_odds
    assert found.tempered_log_odds == pytest.approx(expected, rel=1e-6)
    assert found.to_json()["tempered_log_odds"] == found.tempered_log_odds


def test_numbers_for_programs_are_those_of_the_map(tiny_model, levels):
    found = tiny_model.explain(levels, "pizza", "koala")
    described = found.to_json()
    assert np.array(described["evidence"]).shape == (8, 8)
    assert described["running_log_odds"][-1] == pytest.approx(found.log_odds)
    assert "late" in described["reading"]
    assert "before the temperature" in described["reading"]


def evidence_of(evidence, classes):
    return Evidence(
        evidence=evidence,
        surprise=torch.ones_like(evidence),
        classes=tuple(range(classes)),
        prior_log_odds=0.0,
        log_likelihoods=torch.zeros(classes),
        log_weights=torch.zeros(classes - 1),
    )


def test_the_figure_shows_pixels_for_in_blue_and_against_in_orange():
    evidence = torch.zeros(8, 8, dtype=torch.float64)
    evidence[:, 0], evidence[:, 7] = 2.0, -2.0
    found = evidence_of(evidence, classes=2)
    levels = torch.zeros(1, 8, 8, dtype=torch.uint8)
    figure = Explanation(levels, found, ("a", "b"), 1.0).figure()
    pixels, zoom = np.asarray(figure), PANEL // 8
    row = pixels[figure.height // 2]
    second = 2 * MARGIN + PANEL
    assert tuple(row[second + zoom // 2]) == FOR
    assert tuple(row[second + 7 * zoom + zoom // 2]) == AGAINST
    assert tuple(row[second + 3 * zoom]) == (255, 255, 255)
    assert tuple(row[MARGIN + 1]) == (0, 0, 0)  # the image itself


def test_a_figure_of_no_evidence_can_be_drawn():
    nothing = torch.zeros(8, 8, dtype=torch.float64)
    found = evidence_of(nothing, classes=3)
    levels = torch.zeros(3, 8, 8, dtype=torch.uint8)
    assert Explanation(levels, found, ("a" * 99, "b", "c"), 1.0).figure().width > 4 * PANEL


def test_original_and_result_stand_side_by_side():
    original = torch.zeros(3, 8, 8, dtype=torch.uint8)
    result = original.clone()
    result[:, 2:4] = 255
    found = Counterfactual(original, result, (2, 4), (0, 8), 0, 1, 1, 0.5)
    pixels = np.asarray(side_by_side(found, ["a", "b"]))
    middle = (2.5 * PANEL / 8) + pixels.shape[0] / 2 - PANEL / 2  # in the third row of the image
    third = 3 * MARGIN + 2 * PANEL
    assert pixels[int(middle), MARGIN + 1].max() == 0
    assert pixels[int(middle), third + 1].min() == 255


def test_a_counterfactual_differs_only_in_its_part(tiny_model, levels):
    found = tiny_model.counterfactual(levels, generator=3, draws=1)
    assert found is not None
    kept = torch.ones(8, 8, dtype=torch.bool)
    kept[slice(*found.rows), slice(*found.columns)] = False
    assert torch.equal(found.result[:, kept], levels[:, kept])
    assert tiny_model.predict(found.result)[0].index == found.after != found.before


def test_two_images_and_models_without_pixels_are_refused(tiny_model, random_levels):
    from pixelbayes.models import Ensemble

    two = random_levels(2, tiny_model.network.config)
    with pytest.raises(PixelBayesError, match="one image"):
        tiny_model.explain(two)
    with pytest.raises(PixelBayesError, match="a PixelCNN explains"):
        Ensemble([tiny_model, tiny_model]).explain(two[:1])
