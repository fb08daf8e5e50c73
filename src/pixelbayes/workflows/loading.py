"""The images of a run, and of any data as a model wants them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pixelbayes.data import ImageDataset, SplitRecord, load_dataset, open_source
from pixelbayes.models import Model
from pixelbayes.switches import undisturbed
from pixelbayes.workflows.config import DataConfig

__all__ = ["data_digest", "load_data", "load_data_for"]


def load_data(
    config: DataConfig, *, crop_margin: int = 0, record: SplitRecord | None = None
) -> ImageDataset:
    """Loads the images of a run.

    Args:
        config: Which ones.
        crop_margin: Pixels that training images have beyond the model's size.
        record: Which file went to which split; None: the configuration decides.

    Raises:
        DatasetError: If they cannot be used.
    """
    with undisturbed():
        source = open_source(config.data, data_dir=config.data_dir)
        return source.load(config.options(crop_margin), record=record)


def load_data_for(
    model: Model,
    data: str,
    *,
    data_dir: str | Path | None = None,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    limit: int | None = None,
    train_limit: int | None = None,
    set_aside: int | None = None,
    near_duplicates: str = "tell",
    record: SplitRecord | None = None,
    whole: bool = False,
) -> ImageDataset:
    """Loads a data set the way the model wants its images.

    Args:
        model: Decides size, filter, geometry and channels.
        data: Source, as for `pixelbayes.data.load_dataset`.
        data_dir: Folder of the data.
        image_size: Rows and columns; None: the model's.
        seed: Of the splits; the one of training, or training images turn up in the test.
        skip_bad: Leaves out files that cannot be read.
        limit: At most this many images of each split.
        train_limit: At most this many training images.
        set_aside: So many training images take the place of the validation images.
        near_duplicates: What is made of them, as for `pixelbayes.data.load_dataset`.
        record: Which file went to which split, which then seed and limits do not decide.
        whole: Takes what comes without splits as one split, "test", that need not have every
            class of the model.

    Raises:
        DatasetError: If the data cannot be loaded, or none of the recorded training files is there.
    """
    resize = model.resize
    return load_dataset(
        data,
        data_dir=data_dir,
        image_size=image_size or resize.size,
        channels=model.channels,
        filter=resize.filter,
        geometry=resize.geometry,
        allow_upscaling=resize.allow_upscaling,
        seed=seed,
        skip_bad=skip_bad,
        limit=limit,
        train_limit=train_limit,
        set_aside=set_aside,
        near_duplicates=near_duplicates,
        record=record,
        whole=model.classes if whole else None,
    )


def data_digest(dataset: ImageDataset) -> str:
    """SHA-256 of the training and validation images and their labels, as hexadecimal digits."""
    digest = hashlib.sha256()
    for name in ("train", "validation"):
        images = dataset.split(name)
        for tensor in (images.levels, images.labels):
            digest.update(f"{name} {tuple(tensor.shape)} ".encode())
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
