"""Whether a confidence of 80 % is right 80 % of the time.

Everything takes log-probabilities log p(y | x) in nats, (N, K), and class indices 0..K-1,
int64, (N,).  Unlabelled images (label -1) must be left out first.  "Confidence" is the largest
probability of an image, so what is calibrated is the answer that would be given (top-label
calibration).

References:
    [1] Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2: reliability
        diagram and ECE.  https://arxiv.org/abs/1706.04599
    [2] Brier, Verification of forecasts expressed in terms of probability, 1950.
    [3] Broecker, Smith, Increasing the reliability of reliability diagrams, Weather and
        Forecasting 22, 2007: labels drawn from the predictions themselves.
    [4] Nguyen, O'Connor, Posterior calibration and exploratory analysis for natural language
        processing models, EMNLP 2015: bins of equal mass.  https://arxiv.org/abs/1508.05154
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError, naming_extras
from pixelbayes.evaluation.arrays import arrays_too, require_indices
from pixelbayes.evaluation.estimate import (
    LOWER,
    UPPER,
    Estimate,
    draws_at_a_time,
    mean_estimate,
    sums_by_group,
    with_replacement,
)

__all__ = [
    "ReliabilityCurve",
    "adaptive_calibration_error",
    "brier_score",
    "calibrated_band",
    "calibration_error_estimate",
    "check_log_proba",
    "check_shapes",
    "expected_calibration_error",
    "log_loss",
    "reliability_curve",
]

BINS = 15  # as in [1]
SUM_TOLERANCE = 1e-2  # nats; bfloat16 posteriors sum to one within that
NOT_QUITE_ONE = math.nextafter(1.0, 0.0)
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class ReliabilityCurve:
    """Accuracy against confidence ([1], section 2); bins without images are left out."""

    confidence: list[float]
    """Mean confidence of the images of each bin, in [0, 1], increasing."""
    accuracy: list[float]
    """Share of right answers in each bin, in [0, 1]."""
    count: list[int]
    """Images in each bin, at least 1."""


@arrays_too
def log_loss(log_proba: Tensor, labels: Tensor) -> Estimate:
    """Mean of -log p(true class), in nats, with Student's interval, cut off at 0.

    A true class with probability zero makes the loss infinite, and it is reported as infinite:
    nothing is clipped.

    >>> print(log_loss(torch.tensor([[0.5, 0.5], [0.5, 0.5]]).log(), torch.tensor([0, 1])))
    0.693 nats [0.693, 0.693], n = 2

    Args:
        log_proba: log p(y | x), (N, K).
        labels: True classes, (N,).

    Raises:
        ValueError: If shapes, labels or probabilities are impossible, or N < 2.
    """
    log_proba, labels = check_log_proba(log_proba, labels), labels.cpu()
    mean = mean_estimate(-log_proba.gather(1, labels[:, None])[:, 0], "nats")
    return replace(mean, low=max(0.0, mean.low))


@arrays_too
def brier_score(log_proba: Tensor, labels: Tensor) -> Estimate:
    """Mean squared distance of probabilities to the one-hot truth, in 0..2 [2]; low >= 0.

    >>> print(brier_score(torch.tensor([[0.5, 0.5], [0.5, 0.5]]).log(), torch.tensor([0, 1])))
    0.500 [0.500, 0.500], n = 2

    Args:
        log_proba: log p(y | x), (N, K).
        labels: True classes, (N,).

    Raises:
        ValueError: If shapes, labels or probabilities are impossible, or N < 2.
    """
    log_proba, labels = check_log_proba(log_proba, labels), labels.cpu()
    truth = torch.nn.functional.one_hot(labels, log_proba.shape[1])
    mean = mean_estimate((log_proba.exp() - truth).square().sum(dim=1), "")
    return replace(mean, low=max(0.0, mean.low))


@arrays_too
@naming_extras()
def expected_calibration_error(log_proba: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Mean gap between confidence and accuracy over equally wide bins ([1], equation 3).

    The bins are those of `reliability_curve`, so this is the mean of its gaps weighted by its
    counts.  It is biased upwards when bins hold few images.

    Args:
        log_proba: log p(y | x), (N, K).
        labels: True classes, (N,).
        bins: Number of bins of equal width on [0, 1].

    Returns:
        A share in [0, 1], not a percentage.

    Raises:
        ValueError: If shapes, labels or probabilities are impossible, or bins < 1.
    """
    from torchmetrics.functional.classification import binary_calibration_error

    confidence, correct = _top_label(log_proba, labels, bins)
    # "Was the top label right?" is a binary question: equal to the multiclass metric, and
    # defined for a single class as well.
    return float(binary_calibration_error(confidence, correct.long(), n_bins=bins, norm="l1"))


@arrays_too
def calibration_error_estimate(
    log_proba: Tensor, labels: Tensor, bins: int = BINS, *, seed: int = 0
) -> Estimate:
    """`expected_calibration_error` in percent with a 95 % interval for that of endless images.

    A bootstrap of ECE itself is no interval: ECE is biased upwards, its resamples twice so, and
    of a calibrated model they never cover the truth, 0.  The lower end is ECE minus the 95 %
    quantile of how far the resamples' gaps are from the gaps found (weighted by count, summed),
    which by the triangle inequality is too low rather than too high, and 0 where the ECE is one
    that a calibrated model has (`calibrated_band`).  The upper end is the 97.5 % percentile of
    the resampled ECE, high for its bias.  So the interval is wide rather than narrow: coverage
    by simulation is in docs/results/coverage.md.

    Args:
        log_proba: log p(y | x), (N, K).
        labels: True classes, (N,).
        bins: Number of bins of equal width on [0, 1].
        seed: Of the bootstrap.

    Raises:
        ValueError: As `expected_calibration_error`.
    """
    confidence, correct = _top_label(log_proba, labels, bins)
    return _gap_estimate(confidence, correct, _bin_index(confidence, bins), seed)


@arrays_too
def adaptive_calibration_error(
    log_proba: Tensor, labels: Tensor, bins: int = BINS, *, seed: int = 0
) -> Estimate:
    """As `calibration_error_estimate`, with bins that hold equally many images ([4]).

    Confidences crowd near 1, where equal widths leave one bin with most of the images.

    Raises:
        ValueError: As `expected_calibration_error`.
    """
    confidence, correct = _top_label(log_proba, labels, bins)
    index = torch.empty(len(confidence), dtype=torch.int64)
    for number, images in enumerate(confidence.argsort(stable=True).tensor_split(bins)):
        index[images] = number
    return _gap_estimate(confidence, correct, index, seed)


@arrays_too
def calibrated_band(log_proba: Tensor, bins: int = BINS, *, seed: int = 0) -> Estimate:
    """The ECE, in percent, that these predictions would have if they were calibrated ([3]).

    Value: the mean over labels drawn from the predictions; interval: where 95 % of them lie.
    With few images it is far from 0.  An ECE inside the band is as good as calibrated.

    Args:
        log_proba: log p(y | x), (N, K); no labels are needed.
        bins: Number of bins of equal width on [0, 1].
        seed: Of the labels.

    Raises:
        ValueError: If the shape or the probabilities are impossible, or bins < 1.
    """
    confidence, _ = _top_label(log_proba, torch.zeros(len(log_proba), dtype=torch.int64), bins)
    index = _bin_index(confidence, bins)
    errors = _calibrated_errors(confidence, index, seed)
    low, high = torch.quantile(errors, torch.tensor([LOWER, UPPER], dtype=torch.float64)).tolist()
    return Estimate(float(errors.mean()), low, high, len(confidence), "%")


@arrays_too
def reliability_curve(log_proba: Tensor, labels: Tensor, bins: int = BINS) -> ReliabilityCurve:
    """Mean confidence and accuracy in equally wide bins of confidence.

    >>> sure = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]).log()
    >>> reliability_curve(sure, torch.tensor([0, 1, 1])).count
    [1, 2]

    Args:
        log_proba: log p(y | x), (N, K).
        labels: True classes, (N,).
        bins: Number of bins of equal width on [0, 1].

    Raises:
        ValueError: If shapes, labels or probabilities are impossible, or bins < 1.
    """
    confidence, correct = _top_label(log_proba, labels, bins)
    index = _bin_index(confidence, bins)
    count = torch.bincount(index, minlength=bins)
    filled = count > 0
    mean_confidence = torch.bincount(index, confidence, minlength=bins)[filled] / count[filled]
    mean_correct = torch.bincount(index, correct.double(), minlength=bins)[filled] / count[filled]
    return ReliabilityCurve(mean_confidence.tolist(), mean_correct.tolist(), count[filled].tolist())


def _calibrated_errors(confidence: Tensor, index: Tensor, seed: int) -> Tensor:
    """Summed gaps, in percent, of labels drawn from the predictions, (RESAMPLES,)."""
    n, bins = len(index), int(index.max()) + 1
    generator = torch.Generator().manual_seed(seed)
    errors = []
    for draws in draws_at_a_time(n, RESAMPLES):
        drawn = torch.rand((draws, n), generator=generator, dtype=torch.float64)
        right = (drawn < confidence).double()
        gaps = sums_by_group(index.expand(draws, n), right - confidence, bins)
        errors.append(100 * gaps.abs().sum(dim=1) / n)
    return torch.cat(errors)


def _gap_estimate(confidence: Tensor, correct: Tensor, index: Tensor, seed: int) -> Estimate:
    """Summed gaps between accuracy and confidence of bins, in percent, with their interval."""
    n, bins = len(index), int(index.max()) + 1
    gap = 100 * (correct.double() - confidence) / n
    found = torch.bincount(index, gap, minlength=bins)
    gaps = torch.cat(
        [
            sums_by_group(index[drawn], gap[drawn], bins)
            for drawn in with_replacement(n, RESAMPLES, seed)
        ]
    )
    errors, distances = gaps.abs().sum(dim=1), (gaps - found).abs().sum(dim=1)
    value = float(found.abs().sum())
    low = max(0.0, value - float(torch.quantile(distances, UPPER - LOWER)))
    if value <= float(torch.quantile(_calibrated_errors(confidence, index, seed), UPPER)):
        low = 0.0
    high = max(value, float(torch.quantile(errors, UPPER)))
    return Estimate(value, low, high, n, "%")


def _bin_index(confidence: Tensor, bins: int) -> Tensor:
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    return torch.bucketize(confidence, edges, right=True) - 1


def _top_label(log_proba: Tensor, labels: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Confidence (float64) and correctness (bool) of the most probable class, (N,) each."""
    if bins < 1:
        raise PixelBayesError(f"bins must be at least 1, got {bins}")
    log_proba, labels = check_log_proba(log_proba, labels), labels.cpu()
    top, predicted = log_proba.max(dim=1)
    # Bins are closed on the left: a confidence of exactly 1 would open a bin of its own, and
    # one that rounding put above 1 would be taken for a logit by torchmetrics.
    return top.exp().clamp(max=NOT_QUITE_ONE), predicted == labels


def check_log_proba(log_proba: Tensor, labels: Tensor | None = None) -> Tensor:
    """Refuses anything but log-probabilities of classes; returns them float64 on the CPU.

    Args:
        log_proba: log p(y | x), (N, K), N >= 1.
        labels: If given, checked by `check_shapes`.

    Raises:
        ValueError: If shapes, labels or probabilities are impossible.
    """
    if labels is None:
        labels = torch.zeros(log_proba.shape[:1], dtype=torch.int64)
    check_shapes("log_proba", log_proba, labels)
    log_proba = log_proba.detach().to("cpu", torch.float64)
    bad = int(log_proba.isnan().any(dim=1).sum())
    if bad:
        raise PixelBayesError(
            f"log_proba is NaN for {bad} of {len(labels)} images; "
            "check the model (did the training diverge?)"
        )
    worst = float(log_proba.logsumexp(dim=1).abs().max())
    if worst > SUM_TOLERANCE:
        raise PixelBayesError(
            "log_proba must hold log-probabilities that sum to one over the classes, but the "
            f"log of a sum is {worst:.4g} away from 0; apply log_softmax to logits first"
        )
    return log_proba


def check_shapes(name: str, scores: Tensor, labels: Tensor) -> None:
    """Refuses anything but scores (N, K) of labelled images, N >= 1.

    Raises:
        ValueError: With `name`, what the scores are called.
    """
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not scores.numel():
        raise PixelBayesError(
            f"{name} must have shape (N, classes) and labels (N,) with N >= 1, got "
            f"{tuple(scores.shape)} and {tuple(labels.shape)}"
        )
    require_indices("labels", labels)
    outside = labels[(labels < 0) | (labels >= scores.shape[1])]
    if len(outside):
        raise PixelBayesError(
            f"labels must lie in 0..{scores.shape[1] - 1}, got {int(outside[0])}; "
            "leave unlabelled images (-1) out"
        )
