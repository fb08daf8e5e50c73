"""metrics.csv: one row per epoch, what a run's curves are drawn from."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelbayes.errors import PixelBayesError
from pixelbayes.io import write_whole

if TYPE_CHECKING:
    from pixelbayes.models import TrainedNetwork

__all__ = [
    "BITS_PER_DIM",
    "COLUMNS",
    "LOG_LOSS",
    "Criterion",
    "Row",
    "best_epoch",
    "columns",
    "criterion_of",
    "read_metrics",
    "write_metrics",
]


@dataclass(frozen=True)
class Criterion:
    """What a run is judged by, measured on training images and on validation images.

    >>> BITS_PER_DIM.val
    'val/bits_per_dim'
    """

    name: str
    """As in the names of columns."""
    words: str
    """As in a sentence."""
    unit: str
    """What follows a number."""
    by: str | None = None
    """What decides which epoch is best, as in the names of columns; None: this number itself."""

    @property
    def train(self) -> str:
        """The column of the training images."""
        return f"train/{self.name}"

    @property
    def val(self) -> str:
        """The column of the validation images."""
        return f"val/{self.name}"

    @property
    def decisive(self) -> str:
        """The column that decides which epoch is best."""
        return self.val if self.by is None else f"val/{self.by}"


BITS_PER_DIM = Criterion("bits_per_dim", "bits/dim", "bits/dim")
HYBRID = Criterion("bits_per_dim", "bits/dim", "bits/dim", by="loss")
LOG_LOSS = Criterion("log_loss", "log-loss", "nats")


def criterion_of(kind: type[TrainedNetwork[Any]] | None, objective: str = "") -> Criterion:
    """What a training is judged by.

    Bits/dim of a density, of a hybrid with the loss that it minimises beside it; else, also where
    nothing is trained, the log-loss.
    """
    if kind is None or not kind.is_density:
        return LOG_LOSS
    return HYBRID if objective == "hybrid" else BITS_PER_DIM


def best_epoch(curves: Mapping[str, Sequence[float | None]], criterion: Criterion) -> int:
    """The first epoch with the lowest decisive value, counted from 1; 0 where there is none.

    Hybrids of versions that did not measure their loss were judged by bits/dim.

    >>> best_epoch({"epoch": [1, 2, 3], "val/log_loss": [0.9, None, 0.4]}, LOG_LOSS)
    3
    """
    for column in (criterion.decisive, criterion.val):
        measured = [
            (value, int(epoch or 0))
            for value, epoch in zip(curves[column], curves["epoch"], strict=True)
            if value is not None
        ]
        if measured:
            return min(measured)[1]
    return 0


def columns(criterion: Criterion) -> tuple[str, ...]:
    """Names of the columns of metrics.csv, in their order."""
    return (
        "epoch",  # epochs done, so the first row says 1
        "step",  # optimiser steps done
        criterion.train,  # as the weights went by, with dropout and augmentation
        criterion.val,
        "train/accuracy",  # share of the fixed subset, 0..1; empty where not measured
        "val/accuracy",
        "lr",  # of the epoch's last step
        "images_per_s",  # training images per second, without the validation
        "seconds",  # of the epoch, with the validation
        "train/loss",  # of a hybrid, what is minimised: bits/dim and a share of the next column
        "train/cross_entropy",  # of a hybrid, nats per image at its temperature
        # of a hybrid, where accuracy is measured: as train/loss, at full strength
        *(() if criterion.by is None else (criterion.decisive,)),
    )


COLUMNS = columns(BITS_PER_DIM)
COUNTS = ("epoch", "step")

Row = dict[str, float | None]
"""By column; None where nothing was measured."""


def read_metrics(path: Path) -> list[Row]:
    """Reads what `write_metrics` wrote, number for number; no file is an empty table.

    Raises:
        ValueError: If the file is not such a table, whole and of epochs 1, 2, 3, ...
    """
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        rows = [
            {name: _number(name, cell) for name, cell in row.items()}
            for row in csv.DictReader(text.splitlines(), strict=True)
        ]
    except (TypeError, ValueError, csv.Error) as error:
        raise PixelBayesError(f"{path} is not a table of numbers: {error}") from error
    epochs = [row.get("epoch") for row in rows]
    if epochs != list(range(1, len(rows) + 1)) or not text.endswith("\n"):
        raise PixelBayesError(
            f"{path} is damaged: its {len(rows)} rows are not those of epochs 1, 2, 3 and so on, "
            "each whole; restore it from a copy"
        )
    return rows


def write_metrics(path: Path, rows: Sequence[Row], names: Sequence[str] = COLUMNS) -> None:
    """Writes the columns `names` of the whole table, which appears at once or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _text(name, row.get(name)) for name in names})
    write_whole(path, text.getvalue())


def _text(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if name in COUNTS else repr(float(value))


def _number(name: str, text: str) -> float | None:
    if text == "":
        return None
    return int(text) if name in COUNTS else float(text)
