"""The tables of a study: its models side by side, compared, and their distances to real images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pixelbayes.report.model_table import (
    BELOW_FLOOR,
    INTERVALS,
    Cell,
    Row,
    Table,
    cell_of,
    grouped,
    model_table,
    p_text,
    score_notes,
)
from pixelbayes.report.published import Published
from pixelbayes.report.results import ModelResult
from pixelbayes.report.tables import column_of

__all__ = ["study_tables"]

STRATEGIES = ("early", "gated", "late", "joint")
JACKKNIFE = "They are from a jackknife over generated and reference images."
OF_EARLIER = " Lopsided ones are from a bootstrap, by which an earlier version measured."


def study_tables(results: Sequence[ModelResult], published: Published | None) -> list[Table]:
    """Makes every table for which there are models.

    A model has one row, followed by its seeds where there are several and by the published
    figures where there are some.  The last rows hold what real images score (the floor).

    Args:
        results: One for each model and seed.
        published: To set beside, where the models have the same names.

    Returns:
        Table 1 (fusions), Table 2 (against discriminative models), ablation, other kinds of
        likelihood, ensembles beside their members, comparisons, scores: those that have rows.
        Every model has a row in one of the first five.
    """
    names = {result.name for result in results}
    # "gated-long" does not stand in Table 1 where there is a "gated".
    strategies = [
        r
        for r in results
        if r.fusion in STRATEGIES and (r.name == r.fusion or r.fusion not in names)
    ]
    opponents = [r for r in results if r.discriminative]
    long = [r for r in results if r.fusion in STRATEGIES and r not in strategies]
    gated = [r for r in strategies if r.fusion == "gated"]
    others = [r for r in results if r.fusion and r not in strategies and r not in long]
    kinds = [r for r in results if r.generative and r.fusion is None and r.kind != "ensemble"]
    ensembles = [r for r in results if r.kind == "ensemble"]
    members = {name for r in ensembles for name in r.settings.get("ensemble", ())}
    together = [r for r in results if r.name in members or r in ensembles]
    against = [*opponents, *gated, *long] if opponents or long else []
    tables = [
        model_table("table1", "Table 1. Fusion strategies", strategies, published),
        model_table("table2", "Table 2. Generative classifier and ResNet-18", against, published),
        model_table(
            "ablation",
            "Ablation. Other places for the label",
            [*gated, *others] if others else [],
            published,
        ),
        model_table(
            "kinds",
            "Other models of p(image | class)",
            [*gated, *kinds] if kinds else [],
            published,
        ),
        model_table(
            "ensembles",
            "Ensembles, and what they are made of",
            together if ensembles else [],
            published,
        ),
        _comparison_table(results),
        _score_table(results),
    ]
    return [table for table in tables if table.rows]


def _is_lopsided(result: ModelResult) -> bool:
    """Whether an interval of FID is no jackknife's, which is cut at 0 and else symmetric."""
    return any(
        score.fid.low > 0.0
        and not math.isclose(score.fid.high + score.fid.low, 2 * score.fid.value, rel_tol=1e-6)
        for score in result.scores
    )


def _labels(results: Sequence[ModelResult]) -> Mapping[int, str]:
    """Names each result by its id, with its seed where its model has several."""
    return {
        id(result): f"{name}, seed {result.seed}" if len(group) > 1 else name
        for name, group in grouped(results).items()
        for result in group
    }


def _comparison_table(results: Sequence[ModelResult]) -> Table:
    """Every model against every opponent, on the images of each split."""
    labels, column = _labels(results), column_of("difference")
    rows = [
        Row(
            labels[id(result)],
            (
                Cell(found.other),
                Cell(found.split),
                cell_of(column, found.difference, counted=True),
                Cell(str(found.mcnemar.b)),
                Cell(str(found.mcnemar.c)),
                Cell(p_text(found)),
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
    title = "Paired comparisons on the same images"
    return Table("comparisons", title, tuple(map(Cell, header)), tuple(rows), (INTERVALS, note))


def _score_table(results: Sequence[ModelResult]) -> Table:
    """FID and KID of every model under every protocol and number of features, with floors."""
    labels, fid, kid = _labels(results), column_of("fid"), column_of("kid")
    rows = []
    for result in results:
        for score in result.scores:
            floor = score.fid_floor
            mark = BELOW_FLOOR if floor and score.fid.value < floor.value else ""
            estimates = (
                cell_of(fid, score.fid, mark),
                cell_of(fid, score.fid_floor),
                cell_of(kid, score.kid),
                cell_of(kid, score.kid_floor),
            )
            cells = [
                Cell(f"{score.protocol}-{score.dims}"),
                Cell("{} at {}x{}".format(score.n_generated, *score.generated_size)),
                Cell("{} at {}x{}".format(score.n_reference, *score.reference_size)),
                *estimates,
            ]
            rows.append(Row(labels[id(result)], tuple(cells)))
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
    notes = (
        f"{INTERVALS} {JACKKNIFE}{OF_EARLIER if any(map(_is_lopsided, results)) else ''}",
        *(marks if any(BELOW_FLOOR in row.cells[3].value for row in rows) else ()),
        *score_notes(results),
    )
    title = "Distances to real images"
    return Table("scores", title, tuple(map(Cell, header)), tuple(rows), notes)
