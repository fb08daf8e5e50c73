"""How time and memory grow with the image, the features, the classes and the batch.

Every point is measured in a process of its own, so its peak memory is its own too.  The
exponents are slopes of least-squares lines in the log-log plot: 1 is proportional.  Where memory
ends on machines of 8 and 16 GiB is extrapolated along the slope of the last two points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.classification import classification_work
from benchmarks.figures import growth
from benchmarks.measuring import MIB, Isolated, Spread, interleave
from benchmarks.records import Column, Record, Table, origin
from benchmarks.sampling import sampling_work
from benchmarks.steps import own_steps
from benchmarks.subjects import SMALL, describe
from pixelbayes.core import PixelCNNConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["AXES", "FULL", "QUICK", "WORKS", "Plan", "draw", "end_of_memory", "exponent", "measure"]

NAIVE_PASSES = 2  # of `sampling_work`
LIMITS = (8, 16)  # GiB
FAR = 10  # times what was measured: too far to extrapolate


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        config: The network that one axis at a time departs from.
        batch: The batch where it is not the axis.
        sides: Rows, and columns as many.
        features: Channels of both streams.
        classes: Of classification; nothing else depends on their number.
        batches: Images at a time.
        repeats: Of each measurement.
        patience: Seconds after which a point has no further repeat.
    """

    config: PixelCNNConfig = SMALL
    batch: int = 8
    sides: tuple[int, ...] = (8, 16, 32, 64)
    features: tuple[int, ...] = (20, 40, 80, 160)
    classes: tuple[int, ...] = (2, 10, 32, 100)
    batches: tuple[int, ...] = (1, 4, 16, 64)
    repeats: int = 3
    patience: float = 8.0


FULL = Plan()
QUICK = Plan(batch=2, sides=(8, 16), features=(10, 20), classes=(2, 3), batches=(1, 2), repeats=1)


@dataclass(frozen=True)
class Work:
    """Something that is done to one batch.

    Attributes:
        name: In tables and plots.
        build: Called with the configuration and the batch, returns the work.
        whole: How many times the work makes up the whole, given the configuration.
    """

    name: str
    build: Callable[[PixelCNNConfig, int], Callable[[], Any]]
    whole: Callable[[PixelCNNConfig], float] = lambda _: 1.0


def cached_sampling(config: PixelCNNConfig, batch: int) -> Callable[[], Any]:
    """The cached sampler."""
    return sampling_work("cached", config, batch)


def naive_sampling(config: PixelCNNConfig, batch: int) -> Callable[[], Any]:
    """Two passes of the naive sampler."""
    return sampling_work("naive", config, batch)


def classification(config: PixelCNNConfig, batch: int) -> Callable[[], Any]:
    """All classes of a batch."""
    return classification_work("bayes", config, batch)


def training(config: PixelCNNConfig, batch: int) -> Callable[[], Any]:
    """One training step, float32."""
    return own_steps(config, batch, 1, torch.float32)


CLASSIFICATION = "classification"
WORKS = (
    Work("cached sampling", cached_sampling),
    Work(
        "naive sampling (extrapolated)",
        naive_sampling,
        lambda c: math.prod(c.image_size) / NAIVE_PASSES,
    ),
    Work(CLASSIFICATION, classification),
    Work("training step", training),
)
AXES = {
    "side": "H = W, pixels",
    "features": "features",
    "classes": "classes",
    "batch": "images in a batch",
}


def measure(plan: Plan) -> Record:
    """Measures each work along each axis."""
    points = {
        "side": [(n, replace(plan.config, image_size=(n, n)), plan.batch) for n in plan.sides],
        "features": [(n, replace(plan.config, features=n), plan.batch) for n in plan.features],
        "classes": [(n, replace(plan.config, classes=n), plan.batch) for n in plan.classes],
        "batch": [(n, plan.config, n) for n in plan.batches],
    }
    rows = [
        {"axis": axis, "value": value, "work": work.name, **_point(work, config, batch, plan)}
        for axis, values in points.items()
        for work in WORKS
        if axis != "classes" or work.name == CLASSIFICATION
        for value, config, batch in values
    ]
    tables = [_exponents(rows), _ends(rows)]
    for axis, heading in AXES.items():
        columns = (
            Column("work", "work"),
            Column("value", heading),
            Column("seconds", "seconds a batch"),
            Column("memory", "memory beside program and weights, MiB"),
        )
        mine = tuple(row for row in rows if row["axis"] == axis)
        tables.append(Table(f"Growth with {heading}", columns, mine))
    return Record(
        name="scaling",
        title="How time and memory grow",
        settings={
            "network": describe(plan.config),
            "batch": plan.batch,
            "repeats": plan.repeats,
        },
        tables=tuple(tables),
        provenance=origin(),
    )


def exponent(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Slope of log y over log x; None of fewer than two points or a value not above zero.

    >>> round(exponent([1.0, 2.0, 4.0], [3.0, 12.0, 48.0]), 6)
    2.0
    """
    if len(y) < 2 or min(y) <= 0.0:
        return None
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def draw(record: Record) -> dict[str, Figure]:
    """Time and memory along each axis, log-log."""
    drawn = {}
    for quantity, ylabel in (("seconds", "seconds a batch"), ("memory", "memory, MiB")):
        for axis, heading in AXES.items():
            rows = record.table(f"Growth with {heading}").rows
            lines = {}
            for name in dict.fromkeys(row["work"] for row in rows):
                mine = [row for row in rows if row["work"] == name]
                lines[name] = (
                    [row["value"] for row in mine],
                    [row[quantity] for row in mine],
                )
            drawn[f"{quantity}-{axis}"] = growth(
                {f"growth with {heading}": lines}, xlabel=heading, ylabel=ylabel
            )
    return drawn


def _point(work: Work, config: PixelCNNConfig, batch: int, plan: Plan) -> dict[str, Any]:
    with Isolated(work.build, config, batch) as side:
        memory = side.memory()  # and the warm-up
        times = interleave({"": side}, repeats=plan.repeats, warm_up=0, patience=plan.patience)[""]
    return {
        "seconds": Spread.of([taken * work.whole(config) for taken in times]),
        "memory": memory.added / MIB,
        "before": memory.before / MIB,
    }


def end_of_memory(
    x: Sequence[float], whole: Sequence[float], base: float, limit: float
) -> float | None:
    """The value of an axis at which a process reaches `limit`, along its last two points' slope.

    Args:
        x: Values of the axis, rising.
        whole: Memory of the process there, with weights and work.
        base: What the process has without either.
        limit: What it may have; all three in one unit.

    Returns:
        None where memory does not grow between the last two points, or ends more than `FAR` times
        the last value away.

    >>> round(end_of_memory([1.0, 2.0, 4.0], [101.0, 110.0, 120.0], base=100.0, limit=200.0))
    20
    """
    grown = [memory - base for memory in whole]
    slope = exponent(x[-2:], grown[-2:])
    if slope is None or slope <= 0.0:
        return None
    steps = math.log((limit - base) / grown[-1]) / slope
    return None if steps > math.log(FAR) else float(x[-1] * math.exp(steps))


def _ends(rows: Sequence[dict[str, Any]]) -> Table:
    ends = []
    for work in WORKS:
        for axis, heading in AXES.items():
            mine = [r for r in rows if r["axis"] == axis and r["work"] == work.name]
            if not mine:
                continue
            x, whole = [r["value"] for r in mine], [r["before"] + r["memory"] for r in mine]
            base = min(r["before"] for r in mine)
            row: dict[str, Any] = {"work": work.name, "axis": heading, "last": x[-1]}
            for limit in LIMITS:
                end = end_of_memory(x, whole, base, limit * 1024)
                row[f"{limit}"] = None if end is None else int(end)
            ends.append(row)
    columns = (
        Column("work", "work"),
        Column("axis", "axis"),
        Column("last", "measured up to"),
        *(Column(f"{limit}", f"{limit} GiB end at") for limit in LIMITS),
    )
    note = (
        "Extrapolated, a whole process with its libraries and weights; the other sizes as in the "
        f"settings.  An empty cell is beyond {FAR} times the last size measured, where this says "
        "nothing."
    )
    return Table("Where memory ends", columns, tuple(ends), (note,))


def _exponents(rows: Sequence[dict[str, Any]]) -> Table:
    slopes = []
    for work in WORKS:
        row: dict[str, Any] = {"work": work.name}
        for axis in AXES:
            mine = [r for r in rows if r["axis"] == axis and r["work"] == work.name]
            x = [r["value"] for r in mine]
            row[f"{axis}-seconds"] = exponent(x, [r["seconds"].median for r in mine])
            row[f"{axis}-memory"] = exponent(x, [r["memory"] for r in mine])
        slopes.append(row)
    columns = [Column("work", "work")]
    for quantity, name in (("seconds", "time"), ("memory", "memory")):
        columns += [Column(f"{axis}-{quantity}", f"{name} ~ {axis}^") for axis in AXES]
    note = (
        "1 is proportional.  A side enters the number of pixels twice, features the arithmetic "
        "twice.  Memory holds some MiB that libraries load at their first use."
    )
    return Table("Exponents", tuple(columns), tuple(slopes), (note,))
