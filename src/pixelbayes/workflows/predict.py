"""Predict: which class does each image file belong to, and how sure is that?

Files are read and classified in chunks, so that thousands of them need no more memory than
one chunk.  Every file is decoded once before the first prediction, unless unreadable ones are
to be skipped: a mistake in the last file must not cost the time of all the others, nor leave
half a table.

Units: log-probabilities in nats per image.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import torch

from pixelbayes.data import BadFile, DatasetError, ImageFileError, find_images
from pixelbayes.data.errors import enumerate_offenders
from pixelbayes.data.files import bad_files_error
from pixelbayes.data.inputs import Conversions, ImageBatch, image_levels
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.memory import freed_memory_kept
from pixelbayes.io import SURROGATE
from pixelbayes.models import Model, Prediction
from pixelbayes.models.prediction import predictions

__all__ = ["UNIFORM", "Inputs", "columns", "find_inputs", "predict", "write_csv"]

CHUNK = 256  # images decoded at a time: less than a megabyte at 32 x 32
DIGITS = 9  # significant digits of a number in the table: more than float32 carries
PATH_COLUMN = "path"
UNIFORM = 8.0  # bits/dim of a model that finds all levels of a channel equally likely


@dataclass(frozen=True)
class Inputs:
    """The files that a user's paths stand for."""

    images: tuple[Path, ...]
    """Files to classify, in the order given; those of a folder sorted."""
    others: tuple[Path, ...] = ()
    """What was found in folders and is not used: no images, hidden, or made by a system."""


def find_inputs(paths: Sequence[str | Path]) -> Inputs:
    """Expands folders and tables to image files.

    Args:
        paths: Image files, folders (searched with their sub-folders), and CSV files with a
            column `path`, or else with paths in the first column, relative to the table.

    Raises:
        DatasetError: If a path does not exist or is of another kind, or there is no image.
    """
    images: list[Path] = []
    others: list[Path] = []
    for path in map(Path, paths):
        if path.suffix.lower() == ".csv" and path.is_file():
            images += _listed(path)
        else:
            found = find_images(path)
            images += found.images
            others += [file.path for file in found.left_out]
    if not images:
        raise DatasetError(f"no images in {', '.join(map(str, paths))}")
    return Inputs(tuple(images), tuple(others))


def predict(
    model: Model,
    paths: Sequence[str | Path],
    *,
    temperature: float | None = None,
    skip_bad: bool = False,
    on_bad: Callable[[BadFile], None] | None = None,
    on_read: Callable[[Conversions], None] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    chunk: int = CHUNK,
) -> Iterator[Prediction]:
    """Classifies image files, one prediction for each in the order given.

    What can be wrong is found out in the call; the predictions are made as they are asked for.

    Args:
        model: The trained model.
        paths: Image files.
        temperature: Divides the log-likelihoods in Bayes' rule; None takes the model's, which
            an evaluation fits on validation data.
        skip_bad: Leaves out files that cannot be read, instead of raising an error.
        on_bad: Called with each file that is left out.
        on_read: Called with what was done to each image so that the model can see it.
        progress: Called with what is being done and the numbers of files done and in all.
        chunk: Images that are read before they are classified together.

    Raises:
        DatasetError: If files cannot be read and `skip_bad` is off, or none can be read: one error
            for all of them.
        ValueError: If the temperature or the chunk is not positive.
    """
    if chunk < 1:
        raise PixelBayesError(f"chunk is a number of images above 0, got {chunk}")
    if temperature is not None:
        model = model.with_temperature(temperature)
    files = [Path(path) for path in paths]
    if not skip_bad:
        _check(model, files, progress)
    return _classify(model, files, skip_bad, on_bad, on_read, progress, chunk)


def columns(classes: Sequence[str]) -> list[str]:
    """Header of the table of predictions.

    >>> columns(["cat", "dog"])[:5]
    ['path', 'class', 'index', 'bits_per_dim', 'log_posterior[cat]']
    """
    return [
        PATH_COLUMN,
        "class",
        "index",
        "bits_per_dim",
        *(f"log_posterior[{name}]" for name in classes),
        *(f"log_likelihood[{name}]" for name in classes),
    ]


def write_csv(predictions: Iterable[Prediction], classes: Sequence[str], file: TextIO) -> int:
    """Writes predictions as CSV with a header, each row as soon as it is known.

    Nothing is written before the first prediction is made.

    Args:
        predictions: From `predict`.
        classes: Class names of the model.
        file: A text file opened with newline="".

    Returns:
        The number of rows.
    """
    writer = csv.writer(file, lineterminator="\n")
    rows = 0
    for rows, row in enumerate(predictions, start=1):
        if rows == 1:
            writer.writerow(columns(classes))
        by_class = (*row.log_probabilities.values(), *row.log_likelihoods.values())
        numbers = (row.bits_per_dim, *by_class)
        texts = ["" if number is None else f"{number:.{DIGITS}g}" for number in numbers]
        writer.writerow([row.source, row.label, row.index, *texts])
    if not rows:
        writer.writerow(columns(classes))
    return rows


def _read(model: Model, path: Path) -> ImageBatch:
    if path.is_dir():  # a table may list one
        raise ImageFileError(path, "a folder, not an image file")
    return image_levels(path, channels=model.channels, resize=model.resize)


def _check(
    model: Model, paths: Sequence[Path], progress: Callable[[str, int, int], None] | None
) -> None:
    bad = []
    for done, path in enumerate(paths, start=1):
        try:
            _read(model, path)
        except ImageFileError as error:
            bad.append(BadFile(error.path, error.reason))
        if progress is not None:
            progress("checking", done, len(paths))
    if bad:
        raise bad_files_error(bad)


def _classify(
    model: Model,
    files: Sequence[Path],
    skip_bad: bool,
    on_bad: Callable[[BadFile], None] | None,
    on_read: Callable[[Conversions], None] | None,
    progress: Callable[[str, int, int], None] | None,
    chunk: int,
) -> Iterator[Prediction]:
    bad: list[BadFile] = []
    with freed_memory_kept():
        for start in range(0, len(files), chunk):
            some, levels = [], []
            for path in files[start : start + chunk]:
                try:
                    read = _read(model, path)
                    levels.append(read.levels)
                    some.append(path)
                    if on_read is not None:
                        on_read(read.conversions)
                except ImageFileError as error:
                    if not skip_bad:  # it was readable a moment ago
                        raise
                    bad.append(BadFile(error.path, error.reason))
                    if on_bad is not None:
                        on_bad(bad[-1])
            if some:
                log_likelihood = model.log_likelihoods(torch.cat(levels))
                yield from predictions(model, log_likelihood, [str(path) for path in some])
            if progress is not None:
                progress("classifying", min(start + chunk, len(files)), len(files))
    if files and len(bad) == len(files):
        raise DatasetError(
            f"nothing to classify, none of the files can be read: {enumerate_offenders(bad)}"
        )


def _listed(table: Path) -> list[Path]:
    """The files that a table names, relative to it.

    Those of a table of predictions are as they were given to `predict`: relative to the working
    folder, unless they lie beside the table.
    """
    try:
        # -sig: spreadsheets add a mark; surrogateescape: as predictions are written
        with table.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = [row for row in csv.reader(file, strict=True) if any(map(str.strip, row))]
    except OSError as error:
        raise DatasetError(f"{table} cannot be opened: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{table} is not a CSV file in UTF-8: {error}") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = header.index(PATH_COLUMN) if PATH_COLUMN in header else 0
    if PATH_COLUMN in header:
        rows = rows[1:]
    short = [str(number) for number, row in enumerate(rows, start=1) if len(row) <= column]
    if short:
        raise DatasetError(f"{table}: rows without a path: {', '.join(short[:10])}")
    if header[:4] == columns([])[:4]:
        given = [(table.parent / row[column], Path(row[column])) for row in rows]
        return [beside if beside.exists() else here for beside, here in given]
    files = [table.parent / row[column].strip() for row in rows]
    for path in files:
        if SURROGATE.search(str(path)) and not path.exists():
            raise DatasetError(
                f"{table} is not a CSV file in UTF-8, and there is no file {str(path)!r}"
            )
    return files
