"""The images that a model is measured on: none that it was trained on among them.

Of the data that it was trained on those of the recorded splits; of other data those that were not
among the training images, whatever their names are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pixelbayes.data import DatasetError, DatasetWarning, ImageDataset, SplitRecord, same_source
from pixelbayes.data.errors import enumerate_offenders
from pixelbayes.errors import PixelBayesError
from pixelbayes.io import Reading
from pixelbayes.models import Model
from pixelbayes.models.hub import find_model
from pixelbayes.models.storage import DESCRIPTION, checkpoint_folder, read_description
from pixelbayes.workflows.config import DataConfig
from pixelbayes.workflows.loading import data_digest, load_data, load_data_for
from pixelbayes.workflows.runs import INFO as RUN_JSON
from pixelbayes.workflows.runs import Run

__all__ = [
    "FILES_OF_A_USER",
    "MADE_ANEW",
    "NOT_AT_HAND",
    "DataForModel",
    "EvaluationError",
    "counts_trained_on",
    "data_for",
    "data_trained_on",
    "divide_alike",
    "is_checkpoint",
    "names_trained_on",
    "other_record",
    "recalled_record",
    "remarks_on_start",
    "require_unchanged",
    "seen_before",
    "training_data",
    "training_record",
    "without_trained",
]

FILES_OF_A_USER = ("folder:", "csv:")
"""Sources whose files come and go."""
DOWNLOADED = ("cpen455", "cifar10")
"""Sources that are fetched where no folder of them is named."""
MADE_ANEW = (
    "It is not recorded which file went to which split in the training: the splits were made "
    "anew, and are the same only if no file was added or removed since."
)
NOT_AT_HAND = (
    "The images of the training are not at hand, so it is not known whether any of them are among "
    "these."
)
"""What is to be said of other data."""


class EvaluationError(PixelBayesError):
    """A model cannot be evaluated on this data, with the reason and what to do."""


class DataForModel(NamedTuple):
    """Images the way a model wants them."""

    dataset: ImageDataset
    own: bool
    """Whether they are those of its training, in their splits."""
    record: SplitRecord | None
    """The splits of its training; None where nobody knows them."""


def data_for(
    model: Model,
    trained_on: DataConfig,
    record: SplitRecord | None,
    data: str | None,
    data_dir: str | Path | None,
    splits: Sequence[str] | None,
) -> tuple[ImageDataset, list[str]]:
    """The data that a model was trained on, or others, the way the model wants its images.

    Args:
        model: Decides size, filter, geometry and channels.
        trained_on: The data of its training.
        record: Which file went to which split in the training; None: it is not known.
        data: Source of the images; None: that of the training.
        data_dir: Folder of the data; None: as in training, of the data of the training.
        splits: Those that are asked for; None: other data without splits are taken whole.

    Returns:
        The images, and what a reader must know of them.

    Raises:
        DatasetError: If the data cannot be loaded.
        EvaluationError: If the model was trained on all images of a split.
    """
    dataset, own = _loaded(model, trained_on, record, data, data_dir, whole=splits is None)
    if own:
        anew = record is None and trained_on.data.startswith(FILES_OF_A_USER)
        return dataset, [MADE_ANEW] if anew else []
    remarks = whole_remarks(dataset)
    if record is None:
        remarks.append(NOT_AT_HAND)
    else:
        measured = [name for name in dataset.splits if name != "train" or name in (splits or ())]
        dataset, known = without_trained(dataset, record, measured)
        remarks += known
    return dataset, remarks


def whole_remarks(dataset: ImageDataset) -> list[str]:
    """What is to be said of other data that are taken as one split."""
    if "train" in dataset.splits:
        return []
    return [
        f"{dataset.source} has no splits of its own and is taken whole, as the split test; "
        "--split cuts it into splits."
    ]


def training_data(
    folder: Path,
    model: Model,
    data: str | None = None,
    data_dir: str | Path | None = None,
    *,
    whole: bool = False,
) -> DataForModel:
    """The data that a model was trained on, in its own splits, or others.

    Of others, those that the model was trained on are still among them (see `without_trained`).

    Args:
        folder: Run directory or checkpoint folder of the model.
        model: What was loaded from there.
        data: Source of the images; None: the one that the model was trained on.
        data_dir: Folder of the data; None: as in training.
        whole: Takes other data without splits as one split, "test".

    Raises:
        EvaluationError: If the model does not say which data it was trained on, and none is given;
            or if the splits of a run are not recorded and its data have changed.
        DatasetError: If the data cannot be loaded.

    Warns:
        DatasetWarning: If the splits of a checkpoint are not recorded and its data may have
            changed.
    """
    run = None if is_checkpoint(folder) else Run.open(folder)
    trained_on, record = data_trained_on(folder, run, model, data)
    dataset, own = _loaded(model, trained_on, record, data, data_dir, whole=whole)
    if own and record is None and trained_on.data.startswith(FILES_OF_A_USER):
        if run is not None:
            require_unchanged(run, dataset)
        else:
            warnings.warn(MADE_ANEW, DatasetWarning, stacklevel=2)
    return DataForModel(dataset, own, record)


def data_trained_on(
    folder: Path, run: Run | None, model: Model, data: str | None
) -> tuple[DataConfig, SplitRecord | None]:
    """The data that a model was trained on, and their splits as far as they are known.

    Args:
        folder: Of the run or the checkpoint.
        run: The run there; None: it is a checkpoint alone.
        model: What was loaded from there.
        data: Source of the images to measure on; None: that of the training.

    Raises:
        EvaluationError: If the checkpoint does not say on which data, and none are given.
    """
    if run is not None:
        return run.config.data, run.split()
    recorded = _recorded_data(model.metadata.provenance)
    if data is None and "data" not in recorded:
        raise EvaluationError(
            f"{folder} does not say which data it was trained on; name a source with --data"
        )
    origin = f"provenance.config.data in {folder / DESCRIPTION}"
    trained_on = DataConfig.from_plain(recorded, origin, Reading.OLDER)
    record = training_record(folder)
    if (
        record is None
        and "data" in recorded
        and not (data is None or same_source(data, trained_on.data))
    ):
        record = recalled_record(trained_on)
    return trained_on, record


def _recorded_data(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    """Data settings of a training, or, of an ensemble, those that all its members share."""
    members = provenance.get("members")
    if "config" in provenance or not isinstance(members, list) or not members:
        data: Mapping[str, Any] = provenance.get("config", {}).get("data", {})
        return data
    first, *others = map(_recorded_data, members)
    return first if all(other == first for other in others) else {}


def other_record(folder: Path, data: DataConfig) -> SplitRecord | None:
    """The splits of a model's training, where they may be others than those that `data` makes.

    Args:
        folder: Run directory or checkpoint folder.
        data: What the model is to be measured on.

    Returns:
        The recorded ones; of a checkpoint without its run those that its settings make; None where
        they are those of `data`, or are not to be found.
    """
    record = training_record(folder)
    if record is not None:
        return record
    provenance = read_description(checkpoint_folder(folder)).get("provenance", {})
    recorded = _recorded_data(provenance)
    if "data" not in recorded:
        return None
    trained_on = DataConfig.from_plain(recorded, str(folder / DESCRIPTION), Reading.OLDER)
    if same_source(trained_on.data, data.data):
        trained_on = replace(trained_on, data_dir=data.data_dir)
    return None if divide_alike(trained_on, data) else recalled_record(trained_on)


def divide_alike(first: DataConfig, second: DataConfig) -> bool:
    """Whether two configurations make the same splits of the same images."""
    deciding = ("split_seed", "limit", "train_limit", "set_aside", "near_duplicates")
    return same_source(first.data, second.data) and all(
        getattr(first, name) == getattr(second, name) for name in deciding
    )


def seen_before(name: str, dataset: ImageDataset, data: DataConfig) -> dict[str, int]:
    """How many images of each split, except train, a model was trained on that a run begins with.

    Args:
        name: The model, as for `find_model`.
        dataset: The images of the run.
        data: Their configuration.

    Raises:
        CheckpointError: If there is no such model.
    """
    return counts_trained_on(dataset, other_record(find_model(name), data))


def remarks_on_start(info: Mapping[str, Any]) -> list[str]:
    """What is to be said of images that a run's beginning had seen; `info` is its run.json."""
    return [
        f"The training began with {name}, which was trained on {count} of the images of {split}: "
        "they are not new to the model."
        for name, counts in info.get("seen_before", {}).items()
        for split, count in counts.items()
    ]


def recalled_record(trained_on: DataConfig) -> SplitRecord | None:
    """The splits that a training made of data that are still there, where it recorded none.

    Args:
        trained_on: The data of the training.

    Returns:
        The splits as the same settings make them today; None where the data are not there.
    """
    if trained_on.data_dir is None and trained_on.data in DOWNLOADED:
        return None  # nobody asked for a download
    if trained_on.near_duplicates == "tell":  # which was told in the training
        trained_on = replace(trained_on, near_duplicates="ignore")
    try:
        return load_data(trained_on).record
    except (DatasetError, OSError):
        return None


def _loaded(
    model: Model,
    trained_on: DataConfig,
    record: SplitRecord | None,
    data: str | None,
    data_dir: str | Path | None,
    *,
    whole: bool = False,
) -> tuple[ImageDataset, bool]:
    """The data of the training in their own splits, or others; and whether they are the former."""
    own = data is None or same_source(data, trained_on.data)
    dataset = load_data_for(
        model,
        trained_on.data if own or data is None else data,
        data_dir=data_dir or (trained_on.data_dir if own else None),
        seed=trained_on.split_seed,
        skip_bad=trained_on.skip_bad_files,
        limit=trained_on.limit if own else None,
        train_limit=trained_on.train_limit if own else None,
        set_aside=trained_on.set_aside if own else None,
        near_duplicates=trained_on.near_duplicates if own else "tell",
        record=record if own else None,
        whole=whole and not own,
    )
    return dataset, own


def without_trained(
    dataset: ImageDataset, record: SplitRecord, measured: Iterable[str]
) -> tuple[ImageDataset, list[str]]:
    """Other data without the images that a model was trained on, whatever their names are.

    Args:
        dataset: Data of another source.
        record: The splits of the model's training; images are known by their content.
        measured: Splits whose images must be new to the model.

    Returns:
        The data, and a sentence for each split from which images were left out.

    Raises:
        EvaluationError: If nothing is left of a split.
    """
    splits, remarks = dict(dataset.splits), []
    seen = {*names_trained_on(dataset, record)}
    for split in measured:
        images = dataset.split(split)
        known = [name for name in images.names if name in seen]
        if not known:
            continue
        if len(known) == len(images):
            raise EvaluationError(
                f"the model was trained on all {len(images)} images of {split} of "
                f"{dataset.source} (their content is the same), so they say nothing about new "
                "images; name others with --data"
            )
        kept = [index for index, name in enumerate(images.names) if name not in seen]
        splits[split] = images.select(kept)
        remarks.append(
            f"The model was trained on {len(known)} of the {len(images)} images of {split}, which "
            f"are left out: {enumerate_offenders(known)}."
        )
    return replace(dataset, splits=splits), remarks


def names_trained_on(dataset: ImageDataset, record: SplitRecord | None) -> list[str]:
    """Names of the images, in any split, on whose content a model was trained.

    Args:
        dataset: As it was loaded.
        record: The splits of the model's training; None: not known, so that none can be named.
    """
    if record is None or dataset.record is None:
        return []
    trained = set(record.splits["train"].values()) - {""}
    present = dataset.record.splits.values()
    return [name for files in present for name, digest in files.items() if digest in trained]


def counts_trained_on(dataset: ImageDataset, record: SplitRecord | None) -> dict[str, int]:
    """How many images of each split, except train, are among those of `names_trained_on`.

    Splits without such images are left out.  Arguments as for `names_trained_on`.
    """
    known = {*names_trained_on(dataset, record)}
    counts = {
        split: len(known.intersection(images.names))
        for split, images in dataset.splits.items()
        if split != "train"
    }
    return {split: count for split, count in counts.items() if count}


def require_unchanged(run: Run, dataset: ImageDataset) -> None:
    """Refuses splits made anew that are not those of the training.

    Raises:
        EvaluationError: If images that were trained on may be among those to measure on.
    """
    recorded = run.info.get("data_sha256")
    if run.config.training.crop_margin == 0 and recorded not in (None, data_digest(dataset)):
        raise EvaluationError(
            f"{run.path} does not record which image went to which split, and {dataset.source} has "
            "changed since the training, so images that were trained on may be in every split; "
            "restore the data, or name other ones with --data"
        )


def is_checkpoint(folder: str | Path) -> bool:
    """Whether the folder holds a checkpoint itself, as best/ of a run does."""
    return (Path(folder) / DESCRIPTION).is_file()


def training_record(model: Path) -> SplitRecord | None:
    """The splits of the training of a run, or of the run that a checkpoint lies in, if known.

    Checkpoints lie in a run as best/ and as epochs/0005/.
    """
    for folder in (model.resolve(), *model.resolve().parents[:2]):
        if (folder / RUN_JSON).is_file():
            return Run.open(folder).split()
    return None
