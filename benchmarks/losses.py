"""The first training steps of the baseline and of the package, from the same weights.

Same batches in the same order; only dropout is drawn anew, by each way in its manner.  What
separates two seeds of one side is the noise that separates the sides must stay within.
Without dropout the sides compute the same numbers but for rounding.

Units: bits/dim.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from benchmarks.figures import curves
from benchmarks.records import Column, Record, Table, origin
from benchmarks.steps import NO_BFLOAT16, TrainingStep, has_bfloat16, own_step, plain_step
from benchmarks.subjects import SMALL, describe
from pixelbayes.core import PixelCNN, PixelCNNConfig
from pixelbayes.core.initialisation import initialise_from_data
from pixelbayes.data import LabelledImages, load_dataset, stratified_subset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FULL", "QUICK", "Plan", "draw", "measure"]

BASELINE, OWN, HALF = "baseline, float32", "pixelbayes, float32", "pixelbayes, bfloat16"
SMOOTHING = 20  # steps that one point of a drawn curve averages


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        config: The network, but for the classes and the size of the images.
        data: Source of the images.
        data_dir: Where its files are, for a source that has files.
        batch: Images of a step.
        steps: Steps of each side.
        seeds: Of dropout.
        exact_steps: Steps that are compared without dropout.
        final: Last steps whose mean is reported.
    """

    config: PixelCNNConfig = SMALL
    data: str = "digits"
    data_dir: Path | None = None
    batch: int = 32
    steps: int = 300
    seeds: tuple[int, ...] = (0, 1)
    exact_steps: int = 20
    final: int = 100


FULL = Plan()
QUICK = Plan(steps=12, seeds=(0,), exact_steps=4, final=6)


def measure(plan: Plan) -> Record:
    """Trains each side from the same first weights."""
    dataset = load_dataset(plan.data, data_dir=plan.data_dir)
    train = dataset.split("train")
    config = replace(
        plan.config,
        classes=len(dataset.classes),
        image_size=dataset.image_size,
        channels=dataset.channels,
    )
    first = _first_weights(config, train)
    losses = {
        f"{name}, seed {seed}": _train(_side(name, first), train, plan, plan.steps, seed)
        for seed in plan.seeds
        for name in _sides()
    }
    final = {name: mean(curve[-plan.final :]) for name, curve in losses.items()}
    of_baseline = mean(v for name, v in final.items() if name.startswith(BASELINE))
    rows = [
        {
            "side": name,
            "first": curve[0],
            "final": final[name],
            "difference": final[name] - of_baseline,
        }
        for name, curve in losses.items()
    ]
    return Record(
        name="losses",
        title="Training loss: the package's step against plain PyTorch",
        settings={
            "network": describe(config),
            "data": plan.data,
            "batch": plan.batch,
            "steps": plan.steps,
            "seeds": list(plan.seeds),
        },
        tables=(
            Table(
                f"Loss over {plan.steps} steps, bits/dim",
                (
                    Column("side", "step"),
                    Column("first", "first step"),
                    Column("final", f"mean of the last {min(plan.final, plan.steps)}"),
                    Column("difference", "less the mean of the baseline"),
                ),
                tuple(rows),
                (
                    "Seeds differ in dropout only; two rows of one side show its noise.",
                    *(() if HALF in _sides() else (NO_BFLOAT16,)),
                ),
            ),
            _without_dropout(first, train, plan),
        ),
        provenance=origin(),
        curves=losses,
    )


def draw(record: Record) -> dict[str, Figure]:
    """All losses, each point the mean of some neighbouring steps."""
    lines = {}
    for name, curve in record.curves.items():
        width = max(1, min(SMOOTHING, len(curve) // 3))
        means = torch.tensor(curve).unfold(0, width, 1).mean(dim=1).tolist()
        lines[name] = (list(range(width, len(curve) + 1)), means)
    ylabel = "training loss, bits/dim"
    return {"curves": curves(lines, xlabel="step (batch 32)", ylabel=ylabel)}


def _first_weights(config: PixelCNNConfig, train: LabelledImages) -> PixelCNN:
    torch.manual_seed(0)
    model = PixelCNN(config)
    some = stratified_subset(train.labels, max(64, config.classes), seed=0)
    initialise_from_data(model, train.levels[some], train.labels[some])
    return model


def _sides() -> tuple[str, ...]:
    narrow = (HALF,) if has_bfloat16(torch.device("cpu")) else ()
    return (BASELINE, OWN, *narrow)


def _side(name: str, first: PixelCNN) -> TrainingStep:
    model = copy.deepcopy(first)
    if name == BASELINE:
        return plain_step(model, nn.Dropout)  # noise of the same kind
    return own_step(model, torch.bfloat16 if name == HALF else torch.float32)


def _train(
    step: TrainingStep, train: LabelledImages, plan: Plan, steps: int, seed: int
) -> list[float]:
    torch.manual_seed(seed)
    batches = _batches(train, plan.batch)
    return [step(*next(batches)).item() for _ in range(steps)]


def _batches(train: LabelledImages, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The same endless order for every side."""
    generator = torch.Generator().manual_seed(0)
    while True:
        for rows in torch.randperm(len(train), generator=generator).split(size):
            if len(rows) == size or len(train) < size:
                yield train.levels[rows], train.labels[rows]


def _without_dropout(first: PixelCNN, train: LabelledImages, plan: Plan) -> Table:
    still = PixelCNN(replace(first.config, dropout=0.0))
    still.load_state_dict(first.state_dict())
    curves_ = {
        name: torch.tensor(_train(_side(name, still), train, plan, plan.exact_steps, 0))
        for name in _sides()
    }
    rows = []
    for name in _sides()[1:]:
        apart = (curves_[name] - curves_[BASELINE]).abs()
        rows.append({"side": name, "first": apart[0].item(), "largest": apart.max().item()})
    return Table(
        f"Distance from the baseline without dropout, {plan.exact_steps} steps, bits/dim",
        (
            Column("side", "step"),
            Column("first", "at the first step"),
            Column("largest", "largest"),
        ),
        tuple(rows),
        ("Rounding grows from step to step, in any pair of programs.",),
    )
