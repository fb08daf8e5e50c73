"""Training steps and drawn images beside a public port, in the reader's own copy of it.

    git clone https://github.com/DSL-Lab/CPEN455HW-2024W2
    python -m benchmarks port CPEN455HW-2024W2

The copy (this repository or the one it goes back to, pclucas14/pixel-cnn-pp) is a folder with
`model.py`, which has the class PixelCNN, and `utils.py`, which has its loss and its draw from the
mixture.  All sides have the same number of features, blocks and components, the same batch and a
process of their own; the port is unconditional and has its own dropout (whole channels) and its
own loss, and is run as it is: float32, Adam.  The plain program of the other benchmarks stands
beside them.  The port draws an image in as many passes as it has pixels, each of which draws all
pixels and keeps one; they all cost the same, so some of them are timed.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Isolated, Spread, interleave, ratio
from benchmarks.records import Column, Record, Table, origin
from benchmarks.sampling import sampling_work
from benchmarks.steps import NO_BFLOAT16, has_bfloat16, own_steps, plain_steps
from benchmarks.subjects import SMALL, describe, images_and_labels
from benchmarks.training import draw
from pixelbayes.core import PixelCNNConfig
from pixelbayes.core.likelihood import to_axis
from pixelbayes.errors import PixelBayesError

__all__ = ["FULL", "QUICK", "Plan", "draw", "measure", "port_passes", "port_steps"]

PORT, PLAIN = "public port, float32", "plain program, float32"
OWN, HALF = "pixelbayes, float32", "pixelbayes, bfloat16"
LEARNING_RATE = 0.0002  # the port's default


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to measure.

    Attributes:
        config: The network; its dropout and labels do not reach the port.
        features: Numbers of features of the networks that are trained.
        batch: Images of a step.
        steps: Steps of one turn.
        repeats: Turns.
        patience: Seconds of steps, with each number of features, after which no turn begins.
        drawn: Batches of images that are drawn.
        passes: Passes of the port that are timed together at batch 1; as many fewer as the batch
            is larger, but one.
    """

    config: PixelCNNConfig = SMALL
    features: tuple[int, ...] = (40, 80)
    batch: int = 32
    steps: int = 2
    repeats: int = 9
    patience: float = 40.0
    drawn: tuple[int, ...] = (1, 25, 256)
    passes: int = 32


FULL = Plan()
QUICK = Plan(features=(40,), batch=2, steps=1, repeats=1, drawn=(1,), passes=2)


def measure(plan: Plan, path: Path) -> Record:
    """Times all sides in turns.

    Args:
        plan: What to measure.
        path: The folder of the port.

    Raises:
        ValueError: If the folder lacks the port's modules.
    """
    _require_port(path)
    folder = str(path.resolve())
    return Record(
        name="port",
        title="Beside a public port",
        settings={
            "network": describe(plan.config),
            "batch": plan.batch,
            "steps_per_repeat": plan.steps,
            "repeats": plan.repeats,
        },
        tables=(*(_steps(plan, folder, n) for n in plan.features), _drawing(plan, folder)),
        provenance=origin(),
    )


def _steps(plan: Plan, path: str, features: int) -> Table:
    arguments = (replace(plan.config, features=features), plan.batch, plan.steps)
    with ExitStack() as stack:
        sides = {
            PORT: Isolated(port_steps, path, *arguments),
            PLAIN: Isolated(plain_steps, *arguments),
            OWN: Isolated(own_steps, *arguments, torch.float32),
        }
        if has_bfloat16(torch.device("cpu")):
            sides[HALF] = Isolated(own_steps, *arguments, torch.bfloat16)
        for side in sides.values():
            stack.enter_context(side)
        times = interleave(sides, repeats=plan.repeats, patience=plan.patience)
    images = plan.batch * plan.steps
    rows = tuple(
        {
            "side": name,
            "rate": Spread.of([images / taken for taken in times[name]]),
            "ratio": ratio(times[PORT], times[name]),
            "n": len(times[name]),
        }
        for name in sides
    )
    columns = (
        Column("side", "step"),
        Column("rate", "images/s"),
        Column("ratio", "over the public port"),
        Column("n", "repeats"),
    )
    notes = () if HALF in sides else (NO_BFLOAT16,)
    return Table(
        f"Training steps of {plan.batch} images, {features} features", columns, rows, notes
    )


def _drawing(plan: Plan, path: str) -> Table:
    pixels = math.prod(plan.config.image_size)
    rows = []
    for batch in plan.drawn:
        passes = max(1, plan.passes // batch)
        port = Isolated(port_passes, path, plan.config, batch, passes)
        own = Isolated(sampling_work, "cached", plan.config, batch)
        with port, own:
            times = interleave({"port": port, "own": own}, repeats=plan.repeats)
        whole = [taken * pixels / passes for taken in times["port"]]
        rows.append(
            {
                "batch": batch,
                "port": Spread.of(whole),
                "passes": passes,
                "own": Spread.of(times["own"]),
                "rate": Spread.of([batch / taken for taken in times["own"]]),
                "ratio": ratio(whole, times["own"]),
                "n": len(whole),
            }
        )
    columns = (
        Column("batch", "images"),
        Column("port", f"public port, {pixels} passes, s"),
        Column("passes", "passes timed"),
        Column("own", "pixelbayes, s"),
        Column("rate", "pixelbayes, images/s"),
        Column("ratio", "over the public port"),
        Column("n", "repeats"),
    )
    note = (
        "A pass of the port is its network, its draw of every pixel and the one pixel kept; the "
        f"time of {pixels} is extrapolated from those timed."
    )
    return Table("Images drawn", columns, tuple(rows), (note,))


def port_steps(path: str, config: PixelCNNConfig, batch: int, steps: int) -> Callable[[], None]:
    """Work of some of the port's steps, for `measuring.Isolated`."""
    model, utilities = _port(path, config)
    loss_of = utilities.discretized_mix_logistic_loss
    optimizer = torch.optim.Adam(model.train().parameters(), lr=LEARNING_RATE)
    x = to_axis(images_and_labels(config, batch)[0])

    def work() -> None:
        for _ in range(steps):
            loss = loss_of(x, model(x))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return work


def port_passes(path: str, config: PixelCNNConfig, batch: int, passes: int) -> Callable[[], None]:
    """Work of some of the passes in which the port draws images, for `measuring.Isolated`."""
    model, utilities = _port(path, config)
    model.eval()
    x = torch.zeros(batch, config.channels, *config.image_size)

    @torch.no_grad()
    def work() -> None:
        for col in range(passes):
            described = model(x, sample=True)
            drawn = utilities.sample_from_discretized_mix_logistic(described, config.mixtures)
            x[:, :, 0, col % x.shape[3]] = drawn[:, :, 0, col % x.shape[3]]

    return work


def _port(path: str, config: PixelCNNConfig) -> tuple[Any, Any]:
    """Its network with the sizes of `config`, and its module of losses and draws."""
    _require_port(Path(path))
    sys.path.insert(0, path)  # its modules import each other by name
    network: Any = importlib.import_module("model")
    model = network.PixelCNN(
        nr_resnet=config.blocks_per_stage,
        nr_filters=config.features,
        input_channels=config.channels,
        nr_logistic_mix=config.mixtures,
    )
    return model, importlib.import_module("utils")


def _require_port(path: Path) -> None:
    if not all((path / name).is_file() for name in ("model.py", "utils.py")):
        raise PixelBayesError(
            f"{path} has no model.py and utils.py; give the folder of a copy of "
            "https://github.com/DSL-Lab/CPEN455HW-2024W2 or https://github.com/pclucas14/pixel-cnn-pp"
        )
