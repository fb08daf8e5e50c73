"""Training: images per second of the package's step and of the baseline's, same network.

Baseline: `benchmarks.baseline`, float32, channels first, Adam as a loop over the weights.  Each
side has a process of its own, because the package's also changes how its process keeps memory;
they take turns, and so do the large operations that show what the machine can give.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.figures import new_figure
from benchmarks.measuring import MIB, Isolated, Spread, interleave, ratio
from benchmarks.rates import Kernel, kernels
from benchmarks.records import Column, Record, Table, origin
from benchmarks.steps import NO_BFLOAT16, has_bfloat16, own_steps, plain_steps, step_flops
from benchmarks.subjects import SMALL, describe
from pixelbayes.core import PixelCNNConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FULL", "QUICK", "Plan", "draw", "measure"]

BASELINE, OWN, HALF = "baseline, float32", "pixelbayes, float32", "pixelbayes, bfloat16"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        config: The network.
        batch: Images of a step.
        steps: Steps of one turn.
        repeats: Turns.
    """

    config: PixelCNNConfig = SMALL
    batch: int = 32
    steps: int = 3
    repeats: int = 9


FULL = Plan()
QUICK = Plan(batch=8, steps=1, repeats=2)


def measure(plan: Plan) -> Record:
    """Times all sides in turns."""
    cpu = torch.device("cpu")
    precisions = {BASELINE: torch.float32, OWN: torch.float32}
    if has_bfloat16(cpu):
        precisions[HALF] = torch.bfloat16
    operations = {k: _named(k) for p in set(precisions.values()) for k in kernels(p)}
    with ExitStack() as stack:
        sides: dict[str, Any] = {}
        arguments = (plan.config, plan.batch, plan.steps)
        for name, precision in precisions.items():
            side = (
                Isolated(plain_steps, *arguments)
                if name == BASELINE
                else Isolated(own_steps, *arguments, precision)
            )
            sides[name] = stack.enter_context(side)
        everything = sides | {name: kernel.work for kernel, name in operations.items()}
        times = interleave(everything, repeats=plan.repeats, warm_up=2)
        memory = {name: side.memory() for name, side in sides.items()}
    flops = step_flops(plan.config)
    images = plan.batch * plan.steps
    best = {
        precision: max(
            (k.flops / Spread.of(times[name]).median, name)
            for k, name in operations.items()
            if k.precision == precision
        )
        for precision in set(precisions.values())
    }
    rows = []
    for name, precision in precisions.items():
        rates = Spread.of([images / taken for taken in times[name]])
        rows.append(
            {
                "side": name,
                "rate": rates,
                "ratio": ratio(times[BASELINE], times[name]),
                "gflops": rates.median * flops / 1e9,
                "share": 100 * rates.median * flops / best[precision][0],
                "memory": memory[name].added / MIB,
            }
        )
    return Record(
        name="training",
        title="Training: the package's step against plain PyTorch",
        settings={
            "network": describe(plan.config),
            "batch": plan.batch,
            "steps_per_repeat": plan.steps,
            "repeats": plan.repeats,
            "flops_per_image": flops,
        },
        tables=(
            Table(
                f"Training steps of {plan.batch} images",
                (
                    Column("side", "step"),
                    Column("rate", "images/s"),
                    Column("ratio", "over the baseline"),
                    Column("gflops", "GFLOP/s"),
                    Column("share", "share of the best large operation, %"),
                    Column("memory", "memory beside program and weights, MiB"),
                ),
                tuple(rows),
                _notes(precisions, flops),
            ),
            Table(
                "Large operations in the same run",
                (Column("operation", "operation"), Column("gflops", "GFLOP/s")),
                tuple(
                    {
                        "operation": name,
                        "gflops": Spread.of([k.flops / taken / 1e9 for taken in times[name]]),
                    }
                    for k, name in operations.items()
                ),
            ),
        ),
        provenance=origin(),
    )


def draw(record: Record) -> dict[str, Figure]:
    """Images per second of each side as bars."""
    rows = record.table("Training steps").rows
    figure, (axis,) = new_figure()
    for position, row in enumerate(rows):
        axis.barh(position, row["rate"].median, color="C0" if position else "C7")
        axis.plot([row["rate"].low, row["rate"].high], [position] * 2, color="black")
    axis.set_yticks(range(len(rows)), [row["side"] for row in rows])
    axis.invert_yaxis()
    axis.set(xlabel="training images per second")
    return {"rates": figure}


def _named(kernel: Kernel) -> str:
    return f"{kernel.name}, {str(kernel.precision).removeprefix('torch.')}"


def _notes(precisions: dict[str, torch.dtype], flops: int) -> tuple[str, ...]:
    counted = (
        f"An image needs {flops / 1e9:.3g} GFLOP in a step, forward and backward, as "
        "`torch.utils.flop_counter` counts convolutions and matrix products."
    )
    if HALF in precisions:
        return (counted,)
    return (counted, NO_BFLOAT16)
