"""How often a classifier is right, where it is wrong, and whether another one is better.

Selective prediction asks the same of the answers that a classifier is sure of.

Labels are class indices 0..K-1, int64, (N,).  Unlabelled images (label -1) have no accuracy:
leave them out before calling anything here.

References:
    [1] Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    [2] McNemar, Note on the sampling error of the difference between correlated proportions
        or percentages, 1947; the exact binomial form.
    [3] Geifman, El-Yaniv, Selective classification for deep neural networks, NeurIPS 2017.
        https://arxiv.org/abs/1705.08500
    [4] Geifman, Uziel, El-Yaniv, Bias-reduced uncertainty estimation for deep neural classifiers,
        ICLR 2019: AURC.  https://arxiv.org/abs/1805.08206
    [5] Newcombe, Improved confidence intervals for the difference between binomial proportions
        based on paired data, Statistics in Medicine 17, 1998.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.arrays import arrays_too, require_indices
from pixelbayes.evaluation.estimate import (
    Z_95,
    Estimate,
    bootstrap,
    sums_by_group,
    wilson_interval,
)

__all__ = [
    "McNemar",
    "RiskCoverage",
    "accuracy",
    "aurc",
    "confusion_matrix",
    "mcnemar",
    "paired_difference",
    "per_class_accuracy",
    "risk_coverage",
    "selective_accuracy",
]


def accuracy(correct: int, total: int, z: float = Z_95) -> Estimate:
    """Share of right answers with its Wilson 95 % interval [1].

    >>> print(accuracy(433, 519))
    83.4 % [80.0, 86.4], n = 519

    Args:
        correct: Number of right answers.
        total: Number of answers, at least 1.
        z: Normal quantile of the interval, 1.96 for 95 %.

    Raises:
        ValueError: If `total` is not positive or `correct` is not in 0..total.
    """
    if total < 1:
        raise PixelBayesError(f"an accuracy needs at least one labelled image, got total = {total}")
    if not 0 <= correct <= total:
        raise PixelBayesError(f"correct must lie in 0..{total} (the total), got {correct}")
    low, high = wilson_interval(correct / total, total, z)
    return Estimate(100 * (correct / total), 100 * low, 100 * high, total, "%")


@arrays_too
def confusion_matrix(predicted: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts how often each true class (row) was predicted as each class (column).

    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), classes=2)
    tensor([[1, 1],
            [0, 1]])

    Args:
        predicted: Class indices, (N,).
        labels: True class indices, (N,).
        classes: Number of classes K.

    Returns:
        Counts, int64, (K, K); the entries sum to N.

    Raises:
        ValueError: If the shapes differ or an index is not in 0..K-1.
    """
    if predicted.ndim != 1 or predicted.shape != labels.shape:
        raise PixelBayesError(
            "predicted and labels must both have shape (N,), got "
            f"{tuple(predicted.shape)} and {tuple(labels.shape)}"
        )
    for name, indices in (("predicted", predicted), ("labels", labels)):
        require_indices(name, indices)
        outside = indices[(indices < 0) | (indices >= classes)]
        if len(outside):
            raise PixelBayesError(
                f"{name} must lie in 0..{classes - 1}, got {int(outside[0])}; "
                "leave unlabelled images (-1) out"
            )
    pairs = labels.long() * classes + predicted.long()
    return torch.bincount(pairs.cpu(), minlength=classes * classes).view(classes, classes)


@arrays_too
def per_class_accuracy(confusion: Tensor) -> list[Estimate]:
    """Accuracy on the images of each class, from a confusion matrix.

    A class without images has no accuracy: its value is NaN, its interval 0 to 100 % and its
    n is 0.

    >>> for estimate in per_class_accuracy(torch.tensor([[8, 2], [0, 0]])):
    ...     print(estimate)
    80.0 % [49.0, 94.3], n = 10
    nan % [0.0, 100.0], n = 0

    Args:
        confusion: Counts (true, predicted), (K, K), as from `confusion_matrix`.

    Raises:
        ValueError: If `confusion` is not square.
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise PixelBayesError(f"a confusion matrix is square, (K, K), got {tuple(confusion.shape)}")
    pairs = zip(confusion.diagonal().tolist(), confusion.sum(dim=1).tolist(), strict=True)
    unknown = Estimate(math.nan, 0.0, 100.0, 0, "%")
    return [accuracy(correct, total) if total else unknown for correct, total in pairs]


@dataclass(frozen=True, slots=True)
class McNemar:
    """The exact McNemar test of two classifiers on the same images [2]."""

    b: int
    """Images that only the first classifier got right."""
    c: int
    """Images that only the second classifier got right."""
    p_value: float
    """Two-sided probability of a split at least this uneven if both were equally good."""


@arrays_too
def mcnemar(correct_a: Tensor, correct_b: Tensor) -> McNemar:
    """Tests whether two classifiers differ, from the images on which they disagree.

    >>> a = torch.tensor([True] * 9 + [False])
    >>> mcnemar(a, torch.zeros(10, dtype=torch.bool))
    McNemar(b=9, c=0, p_value=0.00390625)

    Args:
        correct_a: Whether the first classifier was right, bool, (N,).
        correct_b: The same for the second, on the same images in the same order.

    Returns:
        The counts and the p-value; 1 if they never disagree.

    Raises:
        ValueError: If the shapes differ or there is no image.
        TypeError: If a tensor is not bool.
    """
    _check_paired(correct_a, correct_b)
    from scipy.stats import binomtest  # type: ignore[import-untyped, unused-ignore]

    b = int((correct_a & ~correct_b).sum())
    c = int((correct_b & ~correct_a).sum())
    p_value = float(binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0
    return McNemar(b, c, p_value)


@arrays_too
def paired_difference(correct_a: Tensor, correct_b: Tensor, *, seed: int) -> Estimate:
    """Accuracy of the first classifier minus that of the second, in percentage points.

    Whole images are resampled, so what makes an image hard for both cancels and the interval
    is narrower than that of two separate accuracies.  Where no image tells them apart, or each
    one the same way, resamples do not vary, and the interval is that of [5].

    >>> both = torch.tensor([True, True, True])
    >>> print(paired_difference(both, both, seed=0))
    0.0 points [-56.2, 56.2], n = 3

    Args:
        correct_a: Whether the first classifier was right, bool, (N,).
        correct_b: The same for the second, on the same images in the same order.
        seed: Of the bootstrap.

    Raises:
        ValueError: If the shapes differ or there is no image.
        TypeError: If a tensor is not bool.
    """
    _check_paired(correct_a, correct_b)
    gain = 100.0 * (correct_a.double() - correct_b.double())
    found = bootstrap(lambda drawn: gain[drawn].mean(dim=1), len(gain), seed=seed, unit="points")
    if found.low < found.high:
        return found
    # All images say the same, and so do all resamples: method 10 of [5].
    n, both = len(gain), int((correct_a & correct_b).sum())
    neither = int((~correct_a & ~correct_b).sum())
    phi = max(both * neither - n / 2, 0) / (both * neither) if both and neither else 0.0
    first, second = (float(correct.double().mean()) for correct in (correct_a, correct_b))
    (low_a, high_a), (low_b, high_b) = (wilson_interval(p, n) for p in (first, second))

    def reach(one: float, other: float) -> float:
        return math.sqrt(one**2 - 2 * phi * one * other + other**2)

    down, up = reach(first - low_a, high_b - second), reach(high_a - first, second - low_b)
    return replace(found, low=found.value - 100 * down, high=found.value + 100 * up)


@dataclass(frozen=True, slots=True)
class RiskCoverage:
    """Share of wrong answers against the share of images answered, surest first ([3])."""

    coverage: list[float]
    """i / N for i = 1..N."""
    risk: list[float]
    """Share of wrong answers among the i images of the highest confidence, in [0, 1]."""


@arrays_too
def risk_coverage(confidence: Tensor, correct: Tensor) -> RiskCoverage:
    """Errors that are left where only the surest images are answered.

    Images of one confidence have no order: each counts with the mean of their errors, which is
    what any order gives on average.

    >>> risk_coverage(torch.tensor([0.9, 0.8, 0.6]), torch.tensor([True, True, False])).risk
    [0.0, 0.0, 0.3333333333333333]

    Args:
        confidence: One number per image, (N,), the higher the surer; any monotone scale.
        correct: Whether the answer was right, bool, (N,).

    Raises:
        ValueError: If the shapes differ, there is no image, or a confidence is NaN.
        TypeError: If `correct` is not bool.
    """
    confidence, correct = _checked_confidence(confidence, correct)
    level = _levels(confidence)
    risk = _risks(level[None], correct[None])[0]
    n = len(risk)
    return RiskCoverage([(i + 1) / n for i in range(n)], risk.tolist())


@arrays_too
def aurc(confidence: Tensor, correct: Tensor, *, seed: int) -> Estimate:
    """Area under the risk-coverage curve, the mean of its risks in percent ([4]).

    With a share r of wrong answers it is about r^2 / 2 where every wrong answer is less sure than
    every right one, and r where confidence says nothing.  The interval is a percentile bootstrap
    over images; where no answer or every one is wrong, that of Wilson for the share of errors [1],
    which the area does not exceed unless surer answers are more often wrong.

    Args:
        confidence: As for `risk_coverage`.
        correct: As for `risk_coverage`.
        seed: Of the bootstrap.

    Raises:
        ValueError, TypeError: As `risk_coverage`.
    """
    confidence, correct = _checked_confidence(confidence, correct)
    level = _levels(confidence)
    found = bootstrap(
        lambda drawn: 100 * _risks(level[drawn], correct[drawn]).mean(dim=1),
        len(confidence),
        seed=seed,
        unit="%",
    )
    if found.low < found.high:
        return found
    low, high = wilson_interval(found.value / 100, len(confidence))
    return replace(found, low=100 * low, high=100 * high)


@arrays_too
def selective_accuracy(
    confidence: Tensor, correct: Tensor, threshold: float
) -> tuple[Estimate, Estimate]:
    """Share of images whose confidence reaches a threshold, and the accuracy on them.

    >>> sure = torch.tensor([0.9, 0.8, 0.6])
    >>> coverage, right = selective_accuracy(sure, torch.tensor([True, True, False]), 0.7)
    >>> print(f"{coverage.value:.0f} % of the images, {right.value:.0f} % of them right")
    67 % of the images, 100 % of them right

    Args:
        confidence: As for `risk_coverage`.
        correct: As for `risk_coverage`.
        threshold: Images below it are not answered.

    Returns:
        Both with Wilson intervals; the accuracy of no image is NaN, its interval 0 to 100 %.

    Raises:
        ValueError, TypeError: As `risk_coverage`.
    """
    confidence, correct = _checked_confidence(confidence, correct)
    answered = confidence >= threshold
    number = int(answered.sum())
    right = Estimate(math.nan, 0.0, 100.0, 0, "%")
    if number:
        right = accuracy(int(correct[answered].sum()), number)
    return accuracy(number, len(confidence)), right


def _levels(confidence: Tensor) -> Tensor:
    """Which confidence each one is, int64, from the lowest, 0, on."""
    level: Tensor = confidence.unique(return_inverse=True)[1]
    return level


def _risks(level: Tensor, correct: Tensor) -> Tensor:
    """Risk of the i surest images of each row for i = 1..N, (draws, N), float64.

    Args:
        level: From `_levels`, (draws, N).
        correct: bool, (draws, N).
    """
    number = int(level.max()) + 1
    images = sums_by_group(level, torch.ones_like(level), number)
    wrong = sums_by_group(level, ~correct, number) / images  # NaN where nobody looks
    surest_first = level.sort(dim=1, descending=True).values
    return wrong.gather(1, surest_first).cumsum(dim=1) / torch.arange(1, level.shape[1] + 1)


def _checked_confidence(confidence: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
    _check_paired(correct, correct)
    if confidence.shape != correct.shape or confidence.isnan().any():
        raise PixelBayesError(
            "confidence is one number per image, no NaN, got shape "
            f"{tuple(confidence.shape)} for {len(correct)} answers"
        )
    return confidence.detach().to("cpu", torch.float64), correct.cpu()


def _check_paired(correct_a: Tensor, correct_b: Tensor) -> None:
    for correct in (correct_a, correct_b):
        if correct.dtype != torch.bool:
            raise TypeError(
                f"expected torch.bool (right or wrong per image), got {correct.dtype}; "
                "compare predictions with labels first: predicted == labels"
            )
    if correct_a.ndim != 1 or correct_a.shape != correct_b.shape or not len(correct_a):
        raise PixelBayesError(
            "both classifiers must be judged on the same images, (N,) with N >= 1, got shapes "
            f"{tuple(correct_a.shape)} and {tuple(correct_b.shape)}"
        )
