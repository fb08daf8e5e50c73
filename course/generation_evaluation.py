"""Generates 100 images, 25 of each class, and prints their FID against the test images.

    python course/generation_evaluation.py -r data/test

The score is the course's: 192 features, images of 32x32 pixels against the test folder at 64x64.
Real training images reduced to 32x32 do not score 0 under it but about 33; that floor is
printed beside the score, because only the distance to it says anything.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from course_data import find_course_data, positive, require_course_classes, run
from torch import Tensor

import pixelbayes
from pixelbayes.data import DatasetError, Resize, find_images, read_images, write_png
from pixelbayes.evaluation.features import FIDInception
from pixelbayes.evaluation.fid import CourseProtocol, Features, score
from pixelbayes.models import Model
from pixelbayes.models.hub import DENSITY
from pixelbayes.workflows.generate import generate
from pixelbayes.workflows.loading import load_data_for
from pixelbayes.workflows.outputs import Kind, filling, require_free
from pixelbayes.workflows.samples import Samples

PROTOCOL = CourseProtocol()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the script and returns its exit status."""
    return run(evaluate, argv)


def evaluate(argv: Sequence[str] | None) -> None:
    """Generates images, writes them and scores them."""
    options = parser().parse_args(argv)
    model = pixelbayes.load(options.model)
    require_free(options.output, Kind.COURSE_SAMPLES, overwrite=True)
    test, tables = reference_folder(options.ref_data_dir)
    reference, _, _ = read_images(
        find_images(test).images,
        channels=model.channels,
        resize=Resize(size=PROTOCOL.reference_size),
    )
    real = None if tables is None else floor_images(model, tables, options.seed)
    samples = generate(
        model, count=PROTOCOL.per_class, seed=options.seed, batch_size=options.batch_size
    )
    write_images(samples, model, options.output)
    print(f"written: {len(samples.levels)} images in {options.output}")
    features = Features(FIDInception.load(options.fid_weights))
    for result in score(
        PROTOCOL, features, generated=samples.levels, reference=reference, real=real
    ):
        print(result)
    if real is None:
        print(f"no floor: there is no train.csv beside {test}")


def parser() -> argparse.ArgumentParser:
    """The course's flags, and what is added to them."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument(
        "-r", "--ref_data_dir", type=Path, default=Path("data/test"), metavar="DIR"
    )
    options.add_argument("-b", "--batch_size", type=positive, default=None, metavar="N")
    options.add_argument("--model", default=DENSITY, help="run directory, checkpoint or name")
    options.add_argument("--seed", type=int, default=0, help="of the images")
    options.add_argument("--output", type=Path, default=Path("samples"), help="where images go")
    options.add_argument("--fid_weights", type=Path, help="path of default_1.pt")
    return options


def write_images(samples: Samples, model: Model, folder: Path) -> None:
    """Writes one PNG for each image and nothing else: a scorer may read the whole folder.

    Those of an earlier call are replaced; `require_free` has seen that there is nothing else.
    """
    earlier = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    with filling(folder, replaced=earlier) as place:
        for number, (levels, label) in enumerate(
            zip(samples.levels, samples.labels.tolist(), strict=True)
        ):
            name = model.classes[label].replace(" ", "_")
            write_png(levels, place / f"{name}-{number % PROTOCOL.per_class + 1:02}.png")


def reference_folder(named: Path) -> tuple[Path, Path | None]:
    """Finds the test images, and the folder with train.csv that belongs to them.

    Args:
        named: The folder of test images, or that of the course data.

    Returns:
        Both folders; None where there is no train.csv.

    Raises:
        FileNotFoundError: If the folder does not exist.
    """
    if not named.is_dir():
        raise FileNotFoundError(
            f"no folder {named}; pass the folder of reference images with -r, such as data/test"
        )
    for place in (named, named.parent):
        try:
            tables = find_course_data(place)
        except FileNotFoundError:
            continue
        if place is named:
            return tables / "test", tables
        return named, tables
    return named, None


def floor_images(model: Model, tables: Path, seed: int) -> Tensor:
    """Training images as the model sees them, 25 of each class, uint8 (100, C, H, W).

    Raises:
        DatasetError: If a class has too few.
    """
    dataset = load_data_for(model, "cpen455", data_dir=tables)
    require_course_classes(model, dataset)
    train = dataset.split("train")
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label, name in enumerate(model.classes):
        positions = (train.labels == label).nonzero()[:, 0]
        if len(positions) < PROTOCOL.per_class:
            raise DatasetError(
                f"the floor takes {PROTOCOL.per_class} training images of each class, {name} has "
                f"{len(positions)}"
            )
        chosen.append(positions[torch.randperm(len(positions), generator=generator)])
    picked = torch.cat([positions[: PROTOCOL.per_class] for positions in chosen])
    return train.levels[picked]


if __name__ == "__main__":
    sys.exit(main())
