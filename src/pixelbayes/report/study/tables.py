"""The tables of a study, a row for each model.

A model has one row, followed by its seeds where there are several and by the published figures
where there are some.  The last rows hold what real images score (the floor).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pixelbayes.report.study import measures
from pixelbayes.report.study.listings import comparison_table, score_table
from pixelbayes.report.study.measures import Cell, Fact, Measure
from pixelbayes.report.study.published import Published
from pixelbayes.report.study.results import ModelResult
from pixelbayes.report.study.table import (
    COURSE_NOTE,
    FLOOR_NOTE,
    HELD_OUT_NOTE,
    INTERVALS,
    Row,
    Table,
    grouped,
    headline_split,
    provenance_line,
)

__all__ = ["study_tables"]

STRATEGIES = ("early", "gated", "late", "joint")
UNFINISHED = "†"


def study_tables(
    results: Sequence[ModelResult],
    published: Published | None,
    provenance: Mapping[str, Any],
) -> list[Table]:
    """Makes every table for which there are models.

    Args:
        results: One for each model and seed.
        published: To set beside, where the models have the same names.
        provenance: Command, commit, machine and date of the study.

    Returns:
        Table 1 (fusions), Table 2 (against the ResNet-18), ablation, comparisons, scores: those
        that have rows.
    """
    names = {result.name for result in results}
    strategies = [r for r in results if _is_strategy(r, names)]
    opponents = [r for r in results if r.kind == "resnet18"]
    long = [r for r in results if r.fusion in STRATEGIES and r not in strategies]
    gated = [r for r in strategies if r.fusion == "gated"]
    others = [r for r in results if r.kind == "pixelcnn" and r not in strategies and r not in long]
    against = [*opponents, *gated, *long] if opponents or long else []
    places = [*gated, *others] if others else []
    specified = (
        ("table1", "Table 1. Fusion strategies", strategies, _fusion_columns(strategies)),
        (
            "table2",
            "Table 2. Generative classifier and ResNet-18",
            against,
            _opponent_columns(against, headline_split(results)),
        ),
        ("ablation", "Ablation. Other places for the label", places, _fusion_columns(places)),
    )
    tables = [_model_table(*content, published, provenance) for content in specified]
    tables += [comparison_table(results, provenance), score_table(results, provenance)]
    return [table for table in tables if table.rows]


def _is_strategy(result: ModelResult, names: set[str]) -> bool:
    """Whether it stands in Table 1: "gated-long" does not, where there is a "gated"."""
    return result.fusion in STRATEGIES and (
        result.name == result.fusion or result.fusion not in names
    )


def _fusion_columns(results: Sequence[ModelResult]) -> list[Fact | Measure]:
    scores = (
        measures.fid(protocol, dims)
        for protocol in ("course", "matched")
        if (dims := measures.preferred_dims(results, protocol))
    )
    return [
        measures.parameters(),
        measures.epochs(),
        *(measures.split_accuracy(split) for split in ("train", "validation", "test")),
        measures.bits_per_dim("validation"),
        *scores,
    ]


def _opponent_columns(results: Sequence[ModelResult], split: str) -> list[Fact | Measure]:
    others = dict.fromkeys(c.other for result in results for c in result.comparisons)
    dims = measures.preferred_dims(results, "course")
    return [
        measures.epochs(),
        *(measures.split_accuracy(name) for name in ("train", "validation", "test")),
        *(measures.calibration_error(split, key) for key in ("raw", "calibrated")),
        *(measures.log_loss(split, key) for key in ("raw", "calibrated")),
        *([measures.fid("course", dims)] if dims else []),
        *(measures.against(other, split) for other in others),
    ]


def _model_table(
    stem: str,
    title: str,
    results: Sequence[ModelResult],
    columns: Sequence[Fact | Measure],
    published: Published | None,
    provenance: Mapping[str, Any],
) -> Table:
    headed = [
        measures.count_in_header(c, results) if isinstance(c, Measure) else (c, Cell(c.header))
        for c in columns
    ]
    columns = [column for column, _ in headed]
    rows = [
        row
        for name, group in grouped(results).items()
        for row in _model_rows(name, group, columns, published)
    ]
    rows += _floor_rows(results, columns)
    header = [cell for _, cell in headed]
    known = [k for k in range(len(columns)) if any(row.cells[k] != Cell() for row in rows)]
    return Table(
        stem=stem,
        title=title,
        header=(Cell("model"), *(header[k] for k in known)),
        rows=tuple(Row(r.label, tuple(r.cells[k] for k in known), r.kind) for r in rows),
        notes=tuple(_notes(results, header, rows, published)),
        command=str(provenance.get("command") or ""),
        source=provenance_line(provenance),
    )


def _model_rows(
    name: str,
    group: Sequence[ModelResult],
    columns: Sequence[Fact | Measure],
    published: Published | None,
) -> Iterable[Row]:
    mark = "" if all(result.finished for result in group) else f" {UNFINISHED}"
    several = len(group) > 1
    label = f"{name}, {len(group)} seeds{mark}" if several else f"{name}{mark}"
    yield Row(label, tuple(column.cell(group) for column in columns))
    for result in group if several else ():
        mark = "" if result.finished else f" {UNFINISHED}"
        cells = tuple(column.cell([result]) for column in columns)
        yield Row(f"seed {result.seed}{mark}", cells, "seed")
    model = published.models.get(name) if published else None
    if model:
        cells = tuple(
            c.published_cell(model)
            if isinstance(c, Measure)
            else Cell(str(model.epochs))
            if c.header == measures.epochs().header and model.epochs
            else Cell()
            for c in columns
        )
        yield Row("published", cells, "reference")


def _floor_rows(results: Sequence[ModelResult], columns: Sequence[Fact | Measure]) -> Iterable[Row]:
    floors: dict[tuple[Cell, ...], list[str]] = {}
    for result in results:
        cells = tuple(c.floor_cell(result) if isinstance(c, Measure) else Cell() for c in columns)
        if set(cells) != {Cell()}:
            floors.setdefault(cells, []).append(result.name)
    for cells, names in floors.items():
        which = f" of {', '.join(dict.fromkeys(names))}" if len(floors) > 1 else ""
        yield Row(f"real images (floor{which})", cells, "reference")


def _notes(
    results: Sequence[ModelResult],
    header: Sequence[Cell],
    rows: Sequence[Row],
    published: Published | None,
) -> Iterable[str]:
    yield INTERVALS
    if any(len(group) > 1 for group in grouped(results).values()):
        yield "Several seeds: mean ± standard deviation over the seeds, each seed below."
    if unfinished := [r for r in results if not r.finished]:
        which = ", ".join(f"{r.name} (seed {r.seed}) at epoch {r.epochs}" for r in unfinished)
        yield f"{UNFINISHED} Training not finished: {which}."
    if any(measures.BELOW_FLOOR in cell.value for row in rows for cell in row.cells):
        yield f"{measures.BELOW_FLOOR} Below the floor."
    if any(result.scores for result in results):
        yield FLOOR_NOTE
    if any(score.protocol == "course" for result in results for score in result.scores):
        yield COURSE_NOTE
    if any(cell.value.endswith("ECE, calibrated, %") for cell in header):
        yield HELD_OUT_NOTE
    if headline_split(results) != "test":
        yield "No test accuracy of ours: the labels of the test images are withheld from us."
    if published and any(result.name in published.models for result in results):
        yield f"Published: {published.source}."
        yield from published.notes
