"""What the three scripts share: where the course images are, and how mistakes are told."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.data import ImageDataset, LabelledImages
from pixelbayes.errors import PixelBayesError
from pixelbayes.io import replacing
from pixelbayes.models import Model
from pixelbayes.workflows.outputs import Kind, require_free

MODES = ("train", "validation", "test")
INSIDE = (".", "data", "cpen455")  # of the folder that a user names


def find_course_data(data_dir: Path) -> Path:
    """Returns the folder with train.csv, validation.csv, test.csv and their images.

    Args:
        data_dir: That folder, or the one that it lies in.

    Raises:
        FileNotFoundError: If there are no such tables.
    """
    for folder in (data_dir / inside for inside in INSIDE):
        if (folder / "train.csv").is_file():
            return folder
    raise FileNotFoundError(
        f"no course images in {data_dir}: expected train.csv, validation.csv and test.csv there, "
        "in its folder data or in its folder cpen455; pass the folder with -i (or -r)"
    )


def require_course_classes(model: Model, dataset: ImageDataset) -> None:
    """Makes sure that the model's classes are those of the course, in their order.

    Args:
        model: Whose answers are numbers of its own classes.
        dataset: The course images.

    Raises:
        PixelBayesError: If they are others.
    """
    if model.classes != dataset.classes:
        raise PixelBayesError(
            f"the model tells {', '.join(model.classes)} apart, the course images are of "
            f"{', '.join(dataset.classes)}, in this order; give a model of these with --model"
        )


def classify(model: Model, levels: Tensor, batch_size: int) -> Tensor:
    """Predicts the class of each image, `batch_size` of them at a time: int64, (N,)."""
    some = (model.predict_log_proba(batch) for batch in levels.split(batch_size))
    return torch.cat([log_proba.argmax(dim=1) for log_proba in some])


def require_predictions_free(path: Path, folder: Path) -> None:
    """Makes sure that predictions replace earlier ones at most, before they cost time.

    Args:
        path: Where they go.
        folder: The course data, which are never replaced.

    Raises:
        OutputExistsError: If something else is there.
    """
    tables = [folder / f"{mode}.csv" for mode in MODES]
    require_free(path, Kind.COURSE_PREDICTIONS, overwrite=True, inputs=tables)


def write_predictions(path: Path, images: LabelledImages, labels: Sequence[int]) -> None:
    """Writes path and predicted label of each image, without a header, as test.csv is."""
    encoding, errors = "utf-8", "surrogateescape"  # a file name need not be UTF-8
    with (
        replacing(path) as partial,
        partial.open("w", newline="", encoding=encoding, errors=errors) as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(zip(images.names, labels, strict=True))


def positive(text: str) -> int:
    """Reads a number of images."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def run(script: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None) -> int:
    """Runs a script; tells a mistake in one line and returns the exit status."""
    try:
        script(argv)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0
