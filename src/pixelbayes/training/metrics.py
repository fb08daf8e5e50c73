"""metrics.csv: one row per epoch, what a run's curves are drawn from."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelbayes.io import replacing

__all__ = [
    "BITS_PER_DIM",
    "COLUMNS",
    "LOG_LOSS",
    "Objective",
    "Row",
    "columns",
    "read_metrics",
    "write_metrics",
]


@dataclass(frozen=True)
class Objective:
    """What a training minimises, measured on training images and on validation images.

    >>> BITS_PER_DIM.val
    'val/bits_per_dim'
    """

    name: str
    """As in the names of columns."""
    words: str
    """As in a sentence."""
    unit: str
    """What follows a number."""

    @property
    def train(self) -> str:
        """The column of the training images."""
        return f"train/{self.name}"

    @property
    def val(self) -> str:
        """The column of the validation images, which decides which epoch is best."""
        return f"val/{self.name}"


BITS_PER_DIM = Objective("bits_per_dim", "bits/dim", "bits/dim")
LOG_LOSS = Objective("log_loss", "log-loss", "nats")


def columns(objective: Objective) -> tuple[str, ...]:
    """Names of the columns of metrics.csv, in their order."""
    return (
        "epoch",  # epochs done, so the first row says 1
        "step",  # optimiser steps done
        objective.train,  # as the weights went by, with dropout and augmentation
        objective.val,
        "train/accuracy",  # share of the fixed subset, 0..1; empty where not measured
        "val/accuracy",
        "lr",  # of the epoch's last step
        "images_per_s",  # training images per second, without the validation
        "seconds",  # of the epoch, with the validation
    )


COLUMNS = columns(BITS_PER_DIM)
COUNTS = ("epoch", "step")

Row = dict[str, float | None]
"""By column; None where nothing was measured."""


def read_metrics(path: Path) -> list[Row]:
    """Reads what `write_metrics` wrote, number for number; no file is an empty table.

    Raises:
        ValueError: If the file is not such a table.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        try:
            return [
                {name: _number(name, text) for name, text in row.items()}
                for row in csv.DictReader(file, strict=True)
            ]
        except (TypeError, ValueError, csv.Error) as error:
            raise ValueError(f"{path} is not a table of numbers: {error}") from error


def write_metrics(path: Path, rows: Sequence[Row], names: Sequence[str] = COLUMNS) -> None:
    """Writes the columns `names` of the whole table, which appears at once or not at all."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _text(name, row.get(name)) for name in names})


def _text(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if name in COUNTS else repr(float(value))


def _number(name: str, text: str) -> float | None:
    if text == "":
        return None
    return int(text) if name in COUNTS else float(text)
