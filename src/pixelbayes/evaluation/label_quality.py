"""Which labels are doubtful, and how many of the wrong ones a ranking finds.

The probabilities must be out of fold: given by a model that was not trained on the image they
are for, or it has learned the wrong label by heart.  The ranking is cleanlab's [1] (extra
`decisions`).

Shapes: N images, K classes.  log p(y | x) in nats, (N, K).

References:
    [1] Northcutt, Jiang, Chuang, Confident learning: estimating uncertainty in dataset labels,
        JAIR 2021.  https://arxiv.org/abs/1911.00068
    [2] Kuan, Mueller, Model-agnostic label quality scoring to detect real-world label errors,
        ICML DataPerf workshop 2022: the scores compared.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError, naming_extras
from pixelbayes.evaluation.accuracy import accuracy
from pixelbayes.evaluation.arrays import arrays_too
from pixelbayes.evaluation.calibration import check_log_proba
from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.evaluation.outliers import average_precision

__all__ = ["LabelQuality", "label_quality", "precision_at", "recovered_flips"]


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """What out-of-fold probabilities say about the given labels."""

    score: Tensor
    """p(given label | x), float64 (N,) in [0, 1]; low is doubtful (self-confidence, [2])."""
    suspected: Tensor
    """Whether confident learning takes the label for wrong, bool (N,)."""
    suggested: Tensor
    """The most probable class, int64 (N,)."""

    @property
    def order(self) -> Tensor:
        """Indices of the images, the most doubtful first; ties in their order."""
        return self.score.argsort(stable=True)


@arrays_too
@naming_extras()
def label_quality(log_proba: Tensor, labels: Tensor) -> LabelQuality:
    """Ranks labels by doubt, and marks those that confident learning takes for wrong [1].

    Args:
        log_proba: Out-of-fold log p(y | x), (N, K), K >= 2, at a calibrated temperature.
        labels: The given labels, (N,).

    Raises:
        ValueError: If shapes, labels or probabilities are impossible, or a class of 0..K-1 has
            no image.
        MissingPackageError: If cleanlab is not installed.
    """
    log_proba = check_log_proba(log_proba, labels)
    classes = log_proba.shape[1]
    labels = labels.cpu()
    absent = sorted(set(range(classes)) - set(labels.tolist()))
    if classes < 2 or absent:
        raise PixelBayesError(
            f"doubt needs two classes or more, and images of each: of {classes} classes "
            f"{absent or 'none'} are without"
        )
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    given, probabilities = labels.numpy(), log_proba.exp().numpy()
    score = get_label_quality_scores(given, probabilities, method="self_confidence")
    suspected = find_label_issues(given, probabilities, n_jobs=1)
    return LabelQuality(
        torch.from_numpy(score).double(),
        torch.from_numpy(suspected),
        log_proba.argmax(dim=1),
    )


@arrays_too
def precision_at(k: int, score: Tensor, wrong: Tensor) -> Estimate:
    """Share of labels that are wrong among the k most doubtful, with its Wilson interval.

    >>> score = torch.tensor([0.1, 0.9, 0.2, 0.8])
    >>> precision_at(2, score, torch.tensor([True, False, False, True])).value
    50.0

    Args:
        k: How many are looked at, 1..N.
        score: Quality of each label, (N,), low is doubtful.
        wrong: Whether the label is known to be wrong, bool (N,).

    Raises:
        ValueError: If k is not in 1..N or the shapes differ.
    """
    if score.ndim != 1 or score.shape != wrong.shape or not 1 <= k <= len(score):
        raise PixelBayesError(
            f"the k = {k} most doubtful of N labels need 1 <= k <= N, and score and wrong (N,); "
            f"got {tuple(score.shape)} and {tuple(wrong.shape)}"
        )
    doubtful = score.argsort(stable=True)[:k]
    return accuracy(int(wrong[doubtful].sum()), k)


@arrays_too
def recovered_flips(score: Tensor, wrong: Tensor, *, seed: int = 0) -> Estimate:
    """AUPRC, in percent, of finding wrong labels by low quality; chance is their share.

    Args:
        score: Quality of each label, (N,), low is doubtful.
        wrong: Whether the label was flipped, bool (N,), with at least one of each kind.
        seed: Of the bootstrap.

    Raises:
        ValueError: As `average_precision`.
    """
    return average_precision(-score, wrong, seed=seed)
