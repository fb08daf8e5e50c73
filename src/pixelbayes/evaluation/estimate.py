"""A number never travels alone: value, interval, n and unit in one object.

Three general ways lead to an interval: Student's for a mean (`mean_estimate`), Wilson's for a
share (`wilson_interval`), and the bootstrap for any other statistic (`bootstrap`).

References:
    [1] Efron, Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentile).
    [2] Student, The probable error of a mean, 1908.
    [3] Wilson, Probable inference, the law of succession, and statistical inference, 1927.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.arrays import arrays_too

__all__ = ["Z_95", "Estimate", "bootstrap", "mean_estimate", "wilson_interval"]

Z_95 = 1.96  # the normal quantile that leaves 2.5 % on either side
DRAWN_TOGETHER = 1 << 16  # indices of resamples at once: half a megabyte, what a cache holds
LOWER, UPPER = 0.025, 0.975  # the same interval for the bootstrap

_DECIMALS = {"%": 1, "points": 1}  # a tenth of a percent is finer than any interval we report
_DEFAULT_DECIMALS = 3  # bits per dimension and nats: models differ in the second decimal


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured number together with what is needed to believe it.

    >>> print(Estimate(83.43, 80.0, 86.39, 519, "%"))
    83.4 % [80.0, 86.4], n = 519
    """

    value: float
    """The number itself, in `unit`."""
    low: float
    """Lower end of its 95 % interval, in `unit`."""
    high: float
    """Upper end of its 95 % interval, in `unit`."""
    n: int
    """How many images (or other independent units) it was measured on."""
    unit: str
    """"%", "points" (of a percentage), "bits/dim", "nats", or "" for a bare number."""

    def __str__(self) -> str:
        return f"{self.brief}, n = {self.n}"

    @property
    def brief(self) -> str:
        """Value, unit and interval without n, for tables that have a column for n.

        >>> print(Estimate(1.84, -math.inf, math.inf, 268, "%").brief)  # nothing is known
        1.8 %
        """
        digits = _DECIMALS.get(self.unit, _DEFAULT_DECIMALS)
        unit = f" {self.unit}" if self.unit else ""
        if (self.low, self.high) == (-math.inf, math.inf):
            return f"{self.value:.{digits}f}{unit}"
        return f"{self.value:.{digits}f}{unit} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    def to_json(self) -> dict[str, Any]:
        """Describes the estimate in values that strict JSON can hold.

        JSON knows no infinity and no NaN: such a number becomes null, and `not_finite` says
        what it was.

        >>> Estimate(math.inf, 0.5, math.inf, 3, "nats").to_json()["not_finite"]
        {'value': 'inf', 'high': 'inf'}
        """
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        not_finite = {name: str(x) for name, x in numbers.items() if not math.isfinite(x)}
        described: dict[str, Any] = {
            name: None if name in not_finite else float(x) for name, x in numbers.items()
        }
        described |= {"n": self.n, "unit": self.unit}
        return described | ({"not_finite": not_finite} if not_finite else {})

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> "Estimate":
        """Rebuilds what `to_json` described.

        Raises:
            ValueError: If a field is missing or not a number.
        """
        not_finite = described.get("not_finite", {})
        try:
            value, low, high = (
                float(not_finite.get(name, "nan") if described[name] is None else described[name])
                for name in ("value", "low", "high")
            )
            return cls(value, low, high, int(described["n"]), str(described["unit"]))
        except (KeyError, TypeError, ValueError) as error:
            raise PixelBayesError(
                "an estimate needs the numbers value, low, high and n, and a unit, "
                f"got {dict(described)}"
            ) from error


@arrays_too
def mean_estimate(values: Tensor, unit: str) -> Estimate:
    """Mean with Student's 95 % interval from its standard error [2].

    A single infinite value makes the mean and both ends infinite, a NaN makes them NaN: an
    impossible image is reported, not dropped.

    >>> print(mean_estimate(torch.tensor([2.9, 3.1, 3.0, 3.2]), "bits/dim"))
    3.050 bits/dim [2.845, 3.255], n = 4

    Args:
        values: One number per image, (N,).
        unit: Of the values and of the result.

    Raises:
        ValueError: If there are fewer than two values (the interval would be infinite) or
            `values` is not one-dimensional.
    """
    if values.ndim != 1:
        raise PixelBayesError(
            f"values must be one-dimensional, (N,), got shape {tuple(values.shape)}"
        )
    n = len(values)
    if n < 2:
        raise PixelBayesError(
            f"a mean needs at least two values for an interval, got {n}; "
            "with one value the standard error is unknown"
        )
    values = values.detach().to("cpu", torch.float64)
    mean = float(values.mean())
    if not math.isfinite(mean):
        return Estimate(mean, mean, mean, n, unit)
    from scipy.special import stdtrit  # type: ignore[import-untyped, unused-ignore]

    half = float(stdtrit(n - 1, UPPER)) * float(values.std()) / math.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n, unit)


def wilson_interval(share: float, n: int, z: float = Z_95) -> tuple[float, float]:
    """Ends of the score interval of a binomial probability [3].

    Unlike the normal interval it stays within 0 and 1, and has a width where the share is 0 or 1.

    >>> low, high = wilson_interval(0.0, 10)
    >>> print(f"{low:.3f} {high:.3f}")
    0.000 0.278

    Args:
        share: Observed share, in [0, 1].
        n: Independent observations, at least 1.
        z: Normal quantile of the interval, 1.96 for 95 %.
    """
    zz = z * z / n
    centre = (share + zz / 2) / (1 + zz)
    half = z * math.sqrt(share * (1 - share) / n + zz / (4 * n)) / (1 + zz)
    # At 0 and at 1 the ends coincide with the bounds but for rounding.
    return max(centre - half, 0.0), min(centre + half, 1.0)


def bootstrap(
    statistic: Callable[[Tensor], Tensor], n: int, *, resamples: int = 1000, seed: int, unit: str
) -> Estimate:
    """Value of any statistic with its 95 % percentile bootstrap interval ([1], section 13.3).

    >>> x = torch.arange(100.0)
    >>> print(bootstrap(lambda drawn: x[drawn].quantile(0.5, dim=1), 100, seed=0, unit="levels"))
    49.500 levels [39.500, 59.000], n = 100

    Args:
        statistic: Called with int64 indices in 0..n-1, (draws, n), returns the statistic of the
            examples of each row, (draws,).  Called once with one row, every index in order, which
            gives the value.
        n: Number of examples.
        resamples: How often n examples are drawn with replacement.
        seed: Of the draws; the same seed gives the same interval.
        unit: Of the statistic.

    Raises:
        ValueError: If `n` or `resamples` is less than 1, or the statistic is not one number a row.
    """
    if n < 1 or resamples < 1:
        raise PixelBayesError(
            f"the bootstrap needs examples and resamples, got n = {n}, resamples = {resamples}"
        )

    def of_rows(rows: Tensor) -> Tensor:
        found = torch.as_tensor(statistic(rows))
        if found.shape != rows.shape[:1]:
            raise PixelBayesError(
                f"the statistic of indices {tuple(rows.shape)} is one number a row, "
                f"{tuple(rows.shape[:1])}, got {tuple(found.shape)}"
            )
        return found.to("cpu", torch.float64)

    drawn = torch.cat([of_rows(rows) for rows in with_replacement(n, resamples, seed)])
    low, high = torch.quantile(drawn, torch.tensor([LOWER, UPPER], dtype=torch.float64)).tolist()
    return Estimate(float(of_rows(torch.arange(n)[None])[0]), low, high, n, unit)


def with_replacement(n: int, resamples: int, seed: int) -> Iterator[Tensor]:
    """Indices of n of n examples, int64 (draws, n), of all `resamples` draws in blocks."""
    generator = torch.Generator().manual_seed(seed)
    for draws in draws_at_a_time(n, resamples):
        yield torch.randint(n, (draws, n), generator=generator)


def draws_at_a_time(n: int, resamples: int) -> Iterator[int]:
    """Sizes of the blocks in which `resamples` draws of n numbers are made."""
    most = max(DRAWN_TOGETHER // n, 1)
    for first in range(0, resamples, most):
        yield min(most, resamples - first)


def sums_by_group(groups: Tensor, values: Tensor, number: int) -> Tensor:
    """Sum of the values of each group in each row, (draws, number), float64.

    Args:
        groups: int64 in 0..number-1, (draws, n).
        values: (draws, n).
        number: Of groups.
    """
    sums = torch.zeros(len(groups), number, dtype=torch.float64)
    return sums.scatter_add_(1, groups, values.double())
