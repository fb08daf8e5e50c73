"""Trains the ResNet-18 on the course images, or prints its accuracy.

    python course/resnet_18_val.py -i data -m train
    python course/resnet_18_val.py -i data -m validation

After training, and for `-m validation`, the accuracy is that of the epoch with the lowest
validation log-loss.  The labels of the test images are withheld: for `-m test` the script writes
its predictions.  A ResNet-18 is too large to ship, so it has to be trained first.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
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

from pixelbayes.data import UNLABELLED
from pixelbayes.evaluation import accuracy
from pixelbayes.models import ResNetClassifier
from pixelbayes.workflows.config import DataConfig, RunConfig, RunError
from pixelbayes.workflows.loading import load_data_for
from pixelbayes.workflows.shipped import find_shipped
from pixelbayes.workflows.train import train

EVALUATED_AT_A_TIME = 32
SETTINGS = ("tuned", "published")
"""The recipe that comes with the package, and what the published study trained all models with."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script and returns its exit status."""
    return run(evaluate, argv)


def evaluate(argv: Sequence[str] | None) -> None:
    """Trains where that is asked for, then evaluates."""
    options = parser().parse_args(argv)
    folder = find_course_data(options.data_dir)
    if options.mode == "test":
        require_predictions_free(options.output, folder)
    if options.mode == "train":
        train_resnet(options, folder)
    elif not options.model.exists():
        default = parser().get_default("model")
        place = "" if options.model == default else f" --model {shlex.quote(str(options.model))}"
        raise FileNotFoundError(
            f"no ResNet-18 in {options.model}; train it with: python {sys.argv[0]} "
            f"-i {shlex.quote(str(options.data_dir))} -m train{place}"
        )
    classifier = ResNetClassifier.load(options.model)
    for split in ("train", "validation") if options.mode == "train" else (options.mode,):
        report(classifier, folder, split, options)


def parser() -> argparse.ArgumentParser:
    """The course's flags, and what is added to them."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("-i", "--data_dir", type=Path, default=Path("data"), metavar="DIR")
    options.add_argument(
        "-b",
        "--batch_size",
        type=positive,
        default=None,
        metavar="N",
        help="of training (default: the setting's) or of one pass (default: 32)",
    )
    options.add_argument("-m", "--mode", choices=MODES, default="validation")
    options.add_argument("--setting", choices=SETTINGS, default="tuned", help="how it is trained")
    options.add_argument("--epochs", type=positive, help="instead of the setting's")
    options.add_argument("--model", type=Path, default=Path("runs/resnet18"), help="run directory")
    options.add_argument("--resume", action="store_true", help="continue a stopped training")
    options.add_argument(
        "--output", type=Path, default=Path("test_predictions.csv"), help="where predictions go"
    )
    return options


def train_resnet(options: argparse.Namespace, folder: Path) -> None:
    """Trains in the directory of --model."""
    tuned = options.setting == "tuned"
    setting = (
        RunConfig.read(find_shipped("train", "resnet18")) if tuned else RunConfig(model="resnet18")
    )
    changes = {
        name: getattr(options, name)
        for name in ("batch_size", "epochs")
        if getattr(options, name) is not None
    }
    config = replace(
        setting,
        data=DataConfig(data="cpen455", data_dir=str(folder)),
        training=replace(setting.training, **changes),
    )
    try:
        train(config, options.model, resume=options.resume)
    except RunError as error:  # it speaks of the options of `pixelbayes train`
        reason = str(error).partition(";")[0]
        way = "" if options.resume else "continue it with --resume, or "
        raise RunError(f"{reason}; {way}choose another --model") from error


def report(
    classifier: ResNetClassifier, folder: Path, split: str, options: argparse.Namespace
) -> None:
    """Prints the accuracy on a split, and writes predictions where labels are withheld."""
    dataset = load_data_for(classifier, "cpen455", data_dir=folder)
    require_course_classes(classifier, dataset)
    images = dataset.split(split)
    size = EVALUATED_AT_A_TIME if options.batch_size is None else options.batch_size
    predicted = classify(classifier, images.levels, size)
    known = images.labels != UNLABELLED
    if known.any():
        correct = int((predicted == images.labels)[known].sum())
        print(f"{split} accuracy: {accuracy(correct, int(known.sum()))}")
    if split == "test":
        write_predictions(options.output, images, predicted.tolist())
        print(f"predictions: {options.output} ({len(images)} images)")


if __name__ == "__main__":
    sys.exit(main())
