"""What sets and abstention are worth: coverage over random halves, size, risk and coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from benchmarks.records import Column, Record, Table, origin
from pixelbayes.evaluation import accuracy, aurc, fit_temperature, held_out_temperatures
from pixelbayes.evaluation.conformal import fit_classwise_sets, fit_sets
from pixelbayes.inference import class_posterior
from pixelbayes.models.decisions import CLASSWISE, SET_METHODS

__all__ = ["Scored", "SetPlan", "measure"]

ANSWERED = (1.0, 0.9, 0.8, 0.7, 0.5)


@dataclass(frozen=True, kw_only=True)
class SetPlan:
    """What to measure.

    Attributes:
        halves: Random halves, each calibration then test.
        coverages: Aims.
        seed: Of the halves.
    """

    halves: int = 200
    coverages: tuple[float, ...] = (0.8, 0.9, 0.95)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Scored:
    """Labelled images that a model was not trained on."""

    table: Tensor
    """log p(x | y), (N, K)."""
    labels: Tensor
    log_prior: Tensor


def measure(plan: SetPlan, subjects: Mapping[str, Scored]) -> Record:
    """Measures every method on every kind of images."""
    rows, risks = [], []
    for name, scored in subjects.items():
        for method in SET_METHODS:
            found = _over_halves(plan, scored, method)
            for coverage in plan.coverages:
                covered, lowest, size, empty = found[coverage]
                rows.append(
                    {
                        "images": name,
                        "n": len(scored.labels),
                        "method": method,
                        "aim": 100 * coverage,
                        "covered": f"{100 * covered.mean():.2f}",
                        "spread": f"{100 * covered.std():.2f}",
                        "off": f"{100 * (covered.mean() - coverage):+.2f}",
                        "lowest": f"{100 * lowest.mean():.1f}",
                        "size": f"{size.mean():.2f}",
                        "empty": f"{100 * empty.mean():.1f}",
                    }
                )
        risks.append(_risk(plan, name, scored))
    heading = f"the mean over {plan.halves} random halves (calibration, test)"
    return Record(
        name="sets",
        title="Sets with a stated coverage, and abstention",
        settings={"plan": asdict(plan)},
        tables=(
            Table(
                f"Coverage of sets, {heading}",
                (
                    Column("images", "images"),
                    Column("n", "n"),
                    Column("method", "method"),
                    Column("aim", "aim, %"),
                    Column("covered", "covered, %"),
                    Column("off", "off the aim, points"),
                    Column("spread", "standard deviation over halves, points"),
                    Column("lowest", "class covered least, %"),
                    Column("size", "classes in a set"),
                    Column("empty", "empty, %"),
                ),
                tuple(rows),
                (
                    "In each half the temperature and the thresholds are fitted on the same "
                    "images, as `pixelbayes calibrate` does after `evaluate`. Thresholds are "
                    "ranks, so the aim is met from above: by up to 1 / (n + 1) with all classes "
                    "together, by more where few images of a class decide.",
                ),
            ),
            Table(
                "Abstention: accuracy, %, on the share of images that the model is surest of",
                (
                    Column("images", "images"),
                    Column("n", "n"),
                    *(Column(f"{share:g}", f"{share:.0%}") for share in ANSWERED),
                    Column("aurc", "AURC, %"),
                ),
                tuple(risks),
                (
                    "AURC is the mean error over all shares answered, lower is better. The "
                    "probability of the answer is the confidence; each image has a temperature "
                    "that was fitted without it.",
                ),
            ),
        ),
        provenance=origin(),
        brackets="[low, high] are 95 % intervals over images.",
    )


def _over_halves(
    plan: SetPlan, scored: Scored, method: str
) -> dict[float, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """For each aim: coverage, that of the worst class, mean size and empty sets, by half."""
    score, classwise = method.removesuffix(CLASSWISE), method.endswith(CLASSWISE)
    fit = fit_classwise_sets if classwise else fit_sets
    draw = torch.Generator().manual_seed(plan.seed)
    found: dict[float, list[tuple[float, ...]]] = {it: [] for it in plan.coverages}
    table, labels, prior = scored.table, scored.labels, scored.log_prior
    for _ in range(plan.halves):
        order = torch.randperm(len(labels), generator=draw)
        half, rest = order[: len(order) // 2], order[len(order) // 2 :]
        temperature = fit_temperature(table[half], prior, labels[half])
        log_proba = class_posterior(table, prior, temperature)
        for coverage in plan.coverages:
            sets = fit(log_proba[half], labels[half], coverage=coverage, score=score)(
                log_proba[rest]
            )
            held = sets.gather(1, labels[rest][:, None])[:, 0].double()
            by_class = [float(held[labels[rest] == y].mean()) for y in range(len(prior))]
            found[coverage].append(
                (
                    float(held.mean()),
                    min(by_class),
                    float(sets.sum(dim=1).double().mean()),
                    float((~sets.any(dim=1)).double().mean()),
                )
            )
    columns = {it: torch.tensor(rows, dtype=torch.float64) for it, rows in found.items()}
    return {it: (of[:, 0], of[:, 1], of[:, 2], of[:, 3]) for it, of in columns.items()}


def _risk(plan: SetPlan, name: str, scored: Scored) -> dict[str, object]:
    held_out = held_out_temperatures(scored.table, scored.log_prior, scored.labels)
    confidence, predicted = class_posterior(scored.table, scored.log_prior, held_out).max(dim=1)
    correct = predicted == scored.labels
    surest_first = correct[confidence.argsort(descending=True, stable=True)]
    answered = {f"{share:g}": round(share * len(correct)) for share in ANSWERED}
    return {
        "images": name,
        "n": len(correct),
        "aurc": aurc(confidence, correct, seed=plan.seed).brief,
        **{key: accuracy(int(surest_first[:n].sum()), n).brief for key, n in answered.items()},
    }
