"""Generate: images drawn from p(x | y), or completed from their first rows.

Randomness is one generator that runs through all images in order, so the result depends on
the seed and on the order of the labels, but not on how many images are drawn at a time.

Shapes: N images, C channels, H x W pixels.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pixelbayes.core import PixelCNNConfig, bits_per_dim
from pixelbayes.data import grid, read_image, write_png
from pixelbayes.inference import PixelBayes, complete, sample

__all__ = [
    "OutputExistsError",
    "Samples",
    "automatic_batch_size",
    "check_output",
    "generate",
    "save_samples",
]

MEMORY_BUDGET = 1 << 30
"""Bytes of features that are kept while one batch is drawn: fits a laptop."""
MAPS, MAPS_PER_BLOCK = 24, 24
"""Full-resolution maps of F channels that a sampler keeps for one image: the short cuts, and in
each block of a stage (12 blocks, half of them at a lower resolution) raw and activated ones."""
INDEX, GRID = "samples.json", "grid.png"


class OutputExistsError(ValueError):
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
    """The file whose first rows were kept; None where all was drawn."""
    rows: int = 0
    """How many rows were kept."""


def generate(
    model: PixelBayes,
    classes: Sequence[str | int] | None = None,
    *,
    count: int = 1,
    seed: int = 0,
    batch_size: int | None = None,
    source: str | Path | None = None,
    rows: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Samples:
    """Draws images of some classes, or completes one image file as each of them.

    Args:
        model: The trained model.
        classes: Names or indices; None: all classes.
        count: Images of each class.
        seed: The same seed draws the same images, whatever the batch size.
        batch_size: Images drawn at a time; None: as many as fit a gigabyte of features.
        source: An image file whose first rows are kept.
        rows: How many; None: half of them.
        progress: Called with what is being done and the numbers of rows done and in all.

    Raises:
        ValueError: If a class is unknown, a number is out of range, or `rows` has no `source`.
        DatasetError: If the file cannot be read.
    """
    config = model.model.config
    if count < 1:
        raise ValueError(f"--count is a number of images above 0, got {count}")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"--batch-size is a number of images above 0, got {batch_size}")
    chosen = range(len(model.classes)) if classes is None else map(model.class_index, classes)
    labels = torch.tensor([index for index in chosen for _ in range(count)], dtype=torch.int64)
    if not len(labels):
        raise ValueError(f"no class to draw; choose from: {', '.join(model.classes)}")
    given, kept = _given(model, source, rows)

    generator = torch.Generator().manual_seed(seed)
    batches = torch.split(labels, batch_size or automatic_batch_size(config))
    height = config.image_size[0] - kept
    finished = 0

    def on_row(row: int, _: Tensor) -> None:
        if progress is not None:
            progress("drawing rows", finished + row + 1 - kept, height * len(batches))

    drawn, log_prob = [], []
    for batch in batches:
        there = batch.to(model.device)
        if given is None:
            levels = sample(model.model, there, generator=generator, on_row=on_row)
        else:
            start = given.to(model.device).expand(len(batch), -1, -1, -1)
            levels = complete(model.model, there, start, kept, generator=generator, on_row=on_row)
        with torch.inference_mode():
            log_prob.append(model.model(levels, there).log_prob(levels).double().cpu())
        drawn.append(levels.cpu())
        finished += height
    return Samples(
        levels=torch.cat(drawn),
        labels=labels,
        log_prob=torch.cat(log_prob),
        seed=seed,
        source=None if source is None else str(source),
        rows=kept,
    )


def automatic_batch_size(config: PixelCNNConfig) -> int:
    """How many images can be drawn at a time within `MEMORY_BUDGET`.

    >>> automatic_batch_size(PixelCNNConfig(classes=10))
    11
    """
    maps = MAPS + MAPS_PER_BLOCK * config.blocks_per_stage
    height, width = config.image_size
    float32 = 4
    return max(1, MEMORY_BUDGET // (maps * config.features * height * width * float32))


def save_samples(
    samples: Samples, model: PixelBayes, folder: str | Path, *, overwrite: bool = False
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
    code_length = bits_per_dim(samples.log_prob, model.model.config.dims)
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
        "rows_kept": samples.rows,
        "unit": {"log_likelihood": "nats per image", "bits_per_dim": "bits per dimension"},
        "samples": entries,
    }
    partial = folder / f"{INDEX}.partial"
    partial.write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", "utf-8")
    os.replace(partial, folder / INDEX)
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


def _given(
    model: PixelBayes, source: str | Path | None, rows: int | None
) -> tuple[Tensor | None, int]:
    """The image to complete, (C, H, W), and how many of its rows are kept."""
    config = model.model.config
    if source is None:
        if rows is not None:
            raise ValueError("--rows says how much of --complete FILE is kept; give both")
        return None, 0
    height = config.image_size[0]
    kept = height // 2 if rows is None else rows
    if not 0 <= kept < height:
        raise ValueError(f"--rows is the number of rows to keep, 0..{height - 1}, got {kept}")
    return read_image(source, channels=config.channels, resize=model.resize), kept


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
