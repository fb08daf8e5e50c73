"""Generated images as files: one PNG each, a grid, and an index that says what they are.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pixelbayes.core import bits_per_dim
from pixelbayes.data import grid, write_png
from pixelbayes.errors import PixelBayesError
from pixelbayes.io import write_whole
from pixelbayes.models import Model

__all__ = ["OutputExistsError", "Samples", "check_output", "save_samples"]

INDEX, GRID = "samples.json", "grid.png"


class OutputExistsError(PixelBayesError):
    """The folder to write to holds files already."""


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
    samples: Samples, model: Model, folder: str | Path, *, overwrite: bool = False
) -> list[Path]:
    """Writes one PNG for each image, a grid with a row for each class, and `samples.json`.

    Args:
        samples: From `generate`.
        model: The model that drew them.
        folder: Made if missing.
        overwrite: Replaces samples that the folder holds; other files in it stay.

    Returns:
        The image files, in the order of the samples.

    Raises:
        OutputExistsError: If the folder is not empty, unless `overwrite` is given.
    """
    folder = Path(folder)
    check_output(folder, overwrite=overwrite)
    _remove_earlier(folder)
    names = _file_names(model.classes)
    numbers: Counter[int] = Counter()
    paths, entries = [], []
    code_length = bits_per_dim(samples.log_prob, model.dims or 1)
    for i, label in enumerate(samples.labels.tolist()):
        numbers[label] += 1
        path = folder / f"{names[label]}-{numbers[label]:04}.png"
        write_png(samples.levels[i], path)
        paths.append(path)
        entries.append(
            {
                "file": path.name,
                "class": model.classes[label],
                "index": label,
                "log_likelihood": float(samples.log_prob[i]),
                "bits_per_dim": float(code_length[i]),
            }
        )
    write_png(grid(samples.levels, columns=max(numbers.values())), folder / GRID)
    description: dict[str, Any] = {
        "seed": samples.seed,
        "completed": samples.source,
        "pixels_kept": 0 if samples.known is None else int(samples.known.sum()),
        "candidates": samples.candidates,
        "unit": {"log_likelihood": "nats per image", "bits_per_dim": "bits per dimension"},
        "samples": entries,
    }
    text = json.dumps(description, indent=2, ensure_ascii=False)
    write_whole(folder / INDEX, text + "\n")
    return paths


def check_output(folder: Path, *, overwrite: bool) -> None:
    """Makes sure that samples can be written, before they cost time.

    Raises:
        OutputExistsError: If it is not a folder or not empty, unless `overwrite` is given.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file; give a folder with --output")
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise OutputExistsError(
            f"{folder} is not empty; choose another --output, or pass --overwrite to replace the "
            "samples in it"
        )


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


def _remove_earlier(folder: Path) -> None:
    """Removes the samples that `samples.json` lists: a smaller set must not mix with them."""
    try:
        entries = json.loads((folder / INDEX).read_text("utf-8"))["samples"]
        files = [str(entry["file"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return
    (folder / INDEX).unlink()
    for name in files:
        if Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
