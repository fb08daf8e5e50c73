"""The tables that list every comparison and every score, a row for each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pixelbayes.report.study.measures import BELOW_FLOOR, Cell, estimate_cell, p_text
from pixelbayes.report.study.results import ModelResult
from pixelbayes.report.study.table import (
    COURSE_NOTE,
    FLOOR_NOTE,
    INTERVALS,
    Row,
    Table,
    grouped,
    provenance_line,
)

__all__ = ["comparison_table", "score_table"]


def comparison_table(results: Sequence[ModelResult], provenance: Mapping[str, Any]) -> Table:
    """Every model against every opponent, on the images of each split."""
    label = _labels(results)
    rows = [
        Row(
            label(result),
            (
                Cell(found.other),
                Cell(found.split),
                estimate_cell(found.difference, 1, counted=True),
                Cell(str(found.mcnemar.b)),
                Cell(str(found.mcnemar.c)),
                Cell(p_text(found.mcnemar.p_value)),
            ),
        )
        for result in results
        for found in result.comparisons
    ]
    header = (
        "model",
        "opponent",
        "split",
        "accuracy minus the opponent's, points",
        "only model right",
        "only opponent right",
        "McNemar",
    )
    note = (
        "The intervals are from a bootstrap over images; p is that of the exact two-sided McNemar "
        "test, not corrected for the number of comparisons."
    )
    return Table(
        stem="comparisons",
        title="Paired comparisons on the same images",
        header=tuple(map(Cell, header)),
        rows=tuple(rows),
        notes=(INTERVALS, note),
        command=str(provenance.get("command") or ""),
        source=provenance_line(provenance),
    )


def score_table(results: Sequence[ModelResult], provenance: Mapping[str, Any]) -> Table:
    """FID and KID of every model under every protocol and number of features, with floors."""
    label = _labels(results)
    rows = []
    for result in results:
        for score in result.scores:
            below = (
                BELOW_FLOOR if score.fid_floor and score.fid.value < score.fid_floor.value else ""
            )
            cells = (
                Cell(f"{score.protocol}-{score.dims}"),
                Cell(f"{score.n_generated} at {_by(score.generated_size)}"),
                Cell(f"{score.n_reference} at {_by(score.reference_size)}"),
                estimate_cell(score.fid, 1, mark=below),
                estimate_cell(score.fid_floor, 1),
                estimate_cell(score.kid, 2),
                estimate_cell(score.kid_floor, 2),
            )
            rows.append(Row(label(result), cells))
    header = (
        "model",
        "protocol",
        "generated",
        "reference",
        "FID",
        "FID floor",
        "KID, thousandths",
        "KID floor",
    )
    marks = (f"{BELOW_FLOOR} Below the floor.",)
    return Table(
        stem="scores",
        title="Distances to real images",
        header=tuple(map(Cell, header)),
        rows=tuple(rows),
        notes=(
            INTERVALS + " They are from a bootstrap over generated and reference images.",
            *(marks if any(BELOW_FLOOR in row.cells[3].value for row in rows) else ()),
            FLOOR_NOTE,
            *(
                (COURSE_NOTE,)
                if any(row.cells[0].value.startswith("course") for row in rows)
                else ()
            ),
        ),
        command=str(provenance.get("command") or ""),
        source=provenance_line(provenance),
    )


def _labels(results: Sequence[ModelResult]) -> Callable[[ModelResult], str]:
    """Names a result, with its seed where its model has several."""
    several = {name for name, group in grouped(results).items() if len(group) > 1}
    return lambda r: f"{r.name}, seed {r.seed}" if r.name in several else r.name


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
