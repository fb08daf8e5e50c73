"""A temperature is used where it helps images that it was not fitted on, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pixelbayes.data import ImageDataset, LabelledImages, Resize
from pixelbayes.evaluation import log_loss
from pixelbayes.inference import class_posterior
from pixelbayes.models import PixelBayes
from pixelbayes.report import Report, load, save
from pixelbayes.report.render import report_markdown
from pixelbayes.workflows.evaluate import evaluate
from pixelbayes.workflows.scoring import ScoredSplit, tempering_of

CLASSES = ("koala", "pizza", "sea lion")
UNIFORM = torch.full((3,), log(1 / 3), dtype=torch.float64)


def numbered(count: int, first: int, labels: Tensor, split: str) -> LabelledImages:
    """Images that hold their number in the first two pixels."""
    levels = torch.zeros(count, 3, 8, 8, dtype=torch.uint8)
    number = torch.arange(first, first + count)
    levels[:, 0, 0, 0], levels[:, 0, 0, 1] = (number // 256).byte(), (number % 256).byte()
    return LabelledImages(levels, labels, tuple(f"{split}/{i}" for i in range(count)))


def evidence(n: int, temperature: float, seed: int) -> tuple[Tensor, Tensor]:
    """Log-likelihoods (N, 3) that are calibrated at a temperature, and labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=generator)[:, 0]
    return temperature * logits, labels


@pytest.fixture
def report_on(
    tiny_model: PixelBayes, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Tensor, Tensor], Report]:
    """Evaluates a model that answers with this table; validation first, then as many of test."""

    def measure(table: Tensor, labels: Tensor) -> Report:
        def answers(_: PixelBayes, levels: Tensor, **__: object) -> Tensor:
            first, second = levels[:, 0, 0, 0].long(), levels[:, 0, 0, 1].long()
            return table[256 * first + second]

        monkeypatch.setattr(PixelBayes, "log_likelihoods", answers)
        monkeypatch.setattr(PixelBayes, "log_prior", UNIFORM)
        half = len(labels) // 2
        splits = {
            "train": numbered(3, 60000, torch.arange(3), "train"),
            "validation": numbered(half, 0, labels[:half], "validation"),
            "test": numbered(half, half, labels[half:], "test"),
        }
        data = ImageDataset("numbers", CLASSES, splits, Resize(size=(8, 8)))
        return evaluate(tiny_model, data, samples_per_class=0, current=1.0)

    return measure


def test_a_temperature_that_helps_new_images_is_used_with_its_interval(
    report_on: Callable[[Tensor, Tensor], Report], tmp_path: Path
) -> None:
    report = report_on(*evidence(400, 20.0, seed=1))
    fit = report.temperature_fit
    assert fit is not None
    assert fit.accepted
    assert fit.fitted.low < 20 < fit.fitted.high
    assert report.temperature == fit.fitted.value == pytest.approx(20, rel=0.3)
    measures = report.splits["test"].measures
    assert measures["log_loss/calibrated"].value < measures["log_loss/raw"].value
    assert f"[{fit.fitted.low:.4g}, {fit.fitted.high:.4g}]" in report_markdown(report)
    save(report, tmp_path)
    assert load(tmp_path).temperature_fit == fit


def test_a_temperature_that_does_not_help_new_images_is_not_used_and_the_report_says_so(
    report_on: Callable[[Tensor, Tensor], Report],
) -> None:
    report = report_on(*evidence(400, 1.0, seed=2))
    assert report.temperature_fit is not None
    assert not report.temperature_fit.accepted
    assert report.temperature == 1.0
    for split in report.splits.values():
        assert split.measures["log_loss/calibrated"] == split.measures["log_loss/raw"]
    words = report_markdown(report)
    assert "Temperature 1 stays, not" in words
    assert "calibrated numbers are the raw ones" in words


def test_images_that_are_all_right_do_not_make_the_first_wrong_one_cost_more(
    report_on: Callable[[Tensor, Tensor], Report],
) -> None:
    """A log-loss of 0.858 became 11.480: validation was all right by a little, test was not."""
    labels = torch.arange(60) % 3
    table = torch.zeros(60, 3, dtype=torch.float64)
    table[torch.arange(60), labels] = 2.0
    table[50:] = table[50:].roll(1, dims=1)  # the last ten of the test are wrong
    report = report_on(table, labels)
    assert report.temperature == 1.0
    raw = log_loss(class_posterior(table[30:], UNIFORM), labels[30:])
    assert report.splits["test"].measures["log_loss/raw"] == raw


def test_likelihoods_that_say_nothing_end_at_the_prior(
    report_on: Callable[[Tensor, Tensor], Report],
) -> None:
    """More uncertainty is always safe, even where the images set no upper limit to it."""
    _, labels = evidence(400, 1.0, seed=3)
    table, _ = evidence(400, 1000.0, seed=4)
    report = report_on(table, labels)
    assert report.temperature_fit is not None
    assert report.temperature_fit.accepted
    loss = report.splits["test"].measures["log_loss/calibrated"].value
    assert loss == pytest.approx(log(3), abs=0.1)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    n=st.integers(2, 60),
    temperature=st.floats(0.05, 500),
    current=st.floats(0.1, 50),
    seed=st.integers(0, 10_000),
)
def test_another_temperature_than_the_current_one_has_a_gain_beyond_its_uncertainty(
    n: int, temperature: float, current: float, seed: int
) -> None:
    table, labels = evidence(n, temperature, seed)
    found = tempering_of(ScoredSplit(numbered(n, 0, labels, "validation"), table), UNIFORM, current)
    assert found.decision is not None
    if found.temperature != current:
        assert found.decision.gain.low > 0
        assert found.temperature == found.decision.fitted.value
    else:
        assert not found.decision.accepted


def test_without_validation_images_the_temperature_of_the_model_stays(
    tiny_model: PixelBayes,
) -> None:
    images = numbered(6, 0, torch.arange(6) % 3, "test")
    data = ImageDataset("numbers", CLASSES, {"test": images}, Resize(size=(8, 8)))
    report = evaluate(tiny_model, data, samples_per_class=0)
    assert report.temperature == tiny_model.temperature == 20.0
    assert report.temperature_fit is None
    assert "temperature 20, its own" in report_markdown(report)
