r"""How strange an image is to a model, and how well such a score tells strangers apart.

Every score is arithmetic on numbers that a model gave, and larger means stranger.  The plain
-log p(x) is known to fail: smooth images are likely under any model of pixels [1].  The others
are answers to that:

* `likelihood_ratio`: against a second model that knows the background only [2];
* `complexity_corrected`: against the code length of a general compressor [3];
* `typicality`: the distance of log p(x) from what it usually is, on either side [4];
* `posterior_entropy`: how undecided the classes are, which says nothing of log p(x).

Shapes: N images, K classes.  log p(x) in nats per image.  In-distribution images are the
negatives, strangers the positives, as a false alarm is a familiar image called strange.

References:
    [1] Nalisnick et al., Do deep generative models know what they don't know?, ICLR 2019.
        https://arxiv.org/abs/1810.09136
    [2] Ren et al., Likelihood ratios for out-of-distribution detection, NeurIPS 2019.
        https://arxiv.org/abs/1906.02845
    [3] Serra et al., Input complexity and out-of-distribution detection with likelihood-based
        generative models, ICLR 2020.  https://arxiv.org/abs/1909.11480
    [4] Nalisnick et al., Detecting out-of-distribution inputs to deep generative models using
        typicality, 2019.  https://arxiv.org/abs/1906.02994
    [5] Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney
        statistic, part 2, Statistics in Medicine 25, 2006, method 5.
    [6] Hendrycks, Mazeika, Dietterich, Deep anomaly detection with outlier exposure, ICLR 2019:
        the three measures, with strangers as positives.  https://arxiv.org/abs/1812.04606
    [7] Boyd, Eng, Page, Area under the precision-recall curve: point estimates and confidence
        intervals, ECML 2013: binomial intervals over the positives.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.arrays import arrays_too
from pixelbayes.evaluation.calibration import check_log_proba
from pixelbayes.evaluation.conformal import conformal_rank, rank_coverage
from pixelbayes.evaluation.estimate import LOWER, UPPER, Z_95, Estimate, wilson_interval

__all__ = [
    "OUTLIER_SCORES",
    "Detection",
    "OutlierThreshold",
    "average_precision",
    "complexity_corrected",
    "detection",
    "fit_threshold",
    "likelihood_ratio",
    "outlier_score",
    "png_bits",
    "posterior_entropy",
    "typicality",
]

Numbers = npt.NDArray[np.float64]

OUTLIER_SCORES = ("likelihood", "typicality", "complexity", "entropy")
"""Scores that one model alone gives; see `outlier_score`."""
RESAMPLES = 1000
TRUE_POSITIVE_RATE = 0.95  # by convention [6]
NOT_QUITE_ONE = 1 - 1e-12


@arrays_too
def likelihood_ratio(log_prob: Tensor, background: Tensor) -> Tensor:
    """Log-likelihood under the background model minus that under the model [2], nats, (N,).

    Args:
        log_prob: log p(x) of the model, nats, (N,).
        background: log p(x) of a model of what all images share: unconditional, smaller, or
            trained on noisy images.

    Raises:
        ValueError: If the shapes are not (N,) and the same.
    """
    if log_prob.ndim != 1 or log_prob.shape != background.shape:
        raise PixelBayesError(
            "log-likelihoods of the same images under two models are (N,) each, got "
            f"{tuple(log_prob.shape)} and {tuple(background.shape)}"
        )
    return background.double() - log_prob.double()


@arrays_too
def png_bits(levels: Tensor) -> Tensor:
    """Length of each image as a PNG of the highest compression, in bits, float64 (N,).

    The file's frame, some 60 bytes, counts with it: the same for images of one size.

    Args:
        levels: uint8 (N, C, H, W), C = 1 or 3.

    Raises:
        TypeError: If the levels are not uint8.
        ValueError: If their shape is another one.
    """
    from PIL import Image

    if levels.dtype != torch.uint8:
        raise TypeError(f"code lengths are of levels (torch.uint8, 0..255), got {levels.dtype}")
    if levels.ndim != 4 or levels.shape[1] not in (1, 3):
        raise PixelBayesError(f"levels are (N, C, H, W) with C = 1 or 3, got {tuple(levels.shape)}")
    lengths = []
    for pixels in levels.cpu().permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        grey = pixels.shape[2] == 1
        Image.fromarray(pixels[:, :, 0] if grey else np.ascontiguousarray(pixels)).save(
            file, "png", optimize=True
        )
        lengths.append(8.0 * len(file.getvalue()))
    return torch.tensor(lengths, dtype=torch.float64)


@arrays_too
def complexity_corrected(log_prob: Tensor, levels: Tensor) -> Tensor:
    """Code length under the model minus that as a PNG, in bits per image, (N,) ([3]).

    [3] takes the shortest of several compressors; here PNG alone, which needs no library more.

    Args:
        log_prob: log p(x), nats, (N,).
        levels: The same images, uint8 (N, C, H, W).

    Raises:
        TypeError, ValueError: As `png_bits`, or if the numbers of images differ.
    """
    if log_prob.shape != levels.shape[:1]:
        raise PixelBayesError(
            f"log_prob is (N,) for levels (N, C, H, W), got {tuple(log_prob.shape)} and "
            f"{tuple(levels.shape)}"
        )
    return -log_prob.cpu().double() / math.log(2.0) - png_bits(levels)


@arrays_too
def typicality(log_prob: Tensor, mean: float) -> Tensor:
    """|log p(x) - mean|, in nats, (N,) ([4], for one image at a time).

    Args:
        log_prob: log p(x), nats, (N,).
        mean: Mean of log p(x) over images like those of training, held out from it.
    """
    return (log_prob.double() - mean).abs()


@arrays_too
def posterior_entropy(log_proba: Tensor) -> Tensor:
    """Entropy of p(y | x) in nats, 0 to log K, (N,).

    >>> posterior_entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]).log()).exp().round(decimals=6)
    tensor([2., 1.], dtype=torch.float64)

    Raises:
        ValueError: If the shape or the probabilities are impossible.
    """
    entropy: Tensor = torch.special.entr(check_log_proba(log_proba).exp()).sum(dim=1)
    return entropy


@arrays_too
def outlier_score(
    name: str, *, log_prob: Tensor, log_proba: Tensor, levels: Tensor, typical: float | None
) -> Tensor:
    """One of the scores that one model alone gives, by its name, float64 (N,), larger = stranger.

    Args:
        name: "likelihood": -log p(x); "typicality"; "complexity": `complexity_corrected`;
            "entropy": `posterior_entropy`.
        log_prob: log p(x), nats, (N,).
        log_proba: log p(y | x), nats, (N, K).
        levels: The images, uint8 (N, C, H, W).
        typical: Mean of log p(x) over familiar images, which only "typicality" needs.

    Raises:
        PixelBayesError: If there is no such score, or `typical` is missing.
    """
    if name == "likelihood":
        return -log_prob.double()
    if name == "complexity":
        return complexity_corrected(log_prob, levels)
    if name == "entropy":
        return posterior_entropy(log_proba)
    if name != "typicality":
        raise PixelBayesError(
            f"no outlier score {name!r}; choose one of: {', '.join(OUTLIER_SCORES)}"
        )
    if typical is None:
        raise PixelBayesError(
            "typicality compares with the mean of log p(x) over familiar images, which "
            "'pixelbayes calibrate' stores with a model; this one has none"
        )
    return typicality(log_prob, typical)


@dataclass(frozen=True, slots=True)
class OutlierThreshold:
    """A score above which an image is called strange."""

    value: float
    """An image is strange if its score is larger than this."""
    false_alarms: Estimate
    """Share of familiar images called strange, in percent: the mean over draws of the images
    that the threshold came from, and where it lies in 95 % of them."""


@arrays_too
def fit_threshold(scores: Tensor, false_alarm_rate: float = 0.05) -> OutlierThreshold:
    """Finds the threshold that calls at most a stated share of familiar images strange.

    It is the conformal one, a sorted score of the right rank: the bound holds for any
    distribution of scores, on average over draws of the images.  What one draw leads to is
    `false_alarms`, exactly so where scores are continuous.

    Args:
        scores: Of familiar images that the model was not trained on, (N,), larger = stranger.
        false_alarm_rate: In (0, 1).

    Raises:
        ValueError: If scores are not one-dimensional or NaN, the rate is not in (0, 1), or there
            are too few images for it.
    """
    if scores.ndim != 1 or scores.isnan().any():
        raise PixelBayesError(f"scores are (N,) and no NaN, got shape {tuple(scores.shape)}")
    if not 0 < false_alarm_rate < 1:
        raise PixelBayesError(f"a false-alarm rate lies between 0 and 1, got {false_alarm_rate}")
    n = len(scores)
    rank = conformal_rank(n, 1 - false_alarm_rate)
    if rank > n:
        least = math.ceil(1 / false_alarm_rate - 1e-9) - 1
        raise PixelBayesError(
            f"a false-alarm rate of {false_alarm_rate:g} needs at least {least} images, got {n}"
        )
    kept = rank_coverage(n, rank)
    alarms = Estimate(100 - kept.value, 100 - kept.high, 100 - kept.low, n, "%")
    return OutlierThreshold(float(scores.cpu().double().sort().values[rank - 1]), alarms)


@dataclass(frozen=True, slots=True)
class Detection:
    """How well a score tells strangers from familiar images, each in percent ([6])."""

    auroc: Estimate
    """Probability that a stranger scores higher than a familiar image; 50 is chance."""
    aupr: Estimate
    """Average precision with strangers as positives; chance is the share of strangers."""
    fpr95: Estimate
    """Familiar images called strange where 95 % of the strangers are; 95 is chance."""


@arrays_too
def detection(familiar: Tensor, strange: Tensor, *, seed: int = 0) -> Detection:
    """Measures a score on familiar and on strange images.

    Intervals: of AUROC Newcombe's [5]; of the others a percentile bootstrap of both sets,
    widened to the Wilson interval of as many independent images (the strangers for AUPR [7], the
    familiar ones for FPR), which has a width also where the sets are told apart perfectly.

    Args:
        familiar: Scores of in-distribution images, (N,), larger = stranger.
        strange: Scores of others, (M,).
        seed: Of the bootstrap.

    Returns:
        Estimates whose n is N + M.

    Raises:
        ValueError: If a set is empty, not one-dimensional, or has a NaN.
    """
    for scores in (familiar, strange):
        if scores.ndim != 1 or not len(scores) or scores.isnan().any():
            raise PixelBayesError(
                f"scores are (N,) with N >= 1 and no NaN, got shape {tuple(scores.shape)}"
            )
    from scipy.stats import rankdata  # type: ignore[import-untyped, unused-ignore]

    inside, outside = (x.detach().cpu().double().numpy() for x in (familiar, strange))
    n, m = len(inside), len(outside)

    def measured(inside: Numbers, outside: Numbers) -> tuple[float, float]:
        return _average_precision(inside, outside), _fpr95(inside, outside)

    draw = np.random.default_rng(seed)
    drawn = np.array(
        [measured(draw.choice(inside, n), draw.choice(outside, m)) for _ in range(RESAMPLES)]
    )
    # The area is the Mann-Whitney statistic; scikit-learn's refuses infinite scores.
    ranks = rankdata(np.concatenate([inside, outside]))
    auroc = (float(ranks[n:].sum()) - m * (m + 1) / 2) / (n * m)
    low, high = _newcombe_interval(auroc, n, m)
    return Detection(
        Estimate(100 * auroc, 100 * low, 100 * high, n + m, "%"),
        *(
            _widened(value, drawn[:, column], independent, n + m)
            for column, (value, independent) in enumerate(
                zip(measured(inside, outside), (m, n), strict=True)
            )
        ),
    )


@arrays_too
def average_precision(scores: Tensor, positive: Tensor, *, seed: int = 0) -> Estimate:
    """Average precision (AUPRC) of a ranking, in percent; chance is the share of positives.

    The interval is a percentile bootstrap of positives and negatives, widened to the Wilson
    interval of as many independent images as there are positives [7].

    Args:
        scores: (N,), larger = more likely positive.
        positive: bool, (N,), with at least one of each kind.
        seed: Of the bootstrap.

    Raises:
        ValueError: If shapes differ, or there is no positive or no negative.
    """
    if scores.ndim != 1 or scores.shape != positive.shape or positive.dtype != torch.bool:
        raise PixelBayesError(
            "scores (N,) and positive bool (N,) belong to the same images, got "
            f"{tuple(scores.shape)} and {positive.dtype} {tuple(positive.shape)}"
        )
    if not 0 < int(positive.sum()) < len(positive):
        raise PixelBayesError(
            "an average precision needs positives and negatives, got "
            f"{int(positive.sum())} positives of {len(positive)}"
        )
    return detection(scores[~positive], scores[positive], seed=seed).aupr


def _average_precision(inside: Numbers, outside: Numbers) -> float:
    # scikit-learn's average_precision_score, whose checks cost a bootstrap twenty times as much.
    scores = np.concatenate([outside, inside])
    order = np.argsort(-scores, kind="stable")
    found, ranked = (order < len(outside)).cumsum(), scores[order]
    # Equal scores, infinite ones too, are one step of the curve.
    steps = np.append(ranked[1:] != ranked[:-1], True)
    precision = (found / np.arange(1, len(found) + 1))[steps]
    return float(np.diff(found[steps], prepend=0) @ precision / len(outside))


def _fpr95(inside: Numbers, outside: Numbers) -> float:
    # The highest threshold that at least 95 % of the strangers reach.
    reached = math.ceil(TRUE_POSITIVE_RATE * len(outside) - 1e-9)
    return float((inside >= np.sort(outside)[len(outside) - reached]).mean())


def _widened(value: float, drawn: Numbers, independent: int, n: int) -> Estimate:
    """Percentile interval of a share, at least as wide as Wilson's; all in percent."""
    wilson = wilson_interval(value, independent)
    low, high = np.quantile(drawn, [LOWER, UPPER])
    ends = min(float(low), wilson[0]), max(float(high), wilson[1])
    return Estimate(100 * value, 100 * ends[0], 100 * ends[1], n, "%")


def _newcombe_interval(auroc: float, n: int, m: int) -> tuple[float, float]:
    """All areas t with |auroc - t| <= z sd(t) under Hanley and McNeil's variance ([5])."""
    from scipy.optimize import brentq

    size = (n + m) / 2 - 1

    def excess(t: float) -> float:
        variance = t * (1 - t) * (1 + size * ((1 - t) / (2 - t) + t / (1 + t))) / (n * m)
        return (auroc - t) ** 2 - Z_95**2 * variance

    # The excess is negative at the area itself and positive at the far bound, where the variance
    # vanishes; it does so at the area too where that is 0 or 1, hence a step inside.
    low = float(brentq(excess, 0.0, min(auroc, NOT_QUITE_ONE))) if auroc > 0 else 0.0
    high = float(brentq(excess, max(auroc, 1 - NOT_QUITE_ONE), 1.0)) if auroc < 1 else 1.0
    return low, high
