"""Training steps beside a public PyTorch port, in the reader's own copy of it.

    git clone https://github.com/DSL-Lab/CPEN455HW-2024W2
    python -m benchmarks port CPEN455HW-2024W2

The copy (this repository or the one it goes back to, pclucas14/pixel-cnn-pp) is a folder with
`model.py`, which has the class PixelCNN, and `utils.py`, which has its loss.  Both sides have the
same number of features, blocks and components, the same batch and a process of their own; the
port is unconditional and has its own dropout (whole channels) and its own loss, and is run as it
is: float32, Adam.  The plain program of the other benchmarks stands beside them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Isolated, Spread, interleave, ratio
from benchmarks.records import Column, Record, Table, origin
from benchmarks.steps import has_bfloat16, own_steps, plain_steps
from benchmarks.subjects import SMALL, describe, images_and_labels
from benchmarks.training import draw
from pixelbayes.core import PixelCNNConfig
from pixelbayes.core.likelihood import to_axis

__all__ = ["FULL", "QUICK", "Plan", "draw", "measure", "port_steps"]

PORT, PLAIN = "public port, float32", "plain program, float32"
OWN, HALF = "pixelbayes, float32", "pixelbayes, bfloat16"
LEARNING_RATE = 0.0002  # the port's default


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        config: The network; its dropout and labels do not reach the port.
        batch: Images of a step.
        steps: Steps of one turn.
        repeats: Turns.
    """

    config: PixelCNNConfig = SMALL
    batch: int = 32
    steps: int = 3
    repeats: int = 9


FULL = Plan()
QUICK = Plan(batch=2, steps=1, repeats=1)


def measure(plan: Plan, path: Path) -> Record:
    """Times all sides in turns.

    Args:
        plan: What to measure.
        path: The folder of the port.
    """
    arguments = (plan.config, plan.batch, plan.steps)
    with ExitStack() as stack:
        sides = {
            PORT: Isolated(port_steps, str(path.resolve()), *arguments),
            PLAIN: Isolated(plain_steps, *arguments),
            OWN: Isolated(own_steps, *arguments, torch.float32),
        }
        if has_bfloat16(torch.device("cpu")):
            sides[HALF] = Isolated(own_steps, *arguments, torch.bfloat16)
        for side in sides.values():
            stack.enter_context(side)
        times = interleave(sides, repeats=plan.repeats, warm_up=2)
    images = plan.batch * plan.steps
    rows = tuple(
        {
            "side": name,
            "rate": Spread.of([images / taken for taken in times[name]]),
            "ratio": ratio(times[PORT], times[name]),
        }
        for name in sides
    )
    columns = (
        Column("side", "step"),
        Column("rate", "images/s"),
        Column("ratio", "over the public port"),
    )
    return Record(
        name="port",
        title="Training: beside a public port",
        settings={
            "network": describe(plan.config),
            "batch": plan.batch,
            "steps_per_repeat": plan.steps,
            "repeats": plan.repeats,
        },
        tables=(Table(f"Training steps of {plan.batch} images", columns, rows),),
        provenance=origin(),
    )


def port_steps(path: str, config: PixelCNNConfig, batch: int, steps: int) -> Callable[[], None]:
    """Work of some of the port's steps, for `measuring.Isolated`.

    Raises:
        ValueError: If the folder lacks the port's modules.
    """
    if not all((Path(path) / name).is_file() for name in ("model.py", "utils.py")):
        raise ValueError(
            f"{path} has no model.py and utils.py; give the folder of a copy of "
            "https://github.com/DSL-Lab/CPEN455HW-2024W2 or https://github.com/pclucas14/pixel-cnn-pp"
        )
    sys.path.insert(0, path)  # its modules import each other by name
    network: Any = importlib.import_module("model")
    loss_of: Any = importlib.import_module("utils").discretized_mix_logistic_loss
    model = network.PixelCNN(
        nr_resnet=config.blocks_per_stage,
        nr_filters=config.features,
        input_channels=config.channels,
        nr_logistic_mix=config.mixtures,
    ).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    x = to_axis(images_and_labels(config, batch)[0])

    def work() -> None:
        for _ in range(steps):
            loss = loss_of(x, model(x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return work
