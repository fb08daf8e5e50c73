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

from pixelbayes.core import bits_per_dim
from pixelbayes.data import BadFile, DatasetError, ImageFileError, find_images, read_image
from pixelbayes.data.files import bad_files_error
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference import class_posterior
from pixelbayes.inference.memory import freed_memory_kept
from pixelbayes.models import Model

__all__ = ["Inputs", "Prediction", "columns", "find_inputs", "predict", "write_csv"]

CHUNK = 256  # images decoded at a time: less than a megabyte at 32 x 32
DIGITS = 9  # significant digits of a number in the table: more than float32 carries
PATH_COLUMN = "path"


@dataclass(frozen=True)
class Inputs:
    """The files that a user's paths stand for."""

    images: tuple[Path, ...]
    """Files to classify, in the order given; those of a folder sorted."""
    others: tuple[Path, ...] = ()
    """What was found in folders and is not used: no images, hidden, or made by a system."""


@dataclass(frozen=True)
class Prediction:
    """What the model says about one image."""

    path: Path
    index: int
    """Index of the most probable class."""
    name: str
    """Its name."""
    log_posterior: tuple[float, ...]
    """log p(y | x) of each class, nats."""
    log_likelihood: tuple[float, ...]
    """log p(x | y) of each class, nats per image; the temperature does not touch it."""
    bits_per_dim: float | None
    """Code length of the image under p(x), the mixture of all classes by their prior; None where
    the model is no density."""


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
        progress: Called with what is being done and the numbers of files done and in all.
        chunk: Images that are read before they are classified together.

    Raises:
        DatasetError: If files cannot be read and `skip_bad` is off: one error for all of them.
        ValueError: If the temperature or the chunk is not positive.
    """
    if chunk < 1:
        raise PixelBayesError(f"chunk is a number of images above 0, got {chunk}")
    if temperature is not None:
        model = model.with_temperature(temperature)
    files = [Path(path) for path in paths]
    if not skip_bad:
        _check(model, files, progress)
    return _classify(model, files, skip_bad, on_bad, progress, chunk)


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

    Args:
        predictions: From `predict`.
        classes: Class names of the model.
        file: A text file opened with newline="".

    Returns:
        The number of rows.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns(classes))
    rows = 0
    for rows, row in enumerate(predictions, start=1):  # noqa: B007
        numbers = (row.bits_per_dim, *row.log_posterior, *row.log_likelihood)
        texts = ["" if number is None else f"{number:.{DIGITS}g}" for number in numbers]
        writer.writerow([row.path, row.name, row.index, *texts])
    return rows


def _read(model: Model, path: Path) -> torch.Tensor:
    return read_image(path, channels=model.channels, resize=model.resize)


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
    progress: Callable[[str, int, int], None] | None,
    chunk: int,
) -> Iterator[Prediction]:
    with freed_memory_kept():
        for start in range(0, len(files), chunk):
            some, levels = [], []
            for path in files[start : start + chunk]:
                try:
                    levels.append(_read(model, path))
                    some.append(path)
                except ImageFileError as error:
                    if not skip_bad:  # it was readable a moment ago
                        raise
                    if on_bad is not None:
                        on_bad(BadFile(error.path, error.reason))
            if some:
                log_likelihood = model.log_likelihoods(torch.stack(levels))
                yield from _predictions(model, some, log_likelihood)
            if progress is not None:
                progress("classifying", min(start + chunk, len(files)), len(files))


def _predictions(
    model: Model, paths: Sequence[Path], log_likelihood: torch.Tensor
) -> Iterator[Prediction]:
    log_posterior = class_posterior(log_likelihood, model.log_prior, model.temperature)
    marginal = torch.logsumexp(log_likelihood + model.log_prior, dim=1)
    code_length = None if model.dims is None else bits_per_dim(marginal, model.dims)
    for row, path in enumerate(paths):
        index = int(log_posterior[row].argmax())
        yield Prediction(
            path=path,
            index=index,
            name=model.classes[index],
            log_posterior=tuple(log_posterior[row].tolist()),
            log_likelihood=tuple(log_likelihood[row].tolist()),
            bits_per_dim=None if code_length is None else float(code_length[row]),
        )


def _listed(table: Path) -> list[Path]:
    """The files that a table names, relative to it."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # -sig: spreadsheets add a mark
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
    return [table.parent / row[column].strip() for row in rows]
