r"""Sets of classes that hold the true one with a stated probability: split conformal prediction.

On N images that the model was not fitted on, each true class gets a score (the larger, the less
the model expected it), and the k-th smallest score with k = ceil((N + 1) coverage) becomes the
threshold.  A new image's set holds all classes whose score is not above it.  If new images come
from where those N came from, the set holds the true class with probability at least `coverage`,
whatever the model [1].  The scores:

* `lac`: -log p(y | x); the smallest sets on average [2];
* `aps`: the probability of all classes more probable than y, or as probable and before it; sets
  that grow where the model is unsure [3] and always hold the most probable class.  Of the random
  share of y itself, by which the score of [3] is larger, nothing is taken: an image always gets
  the same set.  Taking all of it would leave the surest images without a class, and need far
  larger sets for the others.

A set of `lac` may be empty: no class is as probable as true classes were.  The tests check the
sets against those of MAPIE's `SplitConformalClassifier`, which keeps a fitted object and draws
random numbers for `aps`; here a handful of numbers is stored with a model and an image has one
answer.

Shapes: N images, K classes.  log p(y | x) in nats, (N, K).

References:
    [1] Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005; split and
        class-wise (Mondrian) predictors.
    [2] Sadinle, Lei, Wasserman, Least ambiguous set-valued classifiers with bounded error
        levels, JASA 2019.  https://arxiv.org/abs/1609.00451
    [3] Romano, Sesia, Candes, Classification with valid and adaptive coverage, NeurIPS 2020.
        https://arxiv.org/abs/2006.02544
    [4] Vovk, Conditional validity of inductive conformal predictors, 2012: the coverage that
        one threshold has is Beta distributed.  https://arxiv.org/abs/1209.2673
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.accuracy import accuracy
from pixelbayes.evaluation.arrays import arrays_too
from pixelbayes.evaluation.calibration import check_log_proba, check_shapes
from pixelbayes.evaluation.estimate import LOWER, UPPER, Estimate, mean_estimate

__all__ = [
    "SCORES",
    "ConformalSets",
    "conformal_rank",
    "empirical_coverage",
    "fit_classwise_sets",
    "fit_sets",
    "rank_coverage",
    "set_size",
]


@arrays_too
def lac_scores(log_proba: Tensor) -> Tensor:
    """-log p(y | x), float64 (N, K)."""
    return -log_proba


@arrays_too
def aps_scores(log_proba: Tensor) -> Tensor:
    """Probability of the classes before each one, the most probable first, float64 (N, K)."""
    probability, order = log_proba.exp().sort(dim=1, descending=True, stable=True)
    of_others = probability.cumsum(dim=1).roll(1, dims=1)
    of_others[:, 0] = 0.0
    return torch.empty_like(log_proba).scatter_(1, order, of_others)


SCORES: Mapping[str, Callable[[Tensor], Tensor]] = {"lac": lac_scores, "aps": aps_scores}


@dataclass(frozen=True, slots=True)
class ConformalSets:
    """Thresholds that turn log-probabilities into sets of classes.

    Raises:
        ValueError: On construction, if a field has a value that is not accepted.
    """

    score: str
    """One of `SCORES`."""
    coverage: float
    """Probability, in (0, 1), with which a set is to hold the true class."""
    thresholds: tuple[float, ...]
    """Largest score of each class that is still in the set; infinite where a class has too few
    images for the coverage, and is then in every set."""
    n: tuple[int, ...]
    """Images behind each threshold: of each class, or the same number K times where all images
    of all classes share one threshold."""

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise PixelBayesError(
                f"unknown score {self.score!r}; choose one of: {', '.join(SCORES)}"
            )
        _check_coverage(self.coverage)
        if not self.thresholds or len(self.thresholds) != len(self.n):
            raise PixelBayesError(
                "thresholds and n have one entry per class, got "
                f"{len(self.thresholds)} and {len(self.n)}"
            )
        if any(math.isnan(threshold) for threshold in self.thresholds):
            raise PixelBayesError(f"a threshold is a number, got {self.thresholds}")

    @arrays_too
    def __call__(self, log_proba: Tensor) -> Tensor:
        """Returns which classes are in the set of each image, bool (N, K).

        Args:
            log_proba: log p(y | x), (N, K), at the temperature that the thresholds were fitted at.

        Raises:
            ValueError: If the shape or the probabilities are impossible.
        """
        if log_proba.ndim != 2 or log_proba.shape[1] != len(self.thresholds):
            raise PixelBayesError(
                f"these sets are of {len(self.thresholds)} classes, log_proba (N, classes) has "
                f"shape {tuple(log_proba.shape)}"
            )
        log_proba = check_log_proba(log_proba)
        thresholds = torch.tensor(self.thresholds, dtype=torch.float64)
        return SCORES[self.score](log_proba) <= thresholds


@arrays_too
def fit_sets(
    log_proba: Tensor, labels: Tensor, *, coverage: float = 0.9, score: str = "lac"
) -> ConformalSets:
    """Finds the one threshold at which sets hold the true class as often as wanted.

    >>> sure = torch.tensor([[0.9, 0.1]] * 9).log()
    >>> sets = fit_sets(sure, torch.tensor([0] * 8 + [1]), coverage=0.8)
    >>> sets(torch.tensor([[0.95, 0.05], [0.5, 0.5]]).log()).tolist()
    [[True, False], [False, False]]

    Args:
        log_proba: log p(y | x) of images that neither the model nor its temperature was fitted
            on, (N, K).
        labels: Their true classes, (N,).
        coverage: Probability in (0, 1).
        score: One of `SCORES`.

    Raises:
        ValueError: If shapes, labels or probabilities are impossible, the coverage is not in
            (0, 1), or the score is unknown.
    """
    scores = _true_scores(log_proba, labels, coverage, score)
    classes = log_proba.shape[1]
    threshold = _threshold(scores, coverage)
    return ConformalSets(score, coverage, (threshold,) * classes, (len(scores),) * classes)


@arrays_too
def fit_classwise_sets(
    log_proba: Tensor, labels: Tensor, *, coverage: float = 0.9, score: str = "lac"
) -> ConformalSets:
    """As `fit_sets`, with a threshold for each class ([1], Mondrian).

    The images of every class are then covered as often as wanted, not only all images on
    average; the price is larger sets, and enough images of every class.

    Raises:
        ValueError: As `fit_sets`.
    """
    scores = _true_scores(log_proba, labels, coverage, score)
    of_class = [scores[labels.cpu() == y] for y in range(log_proba.shape[1])]
    thresholds = tuple(_threshold(own, coverage) for own in of_class)
    return ConformalSets(score, coverage, thresholds, tuple(len(own) for own in of_class))


def conformal_rank(n: int, coverage: float) -> int:
    """Which of n sorted scores (from 1) is the threshold; n + 1 where none is high enough.

    >>> conformal_rank(99, 0.9), conformal_rank(5, 0.9)
    (90, 6)
    """
    # A product that rounding put just above a whole number is no rank more.
    return math.ceil((n + 1) * coverage - 1e-9)


def rank_coverage(n: int, rank: int) -> Estimate:
    """Coverage of new scores, in percent, by the threshold at this rank of n scores.

    Over draws of the n scores it is Beta(rank, n + 1 - rank) distributed [4]: the mean and the
    central 95 %.  Exact where no two scores are equal; more is covered where some are.

    >>> print(rank_coverage(99, 90))
    90.0 % [83.4, 95.0], n = 99

    Raises:
        ValueError: If the rank is not in 1..n + 1.
    """
    if not 1 <= rank <= n + 1:
        raise PixelBayesError(f"a rank among {n} scores is 1 to {n + 1}, got {rank}")
    if rank == n + 1:
        return Estimate(100.0, 100.0, 100.0, n, "%")
    from scipy.special import betaincinv  # type: ignore[import-untyped, unused-ignore]

    low, high = (100 * float(betaincinv(rank, n + 1 - rank, q)) for q in (LOWER, UPPER))
    return Estimate(100 * rank / (n + 1), low, high, n, "%")


@arrays_too
def empirical_coverage(sets: Tensor, labels: Tensor) -> Estimate:
    """Share of images whose set holds the true class, with its Wilson interval.

    Args:
        sets: Which classes are in each set, bool (N, K).
        labels: True classes of images that the thresholds were not fitted on, (N,).

    Raises:
        ValueError: If the shapes do not match or there is no image.
    """
    if sets.ndim != 2 or labels.shape != sets.shape[:1] or sets.dtype != torch.bool:
        raise PixelBayesError(
            "sets are bool (N, K) and labels (N,), got "
            f"{sets.dtype} {tuple(sets.shape)} and {tuple(labels.shape)}"
        )
    check_shapes("sets", sets, labels)
    covered = sets.gather(1, labels[:, None].to(sets.device))
    return accuracy(int(covered.sum()), len(labels))


@arrays_too
def set_size(sets: Tensor) -> Estimate:
    """Mean number of classes in a set, with Student's interval, unit "classes".

    Raises:
        ValueError: If there are fewer than two sets.
    """
    return mean_estimate(sets.sum(dim=1).double(), "classes")


def _true_scores(log_proba: Tensor, labels: Tensor, coverage: float, score: str) -> Tensor:
    _check_coverage(coverage)
    if score not in SCORES:
        raise PixelBayesError(f"unknown score {score!r}; choose one of: {', '.join(SCORES)}")
    log_proba = check_log_proba(log_proba, labels)
    return SCORES[score](log_proba).gather(1, labels.cpu()[:, None])[:, 0]


def _threshold(scores: Tensor, coverage: float) -> float:
    rank = conformal_rank(len(scores), coverage)
    return float(scores.sort().values[rank - 1]) if rank <= len(scores) else math.inf


def _check_coverage(coverage: float) -> None:
    if not 0 < coverage < 1:
        raise PixelBayesError(f"coverage is a probability between 0 and 1, got {coverage}")
