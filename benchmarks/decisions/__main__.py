"""What decisions are worth, measured: outliers, sets, evidence, wrong labels.

    python -m benchmarks.decisions --data-dir DATA --cifar10 FILE.npz            all of it
    python -m benchmarks.decisions outliers sets --data-dir DATA --cifar10 FILE.npz

Each part leaves NAME.json and NAME.md in docs/results/decisions; README.md there lists them.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.decisions import evidence, labels, outliers, sets
from benchmarks.records import Record, write
from benchmarks.running import run
from pixelbayes.data import LabelledImages
from pixelbayes.models import PixelBayes
from pixelbayes.models.hub import DENSITY, load
from pixelbayes.workflows.demo import DEMO
from pixelbayes.workflows.loading import load_data_for
from pixelbayes.workflows.train import train

__all__ = ["main"]

OUTPUT, QUICK_OUTPUT = Path("docs/results/decisions"), Path("runs/decisions")
PARTS = ("outliers", "sets", "evidence", "labels")


class Subjects:
    """The models and images that several parts share, each scored once."""

    def __init__(self, data_dir: Path, limit: int | None) -> None:
        self.data_dir, self.limit = data_dir, limit

    @cached_property
    def model(self) -> PixelBayes:
        """The shipped density."""
        model = load(DENSITY)
        assert isinstance(model, PixelBayes)
        return model

    @cached_property
    def course_images(self) -> LabelledImages:
        """Validation images of the course, which the shipped model was not trained on."""
        data = load_data_for(self.model, "cpen455", data_dir=self.data_dir, limit=self.limit)
        return data.split("validation")

    @cached_property
    def course(self) -> tuple[LabelledImages, sets.Scored]:
        """They and their scores."""
        images = self.course_images
        return images, self._scored(self.model, images.levels, images.labels)

    @cached_property
    def digits(self) -> sets.Scored:
        """Digits of validation and test, by the model that `pixelbayes demo` trains on others."""
        with tempfile.TemporaryDirectory() as folder:
            training = replace(DEMO.training, max_time=None)
            if self.limit is not None:
                training = replace(training, epochs=1)
            run = train(replace(DEMO, training=training), Path(folder) / "run", progress=False)
            model = PixelBayes.load(run.best)
        splits = load_data_for(model, "digits", limit=self.limit).splits
        both = [splits["validation"], splits["test"]]
        levels, labels = (
            torch.cat([getattr(it, of) for it in both]) for of in ("levels", "labels")
        )
        return self._scored(model, levels, labels)

    @staticmethod
    def _scored(model: PixelBayes, levels: Tensor, labels: Tensor) -> sets.Scored:
        return sets.Scored(model.log_likelihoods(levels), labels, model.log_prior)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    given = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    subjects = Subjects(given.data_dir, QUICK_LIMIT if given.quick else None)
    output = given.output or (QUICK_OUTPUT if given.quick else OUTPUT)
    for part in given.parts or PARTS:
        print(f"{part} ...", file=sys.stderr)
        record = _measured(part, subjects, given.cifar10, quick=given.quick)
        command = shlex.join(["python", "-m", "benchmarks.decisions", *sys.argv[1:]])
        record = replace(record, provenance={**record.provenance, "command": command})
        write(record, output, {})
        print(record.to_markdown())
    return 0


QUICK_LIMIT = 40


def _measured(part: str, subjects: Subjects, cifar10: Path, *, quick: bool) -> Record:
    if part == "outliers":
        images, scored = subjects.course
        plan = outliers.OutlierPlan(images=8) if quick else outliers.OutlierPlan()
        return outliers.measure(plan, subjects.model, images.levels, scored.table, cifar10)
    if part == "evidence":
        few = evidence.EvidencePlan(images=2) if quick else evidence.EvidencePlan()
        return evidence.measure(few, subjects.model, subjects.course_images.levels)
    if part == "labels":
        images, scored = subjects.course
        flips = labels.LabelPlan()
        if quick:
            flips = labels.LabelPlan(digits=40, folds=2, epochs=1, rates_digits=(0.2,))
        return labels.measure(flips, subjects.model, images, scored.table)
    _, course = subjects.course
    halves = sets.SetPlan(halves=3) if quick else sets.SetPlan()
    return sets.measure(halves, {"digits": subjects.digits, "course, validation": course})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.decisions", description="Measures decisions on trained weights."
    )
    parser.add_argument("parts", nargs="*", choices=PARTS, help="which; all by default")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of the course's data")
    parser.add_argument(
        "--cifar10", type=Path, required=True, help="npz file with x_test, (N, 32, 32, 3)"
    )
    parser.add_argument("--quick", action="store_true", help="few images: shows that it works")
    parser.add_argument("--output", type=Path, help=f"folder of the results; {OUTPUT} by default")
    return parser


if __name__ == "__main__":
    run(main)
