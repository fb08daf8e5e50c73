"""What each published model gives, and what it costs.

    python -m benchmarks.costs

What it gives stands in the JSON of the studies; how fast it answers is measured here, on random
images, which are answered as fast as others.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measuring import interleave, ratio
from benchmarks.records import Column, Record, Table, origin, write
from benchmarks.running import options, run
from pixelbayes.models import Ensemble, Model, ResNetClassifier, load_model
from pixelbayes.models.hub import find_model
from pixelbayes.models.resnet import ResNet18
from pixelbayes.report import ModelResult, load_result
from pixelbayes.report.results import GENERATED
from pixelbayes.report.tables import column_of

__all__ = ["PUBLISHED", "Published", "main", "measure"]

COMMAND = ["python", "-m", "benchmarks.costs"]
RESULTS = Path(__file__).parent.parent / "docs/results"
IMAGES, REPEATS = 32, 5
HOUR = 3600.0
GIVES = {
    "accuracy": "accuracy",
    "log_loss/calibrated": "log-loss",
    "ece/calibrated": "ECE",
    "aurc": "AURC",
    "bits_per_dim": "bits/dim",
}
"""Measures of the validation images, and what stands above them."""
DISTANCES = {"fid/matched-2048": "FID", "kid/matched-2048": "KID"}
"""Of generated images, as many as there are real ones."""


@dataclass(frozen=True)
class Published:
    """Where the numbers of a model are, how it is made, and what it is made of."""

    result: str
    """Its JSON in docs/results, without the ending."""
    make: Callable[[], Model]
    begun: tuple[str, ...] = ()
    """JSON of the trainings that its own began with, and of its members."""


def _resnet() -> Model:
    first = load_model(find_model("cpen455-gated"))
    network = ResNet18(classes=len(first.classes), channels=first.channels)
    return ResNetClassifier(network.eval(), replace(first.metadata, decisions=None))


def _at_length(name: str) -> Model:
    return load_model(RESULTS / "cpen455-75" / name)


def _mirrored(*members: Model) -> Model:
    return Ensemble(members, mirrored=True)


ONEPASS, GATED = "accuracy/onepass-hybrid", "cpen455-75/gated"
BEFORE_ONEPASS = ("cpen455-small/gated-long", "accuracy/onepass-8", "accuracy/onepass-16")
PUBLISHED = {
    "onepass-hybrid": Published(
        ONEPASS, lambda: load_model(find_model("cpen455-onepass")), BEFORE_ONEPASS
    ),
    "gated": Published(GATED, lambda: _at_length("gated")),
    "gated-300": Published("cpen455-75/gated-300", lambda: _at_length("gated-300")),
    "early": Published("cpen455-75/early", lambda: _at_length("early")),
    "joint": Published("cpen455-75/joint", lambda: _at_length("joint")),
    "late": Published("cpen455-75/late", lambda: _at_length("late")),
    "pure-mirrored": Published(
        "accuracy/pure-mirrored", lambda: _mirrored(_at_length("gated")), (GATED,)
    ),
    "pure-ensemble": Published(
        "accuracy/pure-ensemble",
        lambda: _mirrored(*map(_at_length, ("gated", "early", "late"))),
        (GATED, "cpen455-75/early", "cpen455-75/late"),
    ),
    "onepass-mirrored": Published(
        "accuracy/onepass-mirrored",
        lambda: _mirrored(load_model(find_model("cpen455-onepass"))),
        (*BEFORE_ONEPASS, ONEPASS),
    ),
    "hybrid-ensemble": Published(
        "accuracy/hybrid-ensemble",
        lambda: _mirrored(load_model(find_model("cpen455-onepass")), _at_length("gated")),
        (*BEFORE_ONEPASS, ONEPASS, GATED),
    ),
    "resnet18": Published("cpen455-75/resnet18", _resnet),
}


def main() -> None:
    """Measures, and writes costs.json and costs.md."""
    given = options("What each published model gives, and what it costs.").parse_args()
    results = {name: _loaded(one.result) for name, one in PUBLISHED.items()}
    hours = {
        name: sum(_hours(it) for it in (results[name], *map(_loaded, one.begun)))
        for name, one in PUBLISHED.items()
    }
    models = {name: one.make() for name, one in PUBLISHED.items()}
    first = models["gated"]
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(
        256, (IMAGES, first.channels, *first.image_size), dtype=torch.uint8, generator=generator
    )
    record = measure(models, levels, results, hours, beside="resnet18", repeats=REPEATS)
    print(record.to_markdown())
    print("wrote", *write(record, given.output, {}), file=sys.stderr)


def measure(
    models: Mapping[str, Model],
    levels: Tensor,
    results: Mapping[str, ModelResult],
    hours: Mapping[str, float],
    *,
    beside: str,
    repeats: int,
) -> Record:
    """Times the models in turns, and sets their published numbers beside.

    Args:
        models: By name.
        levels: Images that all of them can answer, uint8 (N, C, H, W).
        results: What was measured of each.
        hours: Training of each.
        beside: The model that the times of others are divided by.
        repeats: Measurements of each.
    """
    sides: dict[str, Callable[[], Any]] = {
        name: lambda model=model: model.log_likelihoods(levels)  # type: ignore[misc]
        for name, model in models.items()
    }
    times = interleave(sides, repeats=repeats)
    images = len(levels)
    rows = [
        {
            "model": name,
            **_numbers(results[name]),
            "rate": ratio([images] * len(taken), taken),
            "times": ratio(taken, times[beside]),
            "hours": hours[name],
        }
        for name, taken in times.items()
    ]
    columns = [("model", "model"), *GIVES.items(), *DISTANCES.items()]
    columns += [("rate", "images/s"), ("times", f"time beside {beside}"), ("hours", "hours")]
    return Record(
        name="costs",
        title="What each published model gives, and what it costs",
        settings={"images": images, "repeats": repeats},
        tables=(
            Table(
                "Validation images, one seed",
                tuple(Column(key, heading) for key, heading in columns),
                tuple(rows),
                (
                    "Accuracy, log-loss, ECE and AURC (the share of errors among the surest "
                    "images, averaged over how many are answered) are of the answers at the "
                    "temperature; FID and KID are of as many generated as real images, with 2048 "
                    "features.",
                    "Hours are of the training on one or two of the same processor's cores, beside "
                    "other work, with what it began with and its members.",
                ),
            ),
        ),
        provenance=origin() | {"command": shlex.join(COMMAND + sys.argv[1:])},
        brackets=(
            "[low, high] of what was measured on images are 95 %, of times the smallest and the "
            "largest of the repeats; ratios are taken between neighbouring repeats of one run."
        ),
    )


def _numbers(result: ModelResult) -> dict[str, str]:
    """Cells of those numbers that were measured."""
    keys: Sequence[tuple[str, str]] = [
        *(("validation", key) for key in GIVES),
        *((GENERATED, key) for key in DISTANCES),
    ]
    found = {key: result.measure(split, key) for split, key in keys}
    return {key: column_of(key, x.unit).text(x) for key, x in found.items() if x is not None}


def _loaded(result: str) -> ModelResult:
    return load_result(RESULTS / f"{result}.json")


def _hours(result: ModelResult) -> float:
    return (result.training_seconds or 0.0) / HOUR


if __name__ == "__main__":
    run(main)
