"""How well each outlier score tells strangers from the course's images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.decisions.strangers import strangers
from benchmarks.records import Column, Record, Table, origin
from benchmarks.subjects import describe
from pixelbayes.core import bits_per_dim
from pixelbayes.evaluation.outliers import (
    OUTLIER_SCORES,
    Detection,
    detection,
    fit_threshold,
    outlier_score,
)
from pixelbayes.inference import class_posterior
from pixelbayes.models import PixelBayes

__all__ = ["OutlierPlan", "measure"]

FALSE_ALARM_RATE = 0.05
NOTES = (
    "likelihood: -log p(x); typicality: distance of log p(x) from its mean over one half of the "
    "course images; complexity: code length under the model minus that as a PNG; entropy: of "
    "p(y | x) at the fitted temperature. Larger is stranger. Threshold and mean are of one half of "
    "the course images, everything else is measured against the other half.",
    "Raw likelihood fails as is known of it (Nalisnick et al. 2019): images of one colour and "
    "enlarged digits are likelier than the course's own, so an AUROC near 0 there is a score that "
    "calls every photograph stranger than a blank page.",
    "The JPEG grid: course images come from 64 x 64 JPEG files, reduced by half, so the joints of "
    "8 x 8 blocks lie every 4 pixels, and the model may have learned them. CIFAR-10 and what is "
    "drawn here has no such grid, patches of 8 pixels keep it: part of what tells strangers "
    "apart may be how files were made and not what they show.",
)


@dataclass(frozen=True, kw_only=True)
class OutlierPlan:
    """What to measure.

    Attributes:
        images: Of each set of strangers.
        seed: Of what is drawn and of intervals.
    """

    images: int = 100
    seed: int = 0


def measure(
    plan: OutlierPlan, model: PixelBayes, course: Tensor, table: Tensor, cifar10: Path
) -> Record:
    """Scores strangers and compares them with course images.

    Args:
        plan: How many.
        model: The trained model.
        course: Validation images, uint8 (N, C, H, W).
        table: Their log p(x | y), (N, K).
        cifar10: See `strangers`.
    """
    order = torch.randperm(len(course), generator=torch.Generator().manual_seed(plan.seed))
    threshold_half, measured = order[: len(course) // 2], order[len(course) // 2 :]
    typical = float(_marginal(model, table[threshold_half]).mean())
    own = {"": (course, table)} | {
        name: (levels, model.log_likelihoods(levels))
        for name, levels in strangers(course, cifar10, plan.images, plan.seed).items()
    }
    scores = {
        score: {name: _score(score, model, *images, typical) for name, images in own.items()}
        for score in OUTLIER_SCORES
    }
    found: dict[str, dict[str, Detection]] = {}
    alarms = {}
    for score, by_name in scores.items():
        familiar = by_name.pop("")
        threshold = fit_threshold(familiar[threshold_half], FALSE_ALARM_RATE).value
        alarms[score] = {
            "familiar": float((familiar[measured] > threshold).double().mean()) * 100,
            **{
                name: float((one > threshold).double().mean()) * 100
                for name, one in by_name.items()
            },
        }
        found[score] = {
            name: detection(familiar[measured], one, seed=plan.seed)
            for name, one in by_name.items()
        }
    names = list(found["likelihood"])
    dims = model.dims
    bits = {
        name: float(bits_per_dim(_marginal(model, of), dims).mean())
        for name, (_, of) in own.items()
    }
    return Record(
        name="outliers",
        title="Outliers: how well a score tells strangers from course images",
        settings={"network": describe(model.network.config), "plan": asdict(plan)},
        tables=(
            *(_table(measure_, found, names, plan.images, len(measured)) for measure_ in MEASURES),
            _alarms(alarms, names, len(measured), plan.images),
            Table(
                "Mean code length under p(x)",
                (Column("set", "images"), Column("bits", "bits/dim"), Column("n", "n")),
                tuple(
                    {"set": name or "course, validation", "bits": value, "n": len(own[name][0])}
                    for name, value in bits.items()
                ),
                NOTES,
            ),
        ),
        provenance=origin(),
        brackets="[low, high] are 95 % intervals over images.",
    )


MEASURES = {"auroc": "AUROC, %", "aupr": "AUPR, %", "fpr95": "FPR at 95 %, %"}


def _marginal(model: PixelBayes, table: Tensor) -> Tensor:
    return torch.logsumexp(table + model.log_prior, dim=1)


def _score(score: str, model: PixelBayes, levels: Tensor, table: Tensor, typical: float) -> Tensor:
    return outlier_score(
        score,
        log_prob=_marginal(model, table),
        log_proba=class_posterior(table, model.log_prior, model.temperature),
        levels=levels,
        typical=typical,
    )


def _table(
    measure_: str, found: dict[str, dict[str, Detection]], names: list[str], strange: int, own: int
) -> Table:
    rows: list[dict[str, Any]] = [
        {
            "set": name,
            **{score: getattr(by_name[name], measure_).brief for score, by_name in found.items()},
        }
        for name in names
    ]
    return Table(
        f"{MEASURES[measure_]} (n = {own} course images, {strange} strangers in each row)",
        (Column("set", "strangers"), *(Column(score, score) for score in OUTLIER_SCORES)),
        tuple(rows),
    )


def _alarms(alarms: dict[str, dict[str, float]], names: list[str], own: int, strange: int) -> Table:
    rows = [
        {"set": name, **{score: by_name[name] for score, by_name in alarms.items()}}
        for name in ["familiar", *names]
    ]
    rows[0]["set"] = "course images of the other half"
    return Table(
        f"Called strange, %, at a threshold for {FALSE_ALARM_RATE:.0%} false alarms (n = {own} "
        f"and {strange} in each row)",
        (Column("set", "images"), *(Column(score, score) for score in OUTLIER_SCORES)),
        tuple(rows),
    )
