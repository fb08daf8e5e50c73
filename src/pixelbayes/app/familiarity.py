"""How usual an image is: its place among images that the thresholds of a model came from.

Units: bits/dim, the code length under p(x); the longer, the stranger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.models import Model
from pixelbayes.models.decisions import UNLIKE_BY

__all__ = ["Place", "place"]

BINS = 28
BEYOND = 0.35  # share of the picture's width that may be added for an image outside
SCORE = "likelihood"


@dataclass(frozen=True)
class Place:
    """Where an image stands in the histogram of familiar ones."""

    bits: float
    """Of the image."""
    unlike: bool
    """Whether it is called unlike the training data."""
    longer_than: float
    """Share of familiar images whose code is shorter."""
    finest: float
    """The smallest share that is known, and the largest is 1 less it."""
    n: int
    """How many familiar images there were."""
    alarms: float
    """Share of familiar images that are called unlike, too."""
    low: float
    high: float
    """Ends of the picture, bits/dim."""
    bars: tuple[tuple[float, float, float], ...]
    """Left edge, width and height of each bar, as shares of the picture."""

    @property
    def share_of_shorter(self) -> str:
        """Share of familiar images whose code is shorter, in words: the ends are not known."""
        if self.longer_than in (0.0, 1.0):
            return "all" if self.longer_than else "none"
        if self.longer_than < self.finest:
            return f"less than {self.finest:.1%}"
        if self.longer_than > 1 - self.finest:
            return f"more than {1 - self.finest:.1%}"
        return f"{self.longer_than:.0%}"

    @property
    def at(self) -> float:
        """Where the image is in the picture, from 0 to 1; at its end where it is beyond."""
        return min(max((self.bits - self.low) / (self.high - self.low), 0.0), 1.0)


def place(model: Model, log_prob: float, levels: Tensor) -> Place | None:
    """Compares an image with those of `pixelbayes calibrate`.

    Args:
        model: With the thresholds that were stored, if any were.
        log_prob: log p(x) of the image, nats.
        levels: The image, uint8 (C, H, W).

    Returns:
        None where nothing was calibrated, or the model is no density.
    """
    decisions = model.decisions
    if decisions is None or model.dims is None or SCORE not in decisions.outliers:
        return None
    rule = decisions.outliers[SCORE]
    scores = torch.tensor([-log_prob, *rule.quantiles], dtype=torch.float64)
    bits, *quantiles = bits_per_dim(-scores, model.dims).tolist()
    shares = np.linspace(0.0, 1.0, len(quantiles))
    span = quantiles[-1] - quantiles[0]
    low = max(min(bits, quantiles[0]), quantiles[0] - BEYOND * span)
    high = min(max(bits, quantiles[-1]), quantiles[-1] + BEYOND * span)
    edges = np.linspace(low, high, BINS + 1)
    # How images lie before the second quantile and after the last but one, nobody has kept.
    known = np.interp(edges, quantiles[1:-1], shares[1:-1])
    counts = np.diff(known)
    heights = counts / counts.max()
    return Place(
        bits=bits,
        unlike=bool(decisions.is_unlike(-scores[:1], levels[None])[0]),
        longer_than=float(np.interp(bits, quantiles, shares, left=0.0, right=1.0)),
        finest=float(shares[1]),
        n=rule.n,
        alarms=decisions.outlier_rule(UNLIKE_BY).false_alarm_rate,
        low=low,
        high=high,
        bars=tuple((i / BINS, 1 / BINS, float(height)) for i, height in enumerate(heights)),
    )
