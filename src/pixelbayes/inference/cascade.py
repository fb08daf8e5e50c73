r"""Coarse to fine: the first members of an ensemble answer alone where they are sure.

Members are asked in their order, cheap ones first.  After m of them an image is decided if the
posterior of their mean has a class above a threshold; only the others are shown to the next one.
The threshold trades time against agreement with the answer of all members; `fit_cascade` chooses
it such that agreement on new images has a lower limit, as `pixelbayes.inference.anytime` does.

Shapes: N images, K classes, M members.

References:
    [1] Viola & Jones, Rapid object detection using a boosted cascade of simple features, 2001.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixelbayes.inference.anytime import AgreementBound, passing, require_enough
from pixelbayes.inference.classification import class_posterior

__all__ = ["CascadeResult", "CascadeRule", "fit_cascade", "replay", "running_posteriors"]

THRESHOLDS = (1.0 - torch.logspace(-6, 0, 200, dtype=torch.float64)).tolist()
"""Candidates: from hardly ever sure to always."""


@dataclass(frozen=True)
class CascadeRule:
    """When an image is decided.

    Attributes:
        threshold: Probability of the first class that has to be exceeded; 1 never is.
        bound: What its agreement with all members is known to be; None if nothing is.
    """

    threshold: float
    bound: AgreementBound | None = None

    def decided(self, log_posterior: Tensor) -> Tensor:
        """Which images need no further member, bool, (N,); log_posterior: (N, K)."""
        return log_posterior.max(dim=1).values.exp() > self.threshold


@dataclass(frozen=True)
class CascadeResult:
    """Answers and what they cost.

    Attributes:
        log_posterior: log p(y | x) by the members that were asked, (N, K), float64.
        asked: How many members saw each image, int64, (N,).
    """

    log_posterior: Tensor
    asked: Tensor

    @property
    def predicted(self) -> Tensor:
        """int64, (N,)."""
        return self.log_posterior.argmax(dim=1)


def running_posteriors(tables: Tensor, log_prior: Tensor, temperature: float = 1.0) -> Tensor:
    """The posterior of the mean of the first m members, m = 1..M, (M, N, K).

    Args:
        tables: log p_m(x | y) / T_m of each member, (M, N, K).
        log_prior: (K,).
        temperature: Of the ensemble.
    """
    counts = torch.arange(1, len(tables) + 1, dtype=tables.dtype)
    return class_posterior(tables.cumsum(dim=0) / counts[:, None, None], log_prior, temperature)


def replay(running: Tensor, rule: CascadeRule) -> CascadeResult:
    """What a cascade would answer, from posteriors that are known already.

    Args:
        running: From `running_posteriors`.
        rule: When an image is decided.
    """
    asked = torch.full(running.shape[1:2], len(running))
    for member in reversed(range(len(running) - 1)):
        asked[rule.decided(running[member])] = member + 1
    return CascadeResult(running[asked - 1, torch.arange(len(asked))], asked)


def fit_cascade(
    running: Tensor, *, agreement: float = 0.99, confidence: float = 0.95
) -> CascadeRule:
    """The boldest threshold for which agreement with all members is shown to be high enough.

    The test is that of `pixelbayes.inference.anytime.fit_anytime`.

    Args:
        running: From `running_posteriors` on images that no member was trained on.  They need no
            labels.
        agreement: Share of new images, like these, on which the answers have to agree, in (0, 1).
        confidence: Probability that they do, over draws of the N images, in (0, 1).

    Raises:
        ValueError: If a number is out of range, or there are too few images to show the agreement
            even if none of them disagreed.
    """
    require_enough(running.shape[1], agreement, confidence)
    full = running[-1].argmax(dim=1)

    def disagreeing(threshold: float) -> Tensor:
        return replay(running, CascadeRule(threshold)).predicted != full

    best = CascadeRule(1.0, AgreementBound(1.0, 1.0, len(full), 0))
    for threshold, bound in passing(THRESHOLDS, disagreeing, agreement, confidence):
        best = CascadeRule(threshold, bound)
    return best
