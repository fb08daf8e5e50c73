"""Coarse to fine: an ensemble whose first member answers alone where it is sure.

    python -m benchmarks.cascade --data-dir DIR

The one-pass classifier and the density that ship with the package, together.  The rule is fitted on
the course's test images, which need no labels, and judged on its validation images.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.figures import new_figure
from benchmarks.measuring import Spread, interleave, ratio
from benchmarks.records import Column, Record, Table, origin, write
from benchmarks.running import options, run
from pixelbayes.data import load_dataset
from pixelbayes.evaluation import accuracy
from pixelbayes.inference.cascade import CascadeRule, fit_cascade, replay, running_posteriors
from pixelbayes.models import load_model
from pixelbayes.models.ensemble import Ensemble
from pixelbayes.models.hub import DEFAULT, DENSITY, find_model

AGREEMENTS = (0.99, 0.98, 0.95)
TIMED, REPEATS = 128, 7
COMMAND = ["python", "-m", "benchmarks.cascade"]


def main() -> None:
    """Measures, and writes cascade.json, cascade.md and the curve."""
    parser = options("Members of an ensemble that answer in turn.")
    given = parser.parse_args()
    dataset = load_dataset("cpen455", data_dir=given.data_dir)
    members = [load_model(find_model(name)) for name in (DEFAULT, DENSITY)]
    ensemble = Ensemble(members)
    validation = dataset.split("validation")
    running = {
        name: running_posteriors(
            torch.stack([it.log_likelihoods(levels) / it.temperature for it in members]),
            ensemble.log_prior,
        )
        for name, levels in (
            ("test", dataset.split("test").levels),
            ("validation", validation.levels),
        )
    }
    some = validation.levels[:TIMED]
    seconds = interleave(
        {
            "all": lambda: ensemble.log_likelihoods(some),
            **{str(number): _alone(member, some) for number, member in enumerate(members)},
        },
        repeats=REPEATS,
    )
    rows = [_row(running["validation"], CascadeRule(1.0), validation.labels, "all members")]
    for agreement in AGREEMENTS:
        rule = fit_cascade(running["test"], agreement=agreement)
        row = _row(
            running["validation"], rule, validation.labels, f"{agreement:.0%} of new images agree"
        )
        times = interleave(
            {
                "turn": lambda rule=rule: ensemble.answer_in_turn(some, rule),  # type: ignore[misc]
                "all": lambda: ensemble.log_likelihoods(some),
            },
            repeats=REPEATS,
        )
        rows.append(row | {"time": ratio(times["turn"], times["all"])})
    rows.append(_row(running["validation"], CascadeRule(0.0), validation.labels, "the first alone"))
    rows[-1]["time"] = ratio(seconds["0"], seconds["all"])
    share = Spread.of(seconds["0"]).median / Spread.of(seconds["all"]).median
    record = Record(
        name="cascade",
        title="Coarse to fine: members of an ensemble in turn",
        settings={"members": [DEFAULT, DENSITY], "timed": len(some), "repeats": REPEATS},
        tables=(
            Table(
                f"{len(validation.labels)} validation images",
                (
                    Column("rule", "rule, fitted on the test images"),
                    Column("threshold", "sure above"),
                    Column("agreement", "agreement with all members"),
                    Column("second", "shown to the second, %"),
                    Column("accuracy", "accuracy"),
                    Column("time", "time over that of all members"),
                ),
                tuple(rows),
                (
                    "Agreement that is asked for holds with confidence 0.95 (Clopper-Pearson, a "
                    f"fixed sequence).  Members: {DEFAULT}, {DENSITY}.  Intervals of agreement and "
                    "accuracy are Wilson's, 95 %.",
                ),
            ),
        ),
        provenance=origin() | {"command": shlex.join(COMMAND + sys.argv[1:])},
        curves={"points": _curve(running["validation"], validation.labels, share)},
    )
    print(record.to_markdown())
    print("wrote", *write(record, given.output, {"curve": _drawn(record)}), file=sys.stderr)


def _alone(member: Any, levels: torch.Tensor) -> Callable[[], Any]:
    return lambda: member.log_likelihoods(levels)


def _row(
    running: torch.Tensor, rule: CascadeRule, labels: torch.Tensor, name: str
) -> dict[str, Any]:
    result = replay(running, rule)
    agreeing = int((result.predicted == running[-1].argmax(dim=1)).sum())
    return {
        "rule": name,
        "threshold": rule.threshold,
        "agreement": accuracy(agreeing, len(labels)).brief,
        "second": 100 * (result.asked == 2).double().mean().item(),
        "accuracy": accuracy(int((result.predicted == labels).sum()), len(labels)).brief,
    }


def _curve(running: torch.Tensor, labels: torch.Tensor, first: float) -> list[dict[str, float]]:
    """Accuracy against time for all thresholds; `first`: share of time that the first takes."""
    points = []
    for threshold in torch.linspace(0.25, 1.0, 76, dtype=torch.float64).tolist():
        result = replay(running, CascadeRule(threshold))
        second = (result.asked == 2).double().mean().item()
        points.append(
            {
                "threshold": threshold,
                "time": 100 * (first + second * (1.0 - first)),
                "accuracy": 100 * (result.predicted == labels).double().mean().item(),
            }
        )
    return points


def _drawn(record: Record) -> Any:
    figure, (axis,) = new_figure()
    points = record.curves["points"]
    axis.plot([point["time"] for point in points], [point["accuracy"] for point in points])
    axis.set(xlabel="time, % of that of all members", ylabel="accuracy, %", xlim=(0, 105))
    return figure


if __name__ == "__main__":
    run(main)
