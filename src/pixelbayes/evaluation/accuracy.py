"""How often a classifier is right, where it is wrong, and whether another one is better.

Labels are class indices 0..K-1, int64, (N,).  Unlabelled images (label -1) have no accuracy:
leave them out before calling anything here.

References:
    [1] Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    [2] McNemar, Note on the sampling error of the difference between correlated proportions
        or percentages, 1947; the exact binomial form.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.evaluation.estimate import Z_95, Estimate, bootstrap, wilson_interval

__all__ = [
    "McNemar",
    "accuracy",
    "confusion_matrix",
    "mcnemar",
    "paired_difference",
    "per_class_accuracy",
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
        raise ValueError(f"an accuracy needs at least one labelled image, got total = {total}")
    if not 0 <= correct <= total:
        raise ValueError(f"correct must lie in 0..{total} (the total), got {correct}")
    low, high = wilson_interval(correct / total, total, z)
    return Estimate(100 * (correct / total), 100 * low, 100 * high, total, "%")


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
        raise ValueError(
            "predicted and labels must both have shape (N,), got "
            f"{tuple(predicted.shape)} and {tuple(labels.shape)}"
        )
    for name, indices in (("predicted", predicted), ("labels", labels)):
        outside = indices[(indices < 0) | (indices >= classes)]
        if len(outside):
            raise ValueError(
                f"{name} must lie in 0..{classes - 1}, got {int(outside[0])}; "
                "leave unlabelled images (-1) out"
            )
    pairs = labels.long() * classes + predicted.long()
    return torch.bincount(pairs.cpu(), minlength=classes * classes).view(classes, classes)


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
        raise ValueError(f"a confusion matrix is square, (K, K), got {tuple(confusion.shape)}")
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


def paired_difference(correct_a: Tensor, correct_b: Tensor, *, seed: int) -> Estimate:
    """Accuracy of the first classifier minus that of the second, in percentage points.

    Whole images are resampled, so what makes an image hard for both cancels and the interval
    is narrower than that of two separate accuracies.

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
    return bootstrap(lambda chosen: float(gain[chosen].mean()), len(gain), seed=seed, unit="points")


def _check_paired(correct_a: Tensor, correct_b: Tensor) -> None:
    for correct in (correct_a, correct_b):
        if correct.dtype != torch.bool:
            raise TypeError(
                f"expected torch.bool (right or wrong per image), got {correct.dtype}; "
                "compare predictions with labels first: predicted == labels"
            )
    if correct_a.ndim != 1 or correct_a.shape != correct_b.shape or not len(correct_a):
        raise ValueError(
            "both classifiers must be judged on the same images, (N,) with N >= 1, got shapes "
            f"{tuple(correct_a.shape)} and {tuple(correct_b.shape)}"
        )
