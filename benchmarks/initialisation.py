"""The first 200 steps from three initialisations, same data order, same network.

    python -m benchmarks.initialisation --data-dir DATA

* `default`: PyTorch's convolution initialisation, which public code uses.
* `standardised`: the data-dependent initialisation of the paper (weight normalisation).
* `solved`: ours, the same followed by a least-squares last layer.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import torch
from torch import nn

from benchmarks.running import run
from pixelbayes.core import PixelCNN, PixelCNNConfig, bits_per_dim, initialisation
from pixelbayes.core.layers import WeightNormConv2d
from pixelbayes.data import load_dataset
from pixelbayes.workflows.provenance import provenance

BATCH, LEARNING_RATE, INITIAL_IMAGES = 32, 0.002, 64


def default(model: PixelCNN) -> None:
    """`nn.Conv2d.reset_parameters`, expressed as directions and gains."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, WeightNormConv2d):
                nn.init.kaiming_uniform_(layer.direction, a=math.sqrt(5))
                lengths = layer.direction.transpose(0, layer.out_axis).flatten(1).norm(dim=1)
                layer.gain.copy_(lengths)
                bound = 1 / math.sqrt(layer.direction[0].numel())
                layer.bias.uniform_(-bound, bound)


def first_steps(name: str, images: torch.Tensor, labels: torch.Tensor, steps: int) -> list[float]:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    model = PixelCNN(
        PixelCNNConfig(classes=4, features=40, blocks_per_stage=1, mixtures=5, dropout=0.5)
    )
    some = torch.randperm(len(images), generator=generator)[:INITIAL_IMAGES]
    if name == "default":
        default(model)
    elif name == "standardised":
        with torch.no_grad():
            initialisation._standardise(model.eval(), images[some], labels[some])
    else:
        initialisation.initialise_from_data(model, images[some], labels[some])
    model.train().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    curve = []
    for _ in range(steps):
        batch = torch.randint(len(images), (BATCH,), generator=generator)
        log_prob = model(images[batch], labels[batch]).log_prob(images[batch])
        loss = bits_per_dim(log_prob, model.config.dims).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(round(loss.item(), 4))
    return curve


def figure(curves: dict[str, list[float]], path: Path) -> None:
    from matplotlib.figure import Figure

    axes = (drawing := Figure(figsize=(6, 3.5), layout="constrained")).subplots()
    for name, curve in curves.items():
        axes.plot(range(1, len(curve) + 1), curve, label=name)
    axes.set(xlabel="step (batch 32)", ylabel="training loss, bits/dim", ylim=(4, 9.5))
    axes.legend(frameon=False)
    drawing.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    arguments = parser.parse_args()
    train = load_dataset("cpen455", data_dir=arguments.data_dir).split("train")
    curves = {
        name: first_steps(name, train.levels, train.labels, arguments.steps)
        for name in ("default", "standardised", "solved")
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    result = {"unit": "bits/dim", "batch": BATCH, "lr": LEARNING_RATE, "curves": curves}
    (arguments.output / "initialisation.json").write_text(
        json.dumps({**result, "provenance": provenance()}, indent=1) + "\n"
    )
    figure(curves, arguments.output / "initialisation.svg")
    for name, curve in curves.items():
        print(name, [round(sum(curve[i : i + 10]) / 10, 3) for i in range(0, len(curve), 10)])


if __name__ == "__main__":
    run(main)
