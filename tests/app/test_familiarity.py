"""How usual an image is, beside those that the thresholds came from."""

from __future__ import annotations

import pytest
import torch

from pixelbayes.app.classify import answer, answer_html, coverages
from pixelbayes.app.familiarity import place
from pixelbayes.app.folder import classify_folder
from pixelbayes.app.limits import Limits, read_photo
from pixelbayes.core import bits_per_dim
from pixelbayes.models.decisions import fit_decisions

IMAGES = 60


@pytest.fixture
def calibrated(tiny_model):
    generator = torch.Generator().manual_seed(1)
    levels = tiny_model.draw(torch.arange(IMAGES) % 3, generator)
    log_prob, log_proba = tiny_model.score_samples(levels), tiny_model.predict_log_proba(levels)
    decisions = fit_decisions(
        log_prob=log_prob,
        log_proba=log_proba,
        levels=levels,
        labels=torch.arange(IMAGES) % 3,
        temperature=tiny_model.temperature,
        calibrated_on="its own images",
    )
    return tiny_model.with_decisions(decisions), log_prob, levels


def test_the_median_image_is_in_the_middle_and_familiar(calibrated):
    model, log_prob, levels = calibrated
    median = int(log_prob.argsort()[IMAGES // 2])
    found = place(model, float(log_prob[median]), levels[median])
    assert found.longer_than == pytest.approx(0.5, abs=0.02)
    assert found.n == IMAGES
    assert not found.unlike
    assert found.bits == pytest.approx(float(bits_per_dim(log_prob[median], model.dims)))


def test_an_image_far_outside_is_unlike_and_at_the_end_of_the_picture(calibrated):
    model, log_prob, levels = calibrated
    strange = place(model, 100 * float(log_prob.min()), levels[0])
    assert strange.unlike
    assert strange.longer_than == 1.0
    assert strange.at == 1.0
    assert place(model, 0.0, levels[0]).at == 0.0


def test_at_the_ends_nothing_is_claimed_that_was_not_kept(calibrated):
    """Of the scores every fortieth is kept: below the second nobody knows how many there are."""
    model, log_prob, levels = calibrated
    ordered = log_prob.sort(descending=True).values
    said = [place(model, float(log_prob), levels[0]).share_of_shorter for log_prob in ordered]
    inside = [text for text in said if text[0].isdigit()]
    assert said[1] == "less than 2.5%"
    assert said[-2] == "more than 97.5%"
    assert len(inside) >= 0.9 * IMAGES
    assert place(model, 0.0, levels[0]).share_of_shorter == "none"
    assert place(model, 100 * float(log_prob.min()), levels[0]).share_of_shorter == "all"
    found = place(model, float(ordered[IMAGES // 2]), levels[0])
    quantiles = model.decisions.outliers["likelihood"].quantiles
    ends = [bits_per_dim(-torch.tensor(quantiles[i]).double(), model.dims) for i in (1, -2)]
    for left, width, height in found.bars:
        right = found.low + (left + width) * (found.high - found.low)
        if right <= ends[0] or found.low + left * (found.high - found.low) >= ends[1]:
            assert height == pytest.approx(0.0, abs=1e-12)


def test_the_bars_fill_the_picture_and_the_highest_is_one(calibrated):
    model, log_prob, levels = calibrated
    bars = place(model, float(log_prob[0]), levels[0]).bars
    assert sum(width for _, width, _ in bars) == pytest.approx(1.0)
    assert max(height for *_, height in bars) == 1.0


def test_without_thresholds_nothing_is_claimed(tiny_model, photo_folder):
    photo = read_photo(photo_folder(1) / "00.png", tiny_model, Limits())
    said = answer(tiny_model, photo)
    assert place(tiny_model, said.log_prob, photo.levels) is None
    assert coverages(tiny_model) == []
    assert "pixelbayes calibrate" in answer_html(tiny_model, said)


def test_the_set_that_is_shown_is_the_models(calibrated, photo_folder):
    model, *_ = calibrated
    photo = read_photo(photo_folder(1) / "00.png", model, Limits())
    said = answer(model, photo)
    for coverage in coverages(model):
        (expected,) = model.prediction_sets(photo.levels, coverage)
        html = answer_html(model, said, coverage)
        assert html.count('class="pb-inside"') == len(expected)
        assert not expected or f"<strong>{' or '.join(expected)}</strong>" in html


def test_a_folder_tells_who_is_unlike_as_the_model_does(calibrated, photo_folder):
    model, *_ = calibrated
    files = sorted(photo_folder(4).iterdir())
    rows = classify_folder(model, files, Limits(), {}, lambda _: None)
    expected = {one.source.rsplit("/", 1)[-1]: one.unlike_training for one in model.predict(files)}
    assert {row.name: row.unlike for row in rows} == expected
