"""What a teacher says of the training images: soft labels in the place of labels.

A model that finds the classes well says more of an image than its class: how like the others it
is.  Another model learns from that what it would not learn from labels alone.

References:
    [1] Hinton, Vinyals, Dean, Distilling the knowledge in a neural network, 2015.
        https://arxiv.org/abs/1503.02531
"""

from __future__ import annotations

import hashlib

from torch import Tensor

from pixelbayes.data import ImageDataset
from pixelbayes.models.base import answers_digest
from pixelbayes.models.hub import find_model, load
from pixelbayes.models.storage import checkpoint_folder, read_description
from pixelbayes.workflows.config import RunConfig, RunError
from pixelbayes.workflows.loading import load_data_for

__all__ = ["soft_labels", "teacher_digest"]


def teacher_digest(name: str) -> str:
    """SHA-256 of what decides a teacher's answers, whichever processor computes them.

    Raises:
        CheckpointError: If there is no such teacher.
    """
    folder = checkpoint_folder(find_model(name))
    deciding = f"{answers_digest(folder)} {read_description(folder).get('temperature')}"
    return hashlib.sha256(deciding.encode()).hexdigest()


def soft_labels(config: RunConfig, dataset: ImageDataset) -> Tensor | None:
    """p(y | x) of `training.teacher` for each training image, at its temperature [1].

    The teacher sees the images in its own size and form, whole and not mirrored.

    Args:
        config: Of the run.
        dataset: Its images.

    Returns:
        Float32, (N, K), in the order of the classes of the data; None without a teacher.

    Raises:
        CheckpointError: If there is no such teacher.
        RunError: If it knows other classes, or the images cannot be found again.
    """
    name = config.training.teacher
    if name is None:
        return None
    teacher = load(name)
    if set(teacher.classes) != set(dataset.classes):
        raise RunError(
            f"--teacher {name} knows the classes {', '.join(teacher.classes)}, the data have "
            f"{', '.join(dataset.classes)}; take a teacher of the same classes"
        )
    train = dataset.split("train")
    seen = load_data_for(
        teacher,
        config.data.data,
        data_dir=config.data.data_dir,
        skip_bad=config.data.skip_bad_files,
        record=dataset.record,
    ).split("train")
    if seen.names != train.names:
        raise RunError(
            f"--teacher {name} reads others than the {len(train)} training images (of "
            f"{len(seen)}); files that changed meanwhile, or are too small for it, cannot be taught"
        )
    order = [teacher.classes.index(name) for name in dataset.classes]
    return teacher.predict_proba(seen.levels)[:, order].float()
