"""Classifies the course images by Bayes' rule and prints the accuracy.

    python course/classification_evaluation.py -i data -m validation

The labels of the test images are withheld: for those the script writes its predictions, one
`path,label` a row as in test.csv, and prints an accuracy only where labels are known.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from course_data import (
    MODES,
    classify,
    find_course_data,
    positive,
    require_course_classes,
    require_predictions_free,
    run,
    write_predictions,
)

import pixelbayes
from pixelbayes.data import UNLABELLED
from pixelbayes.evaluation import accuracy
from pixelbayes.models.hub import DEFAULT
from pixelbayes.workflows.loading import load_data_for


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script and returns its exit status."""
    return run(evaluate, argv)


def evaluate(argv: Sequence[str] | None) -> None:
    """Classifies one split and reports."""
    options = parser().parse_args(argv)
    folder = find_course_data(options.data_dir)
    if options.mode == "test":
        require_predictions_free(options.output, folder)
    model = pixelbayes.load(options.model)
    dataset = load_data_for(model, "cpen455", data_dir=folder)
    require_course_classes(model, dataset)
    images = dataset.split(options.mode)
    predicted = classify(model, images.levels, options.batch_size)
    known = images.labels != UNLABELLED
    if known.any():
        correct = int((predicted == images.labels)[known].sum())
        print(f"{options.mode} accuracy: {accuracy(correct, int(known.sum()))}")
    if options.mode == "test" or not known.all():
        require_predictions_free(options.output, folder)
        write_predictions(options.output, images, predicted.tolist())
        print(f"predictions: {options.output} ({len(images)} images)")


def parser() -> argparse.ArgumentParser:
    """The course's flags, and what is added to them."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("-i", "--data_dir", type=Path, default=Path("data"), metavar="DIR")
    options.add_argument("-b", "--batch_size", type=positive, default=32, metavar="N")
    options.add_argument("-m", "--mode", choices=MODES, default="validation")
    options.add_argument("--model", default=DEFAULT, help="run directory, checkpoint or name")
    options.add_argument(
        "--output", type=Path, default=Path("test_predictions.csv"), help="where predictions go"
    )
    return options


if __name__ == "__main__":
    sys.exit(main())
