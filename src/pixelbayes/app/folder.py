"""The tab Folder: many images in, a table out.

Where labels are known, from a table among the files or from their names, the most doubtful come
first: those to which the model gives the least probability (self-confidence, as in
`pixelbayes.evaluation.label_quality`).
"""

from __future__ import annotations

import base64
import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.app.limits import Limits, Photo, read_photo
from pixelbayes.app.markup import render
from pixelbayes.data import DatasetError
from pixelbayes.data.sources.tables import read_cells
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import Model
from pixelbayes.models.prediction import predictions

__all__ = ["Row", "classify_folder", "folder_csv", "folder_html", "given_labels"]

CHUNK = 16  # images classified together: the table grows as one looks
COLUMNS = (
    "file",
    "class",
    "confidence",
    "bits_per_dim",
    "unlike_training",
    "label",
    "p_label",
    "note",
)


@dataclass(frozen=True, eq=False)
class Row:
    """One file of a folder."""

    name: str
    levels: Tensor | None = None
    """uint8 (C, H, W); None where the file cannot be read."""
    answer: str = ""
    confidence: float = math.nan
    bits: float | None = None
    """Code length under p(x), bits/dim; None where the model is no density."""
    unlike: bool | None = None
    """Whether it is unlike the training data; None where nobody has calibrated that."""
    label: str | None = None
    """What it is said to be."""
    label_probability: float | None = None
    """The probability that the model gives to that."""
    reason: str | None = None
    """Why it cannot be read."""

    @property
    def disagrees(self) -> bool:
        """Whether the model says something else than the label."""
        return self.label is not None and self.reason is None and self.label != self.answer


def given_labels(files: Sequence[Path], classes: Sequence[str], by_name: bool) -> dict[str, str]:
    """What is known of the classes of some files.

    Args:
        files: Uploads; a CSV file among them has rows of a file's name and its class.
        classes: Class names of the model.
        by_name: Whether a class name in a file's name, such as koala-12.jpg, is its label.

    Raises:
        PixelBayesError: If a table cannot be read, names no class of the model, or has a label for
            files that have one name or two labels for one name.
    """
    times = Counter(file.name for file in files)
    labels: dict[str, str] = {}
    if by_name:
        for file in files:
            words = _words(file.stem)
            found = [name for name in classes if f" {_words(name).strip()} " in words]
            if len(found) == 1:
                labels[file.name] = found[0]
    for table in (file for file in files if file.suffix.lower() == ".csv"):
        listed = _listed(table, classes, times)
        if not times.keys() & listed.keys():
            raise PixelBayesError(
                f"{table.name}: none of its {len(listed)} names is that of a file here, such as "
                f"{next((name for name in times if name != table.name), 'photo.jpg')}; a row is a "
                "file's name, with its ending, and a class"
            )
        for name in (name for name in listed if times[name] > 1):
            raise PixelBayesError(
                f"{table.name}: {times[name]} files are called {name}, and a row cannot tell them "
                "apart here; give each a name of its own"
            )
        labels |= listed
    return labels


def classify_folder(
    model: Model,
    files: Sequence[Path],
    limits: Limits,
    labels: Mapping[str, str],
    progress: Callable[[tuple[int, int]], None],
) -> list[Row]:
    """Classifies files; one that cannot be read gets a row with the reason.

    Args:
        model: Any.
        files: Uploads; tables among them are left out.
        limits: What is accepted.
        labels: What is known, by name of the file.
        progress: Called with the numbers of files done and in all; may raise to end the work.

    Returns:
        Most doubtful labels first where there are labels, else the least confident first; what
        cannot be read is last.

    Raises:
        PixelBayesError: If there is no image, or too many.
    """
    images = [file for file in files if file.suffix.lower() != ".csv"]
    if not images:
        raise PixelBayesError("there is no image among these files; choose some")
    if len(images) > limits.files:
        raise PixelBayesError(
            f"these are {len(images)} files; this page takes up to {limits.files} at a time, and "
            "'pixelbayes predict FOLDER' any number"
        )
    rows: list[Row] = []
    for start in range(0, len(images), CHUNK):
        photos: list[Photo] = []
        for file in images[start : start + CHUNK]:
            try:
                photos.append(read_photo(file, model, limits))
            except PixelBayesError as error:
                reason = str(error).removeprefix(f"{file.name}: ")
                rows.append(Row(file.name, reason=reason, label=labels.get(file.name)))
        rows += _classified(model, photos, labels)
        progress((min(start + CHUNK, len(images)), len(images)))
    return sorted(rows, key=_doubt)


def folder_html(rows: Sequence[Row], *, exact: bool = True) -> str:
    """The table, sorted by any column on request, with a link that saves it.

    Args:
        rows: From `classify_folder`.
        exact: Whether code lengths are exact, and not bounds.
    """
    labelled = [row for row in rows if row.label is not None and row.reason is None]
    encoded = base64.b64encode(folder_csv(rows).encode()).decode()
    return render(
        "folder.html.jinja",
        rows=rows,
        exact=exact,
        labelled=len(labelled),
        agreeing=sum(not row.disagrees for row in labelled),
        unreadable=sum(row.reason is not None for row in rows),
        unlike=sum(row.unlike is True for row in rows),
        knows_unlike=any(row.unlike is not None for row in rows),
        is_density=any(row.bits is not None for row in rows),
        csv=f"data:text/csv;charset=utf-8;base64,{encoded}",
    )


def folder_csv(rows: Sequence[Row]) -> str:
    """The table as CSV with a header."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        unlike = {None: "", True: "yes", False: "no"}[row.unlike]
        numbers = (row.confidence, row.bits, row.label_probability)
        confidence, bits, label_probability = (
            "" if number is None or math.isnan(number) else f"{number:.6g}" for number in numbers
        )
        writer.writerow(
            [
                row.name,
                row.answer,
                confidence,
                bits,
                unlike,
                row.label or "",
                label_probability,
                row.reason or "",
            ]
        )
    return file.getvalue()


def _classified(model: Model, photos: Sequence[Photo], labels: Mapping[str, str]) -> list[Row]:
    if not photos:
        return []
    levels = torch.stack([photo.levels for photo in photos])
    table = model.log_likelihoods(levels)
    rows = []
    for photo, said in zip(
        photos, predictions(model, table, levels, [photo.name for photo in photos]), strict=True
    ):
        label = labels.get(photo.name)
        rows.append(
            Row(
                photo.name,
                photo.levels,
                said.label,
                said.confidence,
                said.bits_per_dim,
                said.unlike_training,
                label,
                None if label is None else said.probabilities[label],
            )
        )
    return rows


def _doubt(row: Row) -> tuple[int, float]:
    if row.reason is not None:
        return 2, 0.0
    if row.label_probability is not None:
        return 0, row.label_probability
    return 1, row.confidence


def _words(text: str) -> str:
    """The words of a name in lower case, between blanks."""
    words = re.findall(r"[^\W_]+", text.lower())
    return f" {' '.join(words)} "


def _listed(table: Path, classes: Sequence[str], files: Mapping[str, int]) -> dict[str, str]:
    try:
        rows = read_cells(table)
    except DatasetError as error:
        raise PixelBayesError(str(error).replace(str(table), table.name)) from error
    labels: dict[str, str] = {}
    for number, row in rows:
        name, label = (row[0].strip(), row[1].strip()) if len(row) > 1 else (row[0], "")
        name = re.split(r"[\\/]", name)[-1]
        if label in classes:
            if labels.setdefault(name, label) != label:
                raise PixelBayesError(
                    f"{table.name}, line {number}: {name} is {label} here and {labels[name]} in an "
                    "earlier line; give each file a name and a label of its own"
                )
        elif number > rows[0][0] or name in files:  # the first may be a header
            raise PixelBayesError(
                f"{table.name}, line {number}: {label!r} is no class of this model; a line is a "
                f"file's name and one of: {', '.join(classes)}"
            )
    return labels
