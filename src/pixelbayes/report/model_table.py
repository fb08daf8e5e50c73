"""A table of a study: models side by side, with published figures and floors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Literal

from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.report.published import Published, PublishedModel
from pixelbayes.report.results import GENERATED, Comparison, ModelResult
from pixelbayes.report.tables import COLUMNS, MISSING, Column, column_of

__all__ = [
    "BELOW_FLOOR",
    "INTERVALS",
    "Cell",
    "Row",
    "Table",
    "cell_of",
    "fid_protocols",
    "grouped",
    "headline_split",
    "model_table",
    "p_text",
    "score_notes",
]

BELOW_FLOOR, UNFINISHED = "‡", "†"
SHORT = {"train": "train", "validation": "val", "test": "test", GENERATED: ""}
SMALLEST_P = 1e-4  # a smaller p-value says nothing more
INTERVALS = "Intervals in brackets are 95 %."
FLOOR_NOTE = (
    "A score below the floor does not mean better images than real ones: the floor is what real "
    "training images get in the place of generated ones, under the same protocol and sizes."
)
BOUND = "diffusion"  # kind of a model that has no likelihood
BOUND_NOTE = (
    "Bits/dim of a diffusion model are a bound from some of its passes: the code is at most so "
    "long, and it classifies by bounds. Intervals are over images: all have the noises of the same "
    "passes, and what other noises would change is not in them."
)
HELD_OUT_NOTE = (
    "Calibrated: at a temperature fitted on validation images; each validation image itself at "
    "one that was fitted on the other four fifths of them."
)


@dataclass(frozen=True)
class Cell:
    """One entry of a table: a value and two lines of small print below it."""

    value: str = MISSING
    detail: str = ""
    remark: str = ""

    @property
    def line(self) -> str:
        """All of it in one line."""
        return " ".join(filter(None, (self.value, self.detail, self.remark)))


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    label: str
    cells: tuple[Cell, ...]
    kind: Literal["model", "seed", "reference"] = "model"
    """"reference": not ours, or not a model: published figures and floors."""


@dataclass(frozen=True)
class Table:
    """A table with everything that must stand under it."""

    stem: str
    """Name of its file, and its anchor."""
    title: str
    header: tuple[Cell, ...]
    """The first one names the rows; small print holds n where a column has one."""
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def grouped(results: Iterable[ModelResult]) -> dict[str, list[ModelResult]]:
    """The results by model, in their order, each with its seeds."""
    groups: dict[str, list[ModelResult]] = {}
    for result in results:
        groups.setdefault(result.name, []).append(result)
    return groups


def headline_split(results: Iterable[ModelResult]) -> str:
    """The split to answer with: test where any result has it, else validation."""
    return "test" if any("test" in result.splits for result in results) else "validation"


def fid_protocols(results: Sequence[ModelResult]) -> list[str]:
    """The scores to show, one of each protocol, such as "matched-64".

    They have the number of features that all protocols share, or else the largest of each.
    """
    dims: dict[str, set[int]] = {}
    for score in (score for result in results for score in result.scores):
        dims.setdefault(score.protocol, set()).add(score.dims)
    shared = set.intersection(*dims.values()) if dims else set()
    return [f"{protocol}-{max(shared or found)}" for protocol, found in dims.items()]


@dataclass(frozen=True)
class _Number:
    """A column of a study's table that holds one number of each model."""

    split: str
    name: str
    shared_n: int | None
    """n, where all models have the same: it stands in the header."""

    @property
    def column(self) -> Column:
        return column_of(self.name)

    @property
    def header(self) -> Cell:
        split = SHORT.get(self.split, self.split)
        detail = f"n = {self.shared_n}" if self.shared_n else ""
        return Cell(f"{split} {self.column.header}".strip(), detail)

    def cell(self, results: Sequence[ModelResult]) -> Cell:
        """One seed: the number with its interval.  Several: mean and standard deviation."""
        found = [(r, x) for r in results if (x := r.measure(self.split, self.name)) is not None]
        if not found:
            return Cell()
        some = "" if len(found) == len(results) else f"{len(found)} of {len(results)} seeds"
        if len(found) > 1:
            values = [x.value for _, x in found]
            spread = stdev(values) if all(map(math.isfinite, values)) else math.nan
            text = f"{self.column.number(mean(values))} ± {self.column.number(spread)}"
            return Cell(text, some)
        result, x = found[0]
        floor = self._floor(result)
        tests = [
            p_text(c)
            for c in result.comparisons
            if (c.split, f"difference/{c.other}") == (self.split, self.name)
        ]
        mark = BELOW_FLOOR if floor is not None and x.value < floor.value else ""
        remark = ", ".join(filter(None, [*tests, some]))
        return cell_of(self.column, x, mark, remark, counted=not self.shared_n)

    def floor_cell(self, result: ModelResult) -> Cell:
        """What real images get in the place of generated ones."""
        return cell_of(self.column, self._floor(result), counted=not self.shared_n)

    def published_cell(self, model: PublishedModel) -> Cell:
        """The published figure, with the digits it was published with."""
        figure = model.figures.get((self.split, self.name))
        return Cell() if figure is None else Cell(f"{figure:g}")

    def _floor(self, result: ModelResult) -> Estimate | None:
        family, _, variant = self.name.partition("/")
        return result.measure(self.split, f"{family}_floor/{variant}")


def model_table(
    stem: str, title: str, results: Sequence[ModelResult], published: Published | None
) -> Table:
    """One row for each model, followed by its seeds and by published figures; then the floors.

    Args:
        stem: Name of the table, which decides its columns (`Column.in_study`).
        title: Of the table.
        results: One for each model and seed.
        published: To set beside, where the models have the same names.
    """
    against = stem == "table2"  # a table that sets beside a discriminative model
    models = published.models if published else {}
    figures = [models[result.name].figures for result in results if result.name in models]
    known = dict.fromkeys(
        key for found in (*(r.measures for r in results), *figures) for key in found
    )
    headline = headline_split(results)
    keys: list[tuple[str, str]] = []
    for column in COLUMNS.values():
        shown = {"every": [*SHORT], "validation": ["validation"], "headline": [headline]}
        splits = shown.get(column.in_study.get(stem, ""), [])
        own = [key for key in known if key[1].split("/")[0] == column.name and key[0] in splits]
        keys += sorted(own, key=lambda key: splits.index(key[0]))
    keys += [(GENERATED, f"fid/{x}") for x in fid_protocols(results)[: 1 if against else None]]
    if against:
        opponents = {f"difference/{r.name}" for r in results if r.discriminative}
        keys += [key for key in known if key[0] == headline and key[1] in opponents]
    numbers = []
    for key in keys:
        counts = {
            x.n if column_of(key[1]).interval(x) else None
            for r in results
            if (x := r.measure(*key))
        }
        numbers.append(_Number(*key, shared_n=counts.pop() if len(counts) == 1 else None))
    facts = ["epochs (best)"] if against else ["parameters", "epochs (best)"]
    rows = [
        row
        for name, group in grouped(results).items()
        for row in _model_rows(name, group, facts, numbers, models.get(name))
    ]
    rows += _floor_rows(results, len(facts), numbers)
    header = [Cell("model"), *map(Cell, facts), *(number.header for number in numbers)]
    notes = _notes(results, rows, keys, published)
    return Table(stem, title, tuple(header), tuple(rows), tuple(notes))


def _model_rows(
    name: str,
    group: Sequence[ModelResult],
    facts: Sequence[str],
    numbers: Sequence[_Number],
    published: PublishedModel | None,
) -> Iterable[Row]:
    def row(label: str, results: Sequence[ModelResult], kind: Literal["model", "seed"]) -> Row:
        mark = "" if all(result.finished for result in results) else f" {UNFINISHED}"
        parameters = dict.fromkeys(f"{r.parameters:,}".replace(",", " ") for r in results)
        # None of what a study took as it was or put together.
        epochs = dict.fromkeys(f"{r.epochs} ({r.best_epoch})" for r in results if r.epochs)
        cells = [Cell(", ".join(x) or MISSING) for x in (parameters, epochs)[-len(facts) :]]
        return Row(label + mark, (*cells, *(number.cell(results) for number in numbers)), kind)

    several = len(group) > 1
    yield row(f"{name}, {len(group)} seeds" if several else name, group, "model")
    for result in group if several else ():
        yield row(f"seed {result.seed}", [result], "seed")
    if published:
        epochs = Cell(str(published.epochs)) if published.epochs else Cell()
        figures = [number.published_cell(published) for number in numbers]
        yield Row("published", (*[Cell()] * (len(facts) - 1), epochs, *figures), "reference")


def _floor_rows(
    results: Sequence[ModelResult], facts: int, numbers: Sequence[_Number]
) -> Iterable[Row]:
    floors: dict[tuple[Cell, ...], list[str]] = {}
    for result in results:
        cells = (*[Cell()] * facts, *(number.floor_cell(result) for number in numbers))
        if set(cells) != {Cell()}:
            floors.setdefault(cells, []).append(result.name)
    for cells, names in floors.items():
        which = f" of {', '.join(dict.fromkeys(names))}" if len(floors) > 1 else ""
        yield Row(f"real images (floor{which})", cells, "reference")


def cell_of(
    column: Column, x: Estimate | None, mark: str = "", remark: str = "", *, counted: bool = False
) -> Cell:
    """A number with its interval, and with n if it is `counted`; empty without a number."""
    if x is None:
        return Cell()
    interval = column.interval(x)
    detail = f"{interval}, n = {x.n}" if interval and counted else interval
    return Cell(column.number(x.value) + mark, detail, remark)


def p_text(comparison: Comparison) -> str:
    """The p-value of McNemar's test."""
    p_value = comparison.mcnemar.p_value
    return f"p < {SMALLEST_P:g}" if p_value < SMALLEST_P else f"p = {p_value:.3g}"


def _notes(
    results: Sequence[ModelResult],
    rows: Sequence[Row],
    keys: Sequence[tuple[str, str]],
    published: Published | None,
) -> Iterable[str]:
    yield INTERVALS
    if any(len(group) > 1 for group in grouped(results).values()):
        yield "Several seeds: mean ± standard deviation over the seeds, each seed below."
    if unfinished := [r for r in results if not r.finished]:
        which = ", ".join(f"{r.name} (seed {r.seed}) at epoch {r.epochs}" for r in unfinished)
        yield f"{UNFINISHED} Training not finished: {which}."
    if any(BELOW_FLOOR in cell.value for row in rows for cell in row.cells):
        yield f"{BELOW_FLOOR} Below the floor."
    yield from score_notes(results)
    if any(name == "bits_per_dim" for _, name in keys) and any(r.kind == BOUND for r in results):
        yield BOUND_NOTE
    fitted = any(r.temperature not in (None, 1.0) for r in results)
    if fitted and any(name == "ece/calibrated" for _, name in keys):
        yield HELD_OUT_NOTE
    if headline_split(results) != "test" and any(r.splits for r in results):
        yield "No test accuracy of ours: there are no test images whose labels we have."
    if published and any(result.name in published.models for result in results):
        yield f"Published: {published.source}."
        yield from published.notes


def score_notes(results: Sequence[ModelResult]) -> Iterable[str]:
    """What must be known of distances to real images."""
    scores = [score for result in results for score in result.scores]
    if scores:
        yield FLOOR_NOTE
    enlarged = (s.protocol for s in scores if s.generated_size < s.reference_size)
    for protocol in dict.fromkeys(enlarged):
        yield (
            f"The {protocol} protocol compares generated images with larger real ones, so blur and "
            "noise decide much of its FID."
        )
