"""The columns of a study's tables: what is measured, how it is written, what it is set beside.

A `Measure` reads one number from a result.  The same object finds the published figure and the
floor of that number, so that a table cannot put one column's figure under another's.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import mean, stdev

from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.report.study.published import PublishedModel
from pixelbayes.report.study.results import ModelResult

__all__ = [
    "BELOW_FLOOR",
    "Cell",
    "Fact",
    "Measure",
    "against",
    "bits_per_dim",
    "calibration_error",
    "count_in_header",
    "epochs",
    "estimate_cell",
    "fid",
    "log_loss",
    "p_text",
    "parameters",
    "preferred_dims",
    "split_accuracy",
]

MISSING = "-"
BELOW_FLOOR = "‡"
SHORT = {"train": "train", "validation": "val", "test": "test"}
SMALLEST_P = 1e-4  # a smaller p-value says nothing more


@dataclass(frozen=True)
class Cell:
    """One entry of a table: a value and two lines of small print below it."""

    value: str = MISSING
    detail: str = ""
    remark: str = ""


@dataclass(frozen=True)
class Fact:
    """A column that holds a text."""

    header: str
    describe: Callable[[ModelResult], str]

    def cell(self, results: Sequence[ModelResult]) -> Cell:
        """The text of all seeds, once where they agree."""
        return Cell(", ".join(dict.fromkeys(self.describe(result) for result in results)))


@dataclass(frozen=True)
class Measure:
    """A column that holds a measured number."""

    header: str
    of: Callable[[ModelResult], Estimate | float | None]
    digits: int = 1
    factor: float = 1.0
    """From a number without interval to the unit of the header."""
    published: Callable[[PublishedModel], float | None] = lambda _: None
    floor: Callable[[ModelResult], Estimate | None] = lambda _: None
    remark: Callable[[ModelResult], str] = lambda _: ""
    """A line of small print below the interval."""
    counted: bool = True
    """Whether n belongs beside the number."""

    def cell(self, results: Sequence[ModelResult]) -> Cell:
        """One seed: the number with its interval.  Several: mean and standard deviation."""
        found = [(result, x) for result in results if (x := self.of(result)) is not None]
        if not found:
            return Cell()
        if len(found) == 1:
            return self._one(*found[0])
        values = [x.value if isinstance(x, Estimate) else self.factor * x for _, x in found]
        spread = stdev(values) if all(map(math.isfinite, values)) else math.nan
        return Cell(f"{self._text(mean(values))} ± {self._text(spread)}")

    def floor_cell(self, result: ModelResult) -> Cell:
        """What real images get in the place of generated ones."""
        floor = self.floor(result)
        return self._estimated(floor) if floor else Cell()

    def published_cell(self, model: PublishedModel) -> Cell:
        """The published figure, with the digits it was published with."""
        figure = self.published(model)
        return Cell() if figure is None else Cell(f"{figure:g}")

    def _one(self, result: ModelResult, x: Estimate | float) -> Cell:
        cell = self._estimated(x) if isinstance(x, Estimate) else Cell(self._text(self.factor * x))
        floor = self.floor(result)
        below = floor and isinstance(x, Estimate) and x.value < floor.value
        mark = BELOW_FLOOR if below else ""
        return Cell(cell.value + mark, cell.detail, self.remark(result))

    def _estimated(self, x: Estimate) -> Cell:
        return estimate_cell(x, self.digits, counted=self.counted)

    def _text(self, x: float) -> str:
        return _number(x, self.digits)


def estimate_cell(
    x: Estimate | None, digits: int, *, counted: bool = False, mark: str = ""
) -> Cell:
    """An estimate with its interval in small print.

    >>> estimate_cell(Estimate(-5.24, -8.1, -2.3, 519, "points"), 1, counted=True)
    Cell(value='-5.2', detail='[-8.1, -2.3], n = 519', remark='')

    Args:
        x: In the unit of its column; None where nothing was measured.
        digits: Decimals.
        counted: Whether n is written too.
        mark: Put after the value.
    """
    if x is None:
        return Cell()
    value, low, high = (_number(end, digits) for end in (x.value, x.low, x.high))
    return Cell(value + mark, f"[{low}, {high}]" + (f", n = {x.n}" if counted else ""))


def count_in_header(measure: Measure, results: Sequence[ModelResult]) -> tuple[Measure, Cell]:
    """Moves n from the cells to the header where every result has the same.

    Returns:
        The measure, and the cell above its column.
    """
    found = (measure.of(result) for result in results)
    counts = {x.n for x in found if isinstance(x, Estimate)}
    if len(counts) != 1 or not measure.counted:
        return measure, Cell(measure.header)
    return replace(measure, counted=False), Cell(measure.header, f"n = {counts.pop()}")


def parameters() -> Fact:
    """Number of trained weights."""
    return Fact("parameters", lambda result: f"{result.parameters:,}".replace(",", " "))


def epochs() -> Fact:
    """Epochs done, and the one that was evaluated."""
    return Fact("epochs (best)", lambda result: f"{result.epochs} ({result.best_epoch})")


def split_accuracy(split: str) -> Measure:
    """Share of right answers on a split, in %."""
    return Measure(
        f"{SHORT.get(split, split)} accuracy, %",
        lambda result: result.accuracy.get(split),
        published=lambda model: model.accuracy.get(split),
    )


def bits_per_dim(split: str) -> Measure:
    """Code length of a split's images given their labels."""
    return Measure(
        f"{SHORT.get(split, split)} bits/dim", lambda result: result.bits_per_dim.get(split), 3
    )


def log_loss(split: str, posterior: str) -> Measure:
    """Mean -log p(true class) of a posterior on a split, in nats."""
    return Measure(
        f"{SHORT.get(split, split)} log-loss, {posterior}, nats",
        lambda result: result.log_loss.get(split, {}).get(posterior),
        3,
    )


def calibration_error(split: str, posterior: str) -> Measure:
    """Expected calibration error of a posterior on a split, in %."""
    return Measure(
        f"{SHORT.get(split, split)} ECE, {posterior}, %",
        lambda result: result.ece.get(split, {}).get(posterior),
        factor=100,
    )


def fid(protocol: str, dims: int) -> Measure:
    """FID under one protocol and number of features, with its floor."""

    def estimate(result: ModelResult) -> Estimate | None:
        score = result.score(protocol, dims)
        return score.fid if score else None

    def floor(result: ModelResult) -> Estimate | None:
        score = result.score(protocol, dims)
        return score.fid_floor if score else None

    comparable = (protocol, dims) == ("course", 192)
    return Measure(
        f"FID {protocol}-{dims}",
        estimate,
        published=lambda model: model.fid if comparable else None,
        floor=floor,
    )


def preferred_dims(results: Sequence[ModelResult], protocol: str) -> int | None:
    """The number of features to show of a protocol: 192, or else the largest there is."""
    found = {score.dims for r in results for score in r.scores if score.protocol == protocol}
    return 192 if 192 in found else max(found, default=None)


def against(other: str, split: str) -> Measure:
    """Accuracy minus that of another model on the same images, in points, with McNemar's p."""

    def difference(result: ModelResult) -> Estimate | None:
        found = (c.difference for c in result.comparisons if (c.other, c.split) == (other, split))
        return next(found, None)

    def p_value(result: ModelResult) -> str:
        found = (c.mcnemar for c in result.comparisons if (c.other, c.split) == (other, split))
        return next((p_text(test.p_value) for test in found), "")

    short = SHORT.get(split, split)
    return Measure(f"{short} minus {other}, points", difference, remark=p_value)


def p_text(p_value: float) -> str:
    """Writes a p-value.

    >>> p_text(0.0312), p_text(3e-9)
    ('p = 0.0312', 'p < 0.0001')
    """
    return f"p < {SMALLEST_P:g}" if p_value < SMALLEST_P else f"p = {p_value:.3g}"


def _number(x: float, digits: int) -> str:
    return f"{x:.{digits}f}" if math.isfinite(x) else str(x)
