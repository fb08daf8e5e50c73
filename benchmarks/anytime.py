"""Any-time classification on trained weights: what it costs, and how often it agrees.

The rule is fitted on one half of the validation images and judged on the other half and on the
test images.  Agreement is with the answer that computes everything, so it needs no labels.

Cost is the share of pixels times classes that was computed.  Beside it stands the time, over
that of `BayesClassifier`: slices of rows have some overhead, and the full answer shares between
classes what no label has touched (everything but the last layer for late fusion, hardly anything
for gated fusion), which the slices compute once per class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from benchmarks.figures import new_figure
from benchmarks.measuring import Spread, interleave, ratio
from benchmarks.records import Column, Record, Table, origin
from benchmarks.subjects import describe
from pixelbayes.data import ImageDataset, stratified_split
from pixelbayes.evaluation import accuracy
from pixelbayes.inference import BayesClassifier
from pixelbayes.inference.anytime import (
    AnytimeClassifier,
    AnytimeRule,
    accumulate,
    fit_anytime,
    replay,
)
from pixelbayes.models import PixelBayes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FULL", "QUICK", "Plan", "draw", "measure"]

TARGET_COST = 0.6  # what the rule should need at most

FITTED, HELD_OUT, TEST = "validation, fitted half", "validation, other half", "test"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        agreement: Share of new images whose answer has to stay, in (0, 1).
        confidence: Of that; with 0.95, half of 519 images can show 0.98 but not 0.995.
        thresholds: Points of the curve.
        timed: Images that both classifiers are timed on.
        repeats: Of the timing.
        seed: Of the halves.
    """

    agreement: float = 0.98
    confidence: float = 0.95
    thresholds: int = 60
    timed: int = 128
    repeats: int = 5
    seed: int = 0


FULL = Plan()
QUICK = Plan(thresholds=12, timed=16, repeats=2)


def measure(plan: Plan, model: PixelBayes, dataset: ImageDataset) -> Record:
    """Fits the rule, replays it over all thresholds, and times it."""
    network, prior = model.network, model.log_prior
    validation = dataset.split("validation")
    halves = stratified_split(validation.labels, {"fit": 0.5, "judge": 0.5}, plan.seed)
    levels = {
        FITTED: validation.levels[halves["fit"]],
        HELD_OUT: validation.levels[halves["judge"]],
    }
    if "test" in dataset.splits:
        levels[TEST] = dataset.split("test").levels
    cumulative = {name: accumulate(network, some) for name, some in levels.items()}
    rule = fit_anytime(
        cumulative[FITTED], prior, agreement=plan.agreement, confidence=plan.confidence
    )
    joint = {name: some + prior[:, None] for name, some in cumulative.items()}
    classifier = BayesClassifier(network, log_prior=prior)
    rows = [
        _judged(name, joint[name], rule, _timed(classifier, rule, some, plan))
        for name, some in levels.items()
    ]
    thresholds = torch.logspace(1.5, -2.0, plan.thresholds, dtype=torch.float64).tolist()
    curves = {
        name: [_point(some, AnytimeRule(t, rule.deviations)) for t in thresholds]
        for name, some in joint.items()
    }
    return Record(
        name=f"anytime-{network.config.fusion}",
        title=f"Any-time classification, {network.config.fusion} fusion",
        settings={
            "network": describe(network.config),
            "data": dataset.source,
            "plan": asdict(plan),
            "threshold": _finite(rule.threshold),
            "deviations_nats": list(rule.deviations),
            "target_cost": TARGET_COST,
        },
        tables=(_table(rows, rule, plan), _cheapest(curves, plan)),
        provenance=origin(),
        curves=curves,
    )


def draw(record: Record) -> dict[str, Figure]:
    """Agreement against cost for all thresholds; crosses mark the fitted rule."""
    figure, (axis,) = new_figure()
    for index, (name, points) in enumerate(record.curves.items()):
        x = [100 * point["cost"] for point in points]
        axis.plot(x, [point["agreement"] for point in points], label=name, color=f"C{index}")
    for index, row in enumerate(record.tables[0].rows):
        axis.plot(row["cost"], row["agreement_value"], "x", color=f"C{index}")
    target = 100 * record.settings["plan"]["agreement"]
    axis.axhline(target, color="grey", linestyle=":", linewidth=1)
    axis.axvline(100 * TARGET_COST, color="grey", linestyle=":", linewidth=1)
    axis.set(xlabel="cost: pixels x classes computed, %", ylabel="agreement, %", ylim=(90, 100.3))
    axis.legend(frameon=False)
    return {"curve": figure}


def _judged(name: str, joint: Tensor, rule: AnytimeRule, timed: dict[str, Any]) -> dict[str, Any]:
    result = replay(joint, rule)
    agreeing = int((result.predicted == joint[:, :, -1].argmax(dim=1)).sum())
    estimate = accuracy(agreeing, len(joint))
    return {
        "images": name,
        "n": len(joint),
        "agreement": estimate.brief,
        "agreement_value": estimate.value,
        "cost": 100 * result.cost,
        **timed,
    }


def _timed(
    classifier: BayesClassifier, rule: AnytimeRule, levels: Tensor, plan: Plan
) -> dict[str, Any]:
    some = levels[torch.linspace(0, len(levels) - 1, min(plan.timed, len(levels))).long()]
    whole = AnytimeRule(float("inf"), rule.deviations)
    fitted, undropped = AnytimeClassifier(classifier, rule), AnytimeClassifier(classifier, whole)
    sides: dict[str, Callable[[], Any]] = {
        "full": lambda: classifier.predict(some),
        "fitted": lambda: fitted.predict(some),
        "undropped": lambda: undropped.predict(some),
    }
    times = interleave(sides, repeats=plan.repeats)
    return {
        "time": ratio(times["fitted"], times["full"]),
        "time_all": ratio(times["undropped"], times["full"]),
        "rate": Spread.of([len(some) / taken for taken in times["fitted"]]),
    }


def _point(joint: Tensor, rule: AnytimeRule) -> dict[str, float]:
    result = replay(joint, rule)
    agreement = (result.predicted == joint[:, :, -1].argmax(dim=1)).double().mean().item()
    return {"threshold": rule.threshold, "cost": result.cost, "agreement": 100 * agreement}


def _cheapest(curves: dict[str, list[dict[str, float]]], plan: Plan) -> Table:
    """What each set of images would allow, had the threshold been chosen on it."""
    rows = []
    for name, points in curves.items():
        agreeing = [p for p in points if p["agreement"] >= 100 * plan.agreement]
        affordable = [p for p in points if p["cost"] <= TARGET_COST]
        rows.append(
            {
                "images": name,
                "cost": min((100 * p["cost"] for p in agreeing), default=None),
                "agreement": max((p["agreement"] for p in affordable), default=None),
            }
        )
    columns = (
        Column("images", "images"),
        Column("cost", f"least cost at {100 * plan.agreement:g} % agreement, %"),
        Column("agreement", f"best agreement at {100 * TARGET_COST:g} % cost, %"),
    )
    note = "Read off the curve of these same images: a bound, not a result."
    return Table("What the curve allows", columns, tuple(rows), (note,))


def _table(rows: Sequence[dict[str, Any]], rule: AnytimeRule, plan: Plan) -> Table:
    columns = (
        Column("images", "images"),
        Column("n", "n"),
        Column("agreement", "agreement with the full answer"),
        Column("cost", "cost, % of pixels x classes"),
        Column("time", "time over the full answer's"),
        Column("time_all", "the same, nothing dropped"),
        Column("rate", "images/s"),
    )
    notes = (
        f"Threshold {rule.threshold:.3g} deviations: the cheapest of those that agree on "
        f"{100 * plan.agreement:g} % of new images with confidence {plan.confidence:g} "
        "(Clopper-Pearson).  Agreement seen, with its Wilson 95 % interval.",
        "The full answer is one pass of all classes, sharing between them what no label has "
        "touched; slices of rows share nothing.",
    )
    return Table("The fitted rule", columns, tuple(rows), notes)


def _finite(value: float) -> float | str:
    return value if value < float("inf") else "infinite"
