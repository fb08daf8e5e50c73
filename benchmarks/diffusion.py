"""A diffusion model beside ours: accuracy, bits/dim, FID, and what an answer and a sample cost.

    python -m benchmarks.diffusion STUDY --data-dir DIR

STUDY is the folder of `pixelbayes study cpen455-diffusion`, whose measurements of generated images
are read.  How many passes the diffusion model needs for an answer is measured here, on the
validation images, each under a temperature that was fitted without it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.figures import new_figure
from benchmarks.measuring import Spread, interleave
from benchmarks.records import Column, Record, Table, origin, write
from benchmarks.running import options, run
from pixelbayes.core import bits_per_dim
from pixelbayes.core.diffusion import HALF_RANGE, code_length_of_ends
from pixelbayes.data import LabelledImages, load_dataset
from pixelbayes.evaluation import accuracy
from pixelbayes.evaluation.calibration import log_loss
from pixelbayes.evaluation.estimate import mean_estimate
from pixelbayes.evaluation.temperature import held_out_temperatures
from pixelbayes.models import DiffusionModel, Model, load_model
from pixelbayes.report import ModelResult, load_result

PROTOCOLS = (("course", 192), ("matched", 2048))
EVALUATIONS = (1, 2, 4, 8, 16)
ANSWERED, DRAWN, REPEATS = 16, 16, 3
COMMAND = ["python", "-m", "benchmarks.diffusion"]


def main() -> None:
    """Measures, and writes diffusion.json, diffusion.md and the curve."""
    parser = options("A diffusion model beside two PixelCNN++.")
    parser.add_argument("study", type=Path, help="folder of the study cpen455-diffusion")
    given = parser.parse_args()
    validation = load_dataset("cpen455", data_dir=given.data_dir).split("validation")
    places = {path.parent.name: path for path in sorted(given.study.glob("*/seed-0"))}
    models = {name: load_model(path) for name, path in places.items()}
    diffusion = models["diffusion"]
    assert isinstance(diffusion, DiffusionModel)
    sweep = _by_evaluations(diffusion, validation)
    answers = interleave(
        {name: _answering(model, validation.levels[:ANSWERED]) for name, model in models.items()},
        repeats=REPEATS,
    )
    draws = interleave({name: _drawing(model) for name, model in models.items()}, repeats=REPEATS)
    config = diffusion.network.config
    one = Spread.of(answers["diffusion"]).median / ANSWERED / config.evaluations
    rows = tuple(
        _row(name, models[name], load_result(places[name] / "result.json"), validation)
        | {
            "answer": _each(answers[name], ANSWERED),
            "sample": _each(draws[name], DRAWN),
        }
        for name in models
    )
    record = Record(
        name="diffusion",
        title="A diffusion model beside two PixelCNN++",
        settings={
            "diffusion": diffusion.describe(),
            "answered": ANSWERED,
            "drawn": DRAWN,
            "evaluations": EVALUATIONS,
        },
        tables=(
            Table(
                f"Three models of the same photographs ({len(validation.labels)} for validation)",
                (
                    Column("model", "model"),
                    Column("parameters", "weights"),
                    Column("accuracy", "accuracy"),
                    Column("log_loss", "log-loss, calibrated"),
                    Column("bits", "bits/dim"),
                    *(Column(f"{name}-{dims}", f"FID-{dims}, {name}") for name, dims in PROTOCOLS),
                    Column("answer", "seconds for an answer"),
                    Column("sample", "seconds for a sample"),
                ),
                rows,
                (
                    f"diffusion: the U-Net of diffusers; bits/dim is an upper bound; answers from "
                    f"{config.evaluations} passes for each of {config.classes} classes; samples "
                    f"from {config.steps} passes.  Seconds are of one image among "
                    f"{ANSWERED} answered and {DRAWN} drawn together.",
                ),
            ),
            Table(
                "The diffusion model's answers from more passes",
                (
                    Column("passes", "passes for an answer"),
                    Column("accuracy", "accuracy"),
                    Column("log_loss", "log-loss, calibrated"),
                    Column("bits", "bits/dim, at most"),
                    Column("seconds", "seconds for an answer"),
                ),
                tuple(row | {"seconds": one * row["evaluations"]} for row in sweep),
                (
                    "Passes: evaluations times classes, with the same times and noises for all "
                    "classes of an image.  Seconds follow from those of the table above, in "
                    "proportion.",
                ),
            ),
        ),
        provenance=origin() | {"command": shlex.join(COMMAND + sys.argv[1:])},
        curves={"accuracy": [{"passes": r["passes"], "accuracy": r["right"]} for r in sweep]},
        brackets=(
            "[low, high]: of accuracies Wilson's, of means Student's, of FID a jackknife's 95 % "
            "interval; of seconds the smallest and the largest of the repeats. All images have the "
            "noises of the same passes, and what others would change is not in the intervals: "
            "bits/dim of few passes differ by more between two sets of noises."
        ),
    )
    print(record.to_markdown())
    print("wrote", *write(record, given.output, {"passes": _drawn(record)}), file=sys.stderr)


def _by_evaluations(model: DiffusionModel, images: LabelledImages) -> list[dict[str, Any]]:
    most, rows = max(EVALUATIONS), []
    errors = model.squared_errors(
        images.levels,
        most,
        progress=lambda done: print(f"answered {done}", end="\r", file=sys.stderr),
    )
    ends = code_length_of_ends(images.levels)[:, None]
    for count in EVALUATIONS:
        table = -ends - HALF_RANGE * errors[:, :, :: most // count].mean(dim=2)
        rows.append(
            {"evaluations": count, "passes": count * len(model.classes)}
            | _numbers(table, model, images.labels)
        )
    return rows


def _numbers(table: Tensor, model: Model, labels: Tensor) -> dict[str, Any]:
    right = int(((table + model.log_prior).argmax(dim=1) == labels).sum())
    tempered = table / held_out_temperatures(table, model.log_prior, labels)
    of_truth = table.gather(1, labels[:, None])[:, 0]
    assert model.dims is not None
    return {
        "accuracy": accuracy(right, len(labels)).brief,
        "right": accuracy(right, len(labels)).value,
        "log_loss": log_loss(torch.log_softmax(tempered + model.log_prior, dim=1), labels).brief,
        "bits": mean_estimate(bits_per_dim(of_truth, model.dims), "bits/dim").brief,
    }


def _row(name: str, model: Model, result: ModelResult, images: LabelledImages) -> dict[str, Any]:
    scores = {
        f"{protocol}-{dims}": score.fid.brief
        for protocol, dims in PROTOCOLS
        if (score := result.score(protocol, dims)) is not None
    }
    return {
        "model": name,
        "parameters": model.parameters,
        **_numbers(model.log_likelihoods(images.levels), model, images.labels),
        **scores,
    }


def _answering(model: Model, levels: Tensor) -> Callable[[], Any]:
    return lambda: model.log_likelihoods(levels)


def _drawing(model: Model) -> Callable[[], Any]:
    labels = torch.arange(DRAWN) % len(model.classes)
    return lambda: model.draw(labels, torch.Generator().manual_seed(0))


def _each(times: list[float], images: int) -> Spread:
    return Spread.of([time / images for time in times])


def _drawn(record: Record) -> Any:
    figure, (axis,) = new_figure()
    points = record.curves["accuracy"]
    axis.plot([it["passes"] for it in points], [it["accuracy"] for it in points], marker="o")
    axis.set(xlabel="passes of the network for an answer", ylabel="accuracy, %", xscale="log")
    return figure


if __name__ == "__main__":
    run(main)
