"""How numbers are shown: one description of each, and the tables that are made of them.

A number is described once, in `COLUMNS`, by the name that it has in `SplitResult.measures`; what
stands after a slash of the name (a posterior, a protocol, another model) is a variant of it.
Terminal, Markdown, web page, LaTeX, card and figures read the description, so a new number is
computed in one place and described here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.report.results import Report

__all__ = [
    "COLUMNS",
    "MISSING",
    "Column",
    "column_of",
    "results_rows",
    "settings_rows",
    "temperature_sentence",
    "worst_confusions",
]

MISSING = "-"
Which = Literal["every", "validation", "headline"]
"""Splits that a column is shown of in a table of a study."""


@dataclass(frozen=True)
class Column:
    """One number: what it is called and how it is written."""

    name: str
    """As in `SplitResult.measures`, without a variant."""
    title: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = ""
    digits: int = 3
    scale: float = 1.0
    """From the number as it is kept to `unit`."""
    about: str = ""
    """What it is, in a sentence for a lay reader."""
    in_study: Mapping[str, Which] = field(default_factory=dict)
    """Tables of a study that show it, and of which splits."""

    @property
    def header(self) -> str:
        """Title and unit, for above a column of numbers."""
        return self.title if self.unit in ("", self.title) else f"{self.title}, {self.unit}"

    def number(self, x: float) -> str:
        """A number of this kind, in its unit but without it."""
        x *= self.scale
        return f"{x:.{self.digits}f}" if math.isfinite(x) else str(x)

    def interval(self, x: Estimate) -> str:
        """The 95 % interval in brackets; nothing where none is known."""
        if (x.low, x.high) == (-math.inf, math.inf):
            return ""
        return f"[{self.number(x.low)}, {self.number(x.high)}]"

    def value(self, x: Estimate) -> str:
        """Number and unit."""
        if math.isnan(x.value):
            return "unknown"
        return f"{self.number(x.value)} {self.unit}".rstrip()

    def text(self, x: Estimate | None) -> str:
        """Number, unit and interval; a dash where nothing was measured.

        >>> column_of("accuracy").text(Estimate(83.43, 80.0, 86.39, 519, "%"))
        '83.4 % [80.0, 86.4]'
        """
        return MISSING if x is None else f"{self.value(x)} {self.interval(x)}".rstrip()

    def best(self, found: Mapping[str, Estimate]) -> str:
        """Which of several has the best number."""
        sign = -1 if self.better == "lower" else 1
        return max(found, key=lambda name: sign * found[name].value)


COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column(
            "accuracy",
            "accuracy",
            "%",
            "higher",
            digits=1,
            about="how many of 100 images are put into their class",
            in_study={
                "table1": "every",
                "table2": "every",
                "ablation": "every",
                "kinds": "validation",
                "ensembles": "every",
            },
        ),
        Column(
            "bits_per_dim",
            "bits/dim",
            "bits/dim",
            "lower",
            about="bits that the model needs to store one colour value of an image of known class",
            in_study={
                "table1": "validation",
                "ablation": "validation",
                "kinds": "validation",
                "ensembles": "validation",
            },
        ),
        Column(
            "ece",
            "ECE",
            "%",
            "lower",
            digits=1,
            scale=100.0,
            about="expected calibration error: how far confidence and accuracy are apart",
            in_study={"table2": "headline", "ensembles": "headline"},
        ),
        Column(
            "log_loss",
            "log-loss",
            "nats",
            "lower",
            about="minus the logarithm of the probability that the true class was given",
            in_study={"table2": "headline", "ensembles": "headline"},
        ),
        Column(
            "brier",
            "Brier score",
            "",
            "lower",
            about="squared distance of the probabilities to the truth, from 0 to 2",
        ),
        Column(
            "aurc",
            "AURC",
            "%",
            "lower",
            digits=2,
            about="share of errors among the surest images, averaged over how many are answered "
            "(area under risk against coverage)",
            in_study={"ensembles": "headline"},
        ),
        Column("fid", "FID", "", "lower", digits=1, about="distance to real images"),
        Column("kid", "KID", "thousandths", "lower", digits=2, about="distance to real images"),
        Column("difference", "minus", "points", "higher", digits=1),
    )
}


def column_of(name: str, unit: str = "") -> Column:
    """The description of a number, with its variant in the title.

    A number without a description is shown by its name.

    >>> column_of("log_loss/raw").header
    'log-loss, raw, nats'
    """
    family, _, variant = name.partition("/")
    known = COLUMNS.get(family, Column(family, family.replace("_", " "), unit))
    if not variant:
        return known
    joint = " " if family in ("fid", "kid", "difference") else ", "
    return replace(known, title=f"{known.title}{joint}{variant}")


def results_rows(report: Report) -> tuple[list[str], list[list[str]]]:
    """The table of results: header and rows, a column for each split, the headline one first."""
    splits = sorted(report.splits.values(), key=lambda s: s.split != report.headline_split)
    units = {name: x.unit for split in splits for name, x in split.measures.items()}
    places = {name: place for place, name in enumerate(COLUMNS)}  # without a place: at the end
    rows = []
    for name in sorted(units, key=lambda name: places.get(name.split("/")[0], len(places))):
        column = column_of(name, units[name])
        rows.append([column.title, *(column.text(s.measures.get(name)) for s in splits)])
    return ["", *(f"{split.split}, n = {split.n}" for split in splits)], rows


def temperature_sentence(report: Report) -> str:
    """Says in words which temperature the calibrated posterior has, and why that."""
    temperature, fit = report.temperature, report.temperature_fit
    without = "validation images themselves are measured with one that was fitted without them."
    if temperature is None:
        return "No temperature was fitted: there is a raw posterior only."
    if fit is None:  # the model's own, or a report of version 0.1
        rest = f"fitted on validation; {without}" if "validation" in report.splits else "its own"
        return f"Calibrated: temperature {temperature:.4g}, {rest}".removesuffix(".") + "."
    if fit.accepted:
        return f"Calibrated: {fit.sentence} {without[0].upper()}{without[1:]}"
    return (
        f"{fit.sentence}{' So calibrated numbers are the raw ones.' if temperature == 1.0 else ''}"
    )


def worst_confusions(
    confusion: Sequence[Sequence[int]], classes: Sequence[str], number: int
) -> list[tuple[str, str, int]]:
    """The most frequent mistakes: true class, predicted class, images.

    >>> worst_confusions([[5, 0], [3, 4]], ["cat", "dog"], 1)
    [('dog', 'cat', 3)]
    """
    mistakes = [
        (classes[true], classes[predicted], count)
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    return sorted(mistakes, key=lambda mistake: -mistake[2])[:number]


def settings_rows(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flattens a nested mapping to rows of dotted name and readable value.

    >>> settings_rows({"optim": {"lr": 2e-4, "betas": [0.9, 0.95]}, "ema": None})
    [('optim.lr', '0.0002'), ('optim.betas', '0.9, 0.95'), ('ema', '-')]
    >>> settings_rows({"members": [{"kind": "pixelcnn"}, {"kind": "resnet18"}]})
    [('members.1.kind', 'pixelcnn'), ('members.2.kind', 'resnet18')]
    """
    rows: list[tuple[str, str]] = []
    for key, given in content.items():
        several = isinstance(given, (list, tuple)) and any(isinstance(it, Mapping) for it in given)
        value: Any = {str(i): it for i, it in enumerate(given, start=1)} if several else given
        if isinstance(value, Mapping) and value:
            rows += settings_rows(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", _readable(value)))
    return rows


def _readable(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_readable, value)) or MISSING
    return str(value)
