"""Generated images as files: one PNG each, a grid, and an index that says what they are.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.data import grid, write_png
from pixelbayes.io import write_json
from pixelbayes.models import Model
from pixelbayes.workflows.outputs import (
    GRID,
    INDEX,
    Kind,
    filling,
    listed_in,
    require_free,
)

__all__ = ["Samples", "save_samples"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Generated images and what they are."""

    levels: Tensor
    """uint8 (N, C, H, W), on the CPU."""
    labels: Tensor
    """int64 (N,): the class each was drawn from."""
    log_prob: Tensor
    """log p(x | y), (N,), float64, nats per image."""
    seed: int
    source: str | None = None
    """The file that was completed; None where all was drawn."""
    known: Tensor | None = None
    """bool (H, W): the pixels of the file that were kept."""
    candidates: int = 1
    """Draws that each image was chosen from, by the likelihood of known pixels after it."""


def save_samples(
    samples: Samples,
    model: Model,
    folder: str | Path,
    *,
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
) -> list[Path]:
    """Writes one PNG for each image, a grid with a row for each class, and `samples.json`.

    If anything fails, earlier samples of the folder stay whole.

    Args:
        samples: From `generate`.
        model: The model that drew them.
        folder: Made if missing.
        overwrite: Replaces samples that the folder holds; other files in it stay.
        inputs: Files that were read, which are not replaced.

    Returns:
        The image files, in the order of the samples.

    Raises:
        OutputExistsError: If the folder is not empty, unless `overwrite` is given and these are
            samples of this program.
        OSError: If they cannot be written; it names the folder.
    """
    folder = Path(folder)
    require_free(folder, Kind.SAMPLES, overwrite=overwrite, inputs=inputs)
    names = _file_names(model.classes)
    numbers: Counter[int] = Counter()
    files, entries = [], []
    code_length = bits_per_dim(samples.log_prob, model.dims or 1)
    for i, label in enumerate(samples.labels.tolist()):
        numbers[label] += 1
        files.append(f"{names[label]}-{numbers[label]:04}.png")
        entries.append(
            {
                "file": files[-1],
                "class": model.classes[label],
                "index": label,
                "log_likelihood": float(samples.log_prob[i]),
                "bits_per_dim": float(code_length[i]),
            }
        )
    description: dict[str, Any] = {
        "seed": samples.seed,
        "completed": samples.source,
        "pixels_kept": 0 if samples.known is None else int(samples.known.sum()),
        "candidates": samples.candidates,
        "unit": {"log_likelihood": "nats per image", "bits_per_dim": "bits per dimension"},
        "samples": entries,
    }
    with filling(folder, replaced=[*listed_in(folder), GRID, INDEX]) as place:
        for name, levels in zip(files, samples.levels, strict=True):
            write_png(levels, place / name)
        write_png(grid(samples.levels, columns=max(numbers.values())), place / GRID)
        write_json(place / INDEX, description)
    return [folder / name for name in files]


def _file_names(classes: Sequence[str]) -> list[str]:
    """A file name for each class; where two would be alike, both get their index.

    >>> _file_names(["koala", "a/b", "a b"])
    ['koala', 'a_b.1', 'a_b.2']
    """
    plain = [re.sub(r"[^\w.-]+", "_", name).strip(".") or "class" for name in classes]
    # Some file systems do not distinguish upper and lower case.
    often = Counter(name.lower() for name in plain)
    return [
        f"{name}.{index}" if often[name.lower()] > 1 else name for index, name in enumerate(plain)
    ]
