"""What is stored with a model so that its numbers become decisions.

`pixelbayes calibrate` fits them on labelled images that the model was not trained on, usually its
validation images: above which score an image is called unlike the training data, and which
classes belong into a set that holds the true one with a stated probability.  They are a handful
of numbers in model.json, and a model without them answers as before.

Shapes: N images, K classes.
Units:  nats per image.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.conformal import ConformalSets, fit_classwise_sets, fit_sets
from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.evaluation.outliers import (
    OUTLIER_SCORES,
    complexity_corrected,
    fit_threshold,
    outlier_score,
)

__all__ = [
    "COVERAGES",
    "SET_METHODS",
    "Decisions",
    "OutlierRule",
    "SetRule",
    "fit_decisions",
]

COVERAGES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)
"""Coverages that thresholds are kept for; one between two has the thresholds of the higher."""
SET_METHODS = ("lac", "aps", "lac-classwise", "aps-classwise")
"""A score of `pixelbayes.evaluation.conformal.SCORES`, with one threshold or one for each class."""
CLASSWISE = "-classwise"
FALSE_ALARM_RATE = 0.05
SHOWN_QUANTILES = 41  # of the scores of familiar images: 0, 2.5, ..., 100 %, enough for a picture
OF_THE_POSTERIOR = "entropy"
"""The one outlier score that the temperature changes."""
UNLIKE_BY = "complexity"
"""The score by which an image is called unlike the training data: of those of
`pixelbayes.evaluation.outliers` the one that misses fewest strangers (docs/howto/sets.md)."""


@dataclass(frozen=True, kw_only=True)
class OutlierRule:
    """Above which score an image is called strange."""

    threshold: float
    """Strange is what scores above it."""
    false_alarm_rate: float
    """Share of familiar images that the threshold may call strange, as it was asked for."""
    false_alarms: tuple[float, float, float]
    """Share of familiar images called strange, in percent: its mean over draws of the images that
    the threshold came from, and the ends of where it lies in 95 % of them."""
    n: int
    """How many images the threshold came from."""
    quantiles: tuple[float, ...]
    """Of their scores at evenly spaced shares from 0 to 1: a picture of what is familiar."""

    def __call__(self, scores: Tensor) -> Tensor:
        """Whether each image is strange, bool, of the shape of the scores."""
        return scores > self.threshold

    @property
    def estimate(self) -> Estimate:
        """The false alarms to expect."""
        return Estimate(*self.false_alarms, self.n, "%")


@dataclass(frozen=True, kw_only=True)
class SetRule:
    """Thresholds of conformal sets, for each of several coverages."""

    coverages: tuple[float, ...]
    """Ascending."""
    thresholds: tuple[tuple[float | None, ...], ...]
    """For each coverage, largest score that is in the set: one for all classes, or one for each;
    None where there were too few images, and every class is in the set."""
    n: tuple[int, ...]
    """Images behind each threshold of a row."""

    def __post_init__(self) -> None:
        widths = {len(self.n), *map(len, self.thresholds)}
        if len(self.thresholds) != len(self.coverages) or len(widths) != 1:
            raise PixelBayesError(
                f"{len(self.coverages)} coverages have a row of thresholds each, as long as n, got "
                f"{len(self.thresholds)} rows of {sorted(widths)} numbers"
            )

    def at(self, coverage: float, score: str, classes: int) -> ConformalSets:
        """The sets of the lowest coverage that is kept and not below the one asked for."""
        given: Any = coverage
        number = isinstance(given, Real) and not isinstance(given, bool)
        if not number or not 0 < coverage <= self.coverages[-1]:
            raise PixelBayesError(
                f"a coverage is a probability above 0 and, as thresholds are kept up to there, at "
                f"most {self.coverages[-1]:g}, got {coverage}"
            )
        row = next(i for i, kept in enumerate(self.coverages) if kept >= coverage - 1e-9)
        limits = tuple(math.inf if it is None else it for it in self.thresholds[row])
        n = self.n
        if len(limits) == 1:
            limits, n = limits * classes, n * classes
        return ConformalSets(score, self.coverages[row], limits, n)


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """What a model needs to say "I do not know this" and "it is one of these".

    The sets belong to the temperature that they were fitted at: a model at another one has none
    (`at_temperature`).
    """

    calibrated_on: str
    """Which images."""
    n: int
    """How many, all of them labelled."""
    temperature: float
    """Of the probabilities that the sets were fitted to."""
    typical_log_prob: float | None = None
    """Mean of log p(x) over those images, nats; None where the model is no density."""
    outliers: Mapping[str, OutlierRule] = field(default_factory=dict)
    """By the names of `pixelbayes.evaluation.outliers.OUTLIER_SCORES`."""
    sets: Mapping[str, SetRule] = field(default_factory=dict)
    """By the names of `SET_METHODS`."""

    def is_unlike(self, log_prob: Tensor, levels: Tensor) -> Tensor:
        """Whether images are unlike the training data: their codes are too long for their detail.

        A plain surface has a short code under any model, and a busy picture a long one; what
        counts is how much longer it is than that of the same image as a PNG.

        Args:
            log_prob: log p(x), nats, (N,).
            levels: The images, uint8 (N, C, H, W).

        Returns:
            bool, (N,).

        Raises:
            PixelBayesError: If there is no threshold, as of a model that is no density.
        """
        return self.outlier_rule(UNLIKE_BY)(complexity_corrected(log_prob, levels))

    def outlier_rule(self, score: str) -> OutlierRule:
        """The threshold of a score.

        Raises:
            PixelBayesError: If there is none of that name.
        """
        if score not in self.outliers:
            kept = ", ".join(self.outliers) or "none, since the model gives no p(x)"
            raise PixelBayesError(f"no threshold of the score {score!r} is kept; kept: {kept}")
        return self.outliers[score]

    def prediction_set(self, log_posterior: Tensor, coverage: float, method: str = "lac") -> Tensor:
        """Which classes are in the set of each image, bool (N, K).

        The sets hold the true class of at least a share `coverage` of images like those of the
        calibration.  For a coverage between two of `COVERAGES` they are those of the higher.

        Args:
            log_posterior: log p(y | x) at the model's temperature, (N, K).
            coverage: Probability in (0, 1).
            method: One of `SET_METHODS`.

        Raises:
            PixelBayesError: If there are no such sets, or the coverage is higher than they have.
        """
        if method not in self.sets:
            if not self.sets:
                raise PixelBayesError(
                    f"sets were fitted at temperature {self.temperature:.4g}, and at another one "
                    "there are none; leave it out, or, where it is the model's own now, "
                    "'pixelbayes calibrate' fits them"
                )
            raise PixelBayesError(
                f"no sets of the method {method!r} are kept; kept: {', '.join(self.sets)}"
            )
        score = method.removesuffix(CLASSWISE)
        return self.sets[method].at(coverage, score, log_posterior.shape[1])(log_posterior)

    def at_temperature(self, temperature: float) -> Decisions:
        """What holds at a temperature: at another one than that of the fit there are no sets."""
        if math.isclose(temperature, self.temperature):
            return self
        kept = {name: rule for name, rule in self.outliers.items() if name != OF_THE_POSTERIOR}
        return replace(self, outliers=kept, sets={})

    @property
    def largest_coverage(self) -> float | None:
        """Highest coverage that sets are kept for; None without sets."""
        return max((rule.coverages[-1] for rule in self.sets.values()), default=None)


def fit_decisions(
    *,
    log_prob: Tensor | None,
    log_proba: Tensor,
    levels: Tensor,
    labels: Tensor,
    temperature: float,
    calibrated_on: str,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> Decisions:
    """Fits thresholds on images that neither the model was trained on.

    Args:
        log_prob: log p(x), nats, (N,); None of a model that is no density, which then gets
            sets only.
        log_proba: log p(y | x) at the temperature, (N, K).
        levels: The images, uint8 (N, C, H, W).
        labels: Their true classes, (N,).
        temperature: Of `log_proba`.
        calibrated_on: Which images they are, for people.
        false_alarm_rate: Share of familiar images that may be called strange, in (0, 1).

    Raises:
        PixelBayesError: If shapes, labels or probabilities are impossible, or there are too few
            images for the rate.
    """
    outliers: dict[str, OutlierRule] = {}
    typical = None
    if log_prob is not None:
        typical = float(log_prob.double().mean())
        for name in OUTLIER_SCORES:
            scores = outlier_score(
                name, log_prob=log_prob, log_proba=log_proba, levels=levels, typical=typical
            )
            outliers[name] = _outlier_rule(scores, false_alarm_rate)
    return Decisions(
        calibrated_on=calibrated_on,
        n=len(labels),
        temperature=temperature,
        typical_log_prob=typical,
        outliers=outliers,
        sets={method: _set_rule(log_proba, labels, method) for method in SET_METHODS},
    )


def _outlier_rule(scores: Tensor, rate: float) -> OutlierRule:
    found = fit_threshold(scores, rate)
    shares = torch.linspace(0, 1, SHOWN_QUANTILES, dtype=torch.float64)
    alarms = found.false_alarms
    return OutlierRule(
        threshold=found.value,
        false_alarm_rate=rate,
        false_alarms=(alarms.value, alarms.low, alarms.high),
        n=len(scores),
        quantiles=tuple(scores.double().quantile(shares).tolist()),
    )


def _set_rule(log_proba: Tensor, labels: Tensor, method: str) -> SetRule:
    classwise = method.endswith(CLASSWISE)
    score, fit = method.removesuffix(CLASSWISE), fit_classwise_sets if classwise else fit_sets
    fitted = [fit(log_proba, labels, coverage=it, score=score) for it in COVERAGES]
    kept = len(fitted[0].n) if classwise else 1
    return SetRule(
        coverages=COVERAGES,
        thresholds=tuple(
            tuple(it if math.isfinite(it) else None for it in sets.thresholds[:kept])
            for sets in fitted
        ),
        n=fitted[0].n[:kept],
    )
