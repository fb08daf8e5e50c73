"""Evaluate a model that is no run directory: a checkpoint folder, or a shipped model.

The checkpoint itself says on which data, and on which splits of it, it was trained.  It is read
and never written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from pixelbayes.core.storage import DESCRIPTION
from pixelbayes.inference import PixelBayes
from pixelbayes.report import Report, save
from pixelbayes.workflows.configuration import DataConfig
from pixelbayes.workflows.evaluate import EvaluationError, evaluate, load_data_for
from pixelbayes.workflows.scoring import Progress

__all__ = ["evaluate_checkpoint", "is_checkpoint"]


def is_checkpoint(folder: str | Path) -> bool:
    """Whether the folder holds a checkpoint itself, as best/ of a run does."""
    return (Path(folder) / DESCRIPTION).is_file()


def evaluate_checkpoint(
    folder: str | Path,
    *,
    splits: Sequence[str] | None = None,
    seed: int = 0,
    samples_per_class: int = 4,
    data: str | None = None,
    data_dir: str | Path | None = None,
    output: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> Report:
    """Measures a checkpoint and, with `output`, writes the report there.

    Args:
        folder: Checkpoint folder.
        splits: As for `evaluate`.
        seed: As for `evaluate`.
        samples_per_class: As for `evaluate`.
        data: Source of the images; None: the one that the model was trained on.
        data_dir: Folder of the data; None: as in training.
        output: Folder of the report; None writes none.
        device: Where the model runs.
        progress: See `Progress`.

    Raises:
        CheckpointError: If there is no usable checkpoint.
        EvaluationError: If it is not known on which data to measure, or they do not fit.
        DatasetError: If the data cannot be loaded.
    """
    folder = Path(folder)
    model = PixelBayes.load(folder, device)
    recorded = model.metadata.provenance.get("config", {}).get("data", {})
    if data is None and "data" not in recorded:
        raise EvaluationError(
            f"{folder} does not say which data it was trained on; name a source with --data"
        )
    trained_on = DataConfig(**recorded)
    if data is None:
        data, data_dir = trained_on.data, data_dir or trained_on.data_dir
    dataset = load_data_for(
        model,
        data,
        data_dir=data_dir,
        seed=trained_on.split_seed,
        skip_bad=trained_on.skip_bad_files,
        limit=trained_on.limit,
    )
    report = evaluate(
        model,
        dataset,
        splits=splits,
        seed=seed,
        samples_per_class=samples_per_class,
        title=f"{folder.name}: {model.model.config.fusion} fusion on {dataset.source}",
        training=model.metadata.provenance.get("config", {}),
        progress=progress,
    )
    if output is not None:
        save(report, Path(output))
    return report
