"""Calibrate: from labelled images to the thresholds of `pixelbayes.models.decisions`.

The images must be like those that the model will see and not those that it was trained on.  The
validation images serve, although the temperature was fitted on them: that is one number, and
`benchmarks.decisions` measures what coverage the sets have on images apart from both.

Shapes: N images, K classes.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from pixelbayes.data import DatasetWarning, ImageDataset
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference import class_posterior
from pixelbayes.models import Model, load_model
from pixelbayes.models.base import amend, answers_digest
from pixelbayes.models.decisions import FALSE_ALARM_RATE, Decisions, fit_decisions
from pixelbayes.models.storage import checkpoint_folder
from pixelbayes.switches import undisturbed
from pixelbayes.workflows.evaluation_data import (
    NOT_AT_HAND,
    training_data,
    whole_remarks,
    without_trained,
)
from pixelbayes.workflows.scoring import Progress, score_split

__all__ = ["CalibrationError", "calibrate", "calibrate_model"]


class CalibrationError(PixelBayesError):
    """A model cannot be calibrated on these images, with the reason and what to do."""


@undisturbed()
def calibrate(
    model: Model,
    dataset: ImageDataset,
    *,
    split: str = "validation",
    false_alarm_rate: float = FALSE_ALARM_RATE,
    progress: Progress | None = None,
) -> Decisions:
    """Fits thresholds to the labelled images of one split, at the model's temperature.

    Args:
        model: The trained model.
        dataset: Images at the model's size with the model's classes.
        split: Which of them; not what the model was trained on.
        false_alarm_rate: Share of familiar images that may be called strange, in (0, 1).
        progress: See `Progress`.

    Raises:
        CalibrationError: If the classes are not the model's, or there are no labelled images.
        PixelBayesError: If there are too few images for the rate.
        DatasetError: If there is no such split.
    """
    if dataset.classes != model.classes:
        raise CalibrationError(
            f"thresholds are for the model's classes ({', '.join(model.classes)}), and "
            f"{dataset.source} has others ({', '.join(dataset.classes)})"
        )
    scored = score_split(model, dataset, split, progress)
    images, table = scored.images.select(scored.labelled), scored.log_likelihood[scored.labelled]
    if not len(images):
        raise CalibrationError(
            f"none of the images of {split} of {dataset.source} has a label; choose another "
            f"--split of: {', '.join(dataset.splits)}"
        )
    return fit_decisions(
        log_prob=None if model.dims is None else torch.logsumexp(table + model.log_prior, dim=1),
        log_proba=class_posterior(table, model.log_prior, model.temperature),
        levels=images.levels,
        labels=images.labels,
        temperature=model.temperature,
        calibrated_on=f"{split} of {dataset.source}",
        false_alarm_rate=false_alarm_rate,
    )


@undisturbed()
def calibrate_model(
    model: str | Path,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    split: str | None = None,
    false_alarm_rate: float = FALSE_ALARM_RATE,
    output: Path | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> tuple[Decisions, Path]:
    """Fits thresholds and stores them with the model.

    Of other data than those of training, images that the model was trained on are left out.

    Args:
        model: Run directory or checkpoint folder.
        data: Source of the images; None: the one that the model was trained on.
        data_dir: Folder of the data; None: as in training.
        split: As for `calibrate`; None: validation, or all images of other data without splits.
        false_alarm_rate: As for `calibrate`.
        output: Folder that the calibrated model is written to; None: where it was read from.
        device: Where the model runs.
        progress: See `Progress`.

    Returns:
        The thresholds, and the folder of the model that has them.

    Raises:
        CheckpointError: If there is no usable model.
        CalibrationError: As `calibrate`; or if the images are those of training.
        EvaluationError: If it is not known on which data, or the model was trained on all images of
            the split of other data.
        DatasetError: If the data cannot be loaded.

    Warns:
        DatasetWarning: If images were left out, or it is not known which ones were trained on.
    """
    folder = Path(model)
    found_for = answers_digest(checkpoint_folder(folder))
    loaded = load_model(folder, device)
    dataset, own, record = training_data(folder, loaded, data, data_dir, whole=split is None)
    if split is None:
        split = "test" if [*dataset.splits] == ["test"] else "validation"
    if own and split == "train":
        raise CalibrationError(
            "a model is surer of the images that it was trained on than of any others, so their "
            "thresholds hold for no others; choose another --split"
        )
    if not own:
        remarks, left_out = whole_remarks(dataset), [NOT_AT_HAND]
        if record is not None:
            dataset, left_out = without_trained(dataset, record, [split])
        for sentence in [*remarks, *left_out]:
            warnings.warn(sentence, DatasetWarning, stacklevel=3)
    decisions = calibrate(
        loaded, dataset, split=split, false_alarm_rate=false_alarm_rate, progress=progress
    )
    if output is not None:
        loaded.with_decisions(decisions).save(output)
        return decisions, output
    written = checkpoint_folder(folder)

    def calibrated(stored: Model) -> Model:
        return stored.with_decisions(decisions.at_temperature(stored.temperature))

    if not amend(written, found_for, calibrated):
        raise CalibrationError(
            f"the training has written a better checkpoint to {written} since this one was read, "
            "and the thresholds are those of the earlier one; calibrate again when it is over"
        )
    return decisions, written
