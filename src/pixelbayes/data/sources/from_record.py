"""The images of a source in the splits of a record, or in the classes of a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pixelbayes.data.errors import DatasetError, enumerate_offenders
from pixelbayes.data.images import UNLABELLED
from pixelbayes.data.records import SplitRecord
from pixelbayes.data.sources.entries import Entries, Listing

__all__ = ["as_recorded", "in_classes", "present_files"]

NO_CLASS = -2


def present_files(every: Iterable[Entries], record: SplitRecord) -> dict[str, str]:
    """Returns name and digest of what a source lists, but of files that were never used."""
    never = set(record.unused)
    present: dict[str, str] = {}
    for entries in every:
        read = torch.tensor([i for i, n in enumerate(entries.names) if n not in never]).long()
        some = entries.select(read)
        present.update(zip(some.names, some.digests(), strict=True))
    return present


def as_recorded(listing: Listing, record: SplitRecord) -> tuple[Listing, dict[str, Entries]]:
    """Returns a listing in the classes of a record, and its files in the splits of the record.

    Raises:
        DatasetError: If a recorded file belongs to a class now that the record does not have, or
            no training file is left.
    """
    first, *others = listing.splits.values()
    everything = first.joined(others)
    changes = record.compare(present_files([everything], record))
    position = {name: index for index, name in enumerate(everything.names)}
    labels = _renumbered(everything.labels, listing.classes, record.classes)
    everything = dataclasses.replace(everything, labels=labels)
    splits, foreign = {}, []
    for split, names in changes.kept.items():
        if names:
            indices = torch.tensor([position[name] for name in names.values()], dtype=torch.int64)
            splits[split] = everything.select(indices)
            foreign += [n for n in names.values() if labels[position[n]] == NO_CLASS]
    if foreign:
        raise DatasetError(
            f"{listing.source}: recorded images now belong to classes that the record "
            f"does not have ({', '.join(record.classes)}): {enumerate_offenders(foreign)}"
        )
    if "train" not in splits:
        raise DatasetError(
            f"{listing.source}: none of the recorded training images is there; was the record made "
            f"from other data ({record.source})?"
        )
    left_out = [f"{name}: not in the record of the splits" for name in changes.new]
    left_out += [
        f"{name}: its content changed since the splits of {split} were recorded"
        for split, names in changes.changed.items()
        for name in names
    ]
    told = {"splits": "as recorded" + "".join(f"; {words}" for words in changes.sentences())}
    listing = dataclasses.replace(
        listing,
        classes=record.classes,
        left_out=(*listing.left_out, *left_out),
        decided={**listing.decided, **told},
    )
    return listing, splits


def in_classes(listing: Listing, classes: Sequence[str]) -> Listing:
    """Returns a listing in the classes of a model, some of which it may lack.

    Raises:
        DatasetError: If it has images of other classes.
    """
    unknown = sorted(set(listing.classes) - set(classes))
    if unknown:
        raise DatasetError(
            f"{listing.source} has classes that the model does not know: "
            f"{enumerate_offenders(unknown)}; it knows: {enumerate_offenders(classes)}"
        )
    splits = {
        split: dataclasses.replace(
            entries, labels=_renumbered(entries.labels, listing.classes, classes)
        )
        for split, entries in listing.splits.items()
    }
    return dataclasses.replace(listing, classes=tuple(classes), splits=splits)


def _renumbered(labels: Tensor, before: Sequence[str], after: Sequence[str]) -> Tensor:
    """Labels of the same names in other classes; `NO_CLASS` where those lack the name."""
    place = {name: index for index, name in enumerate(after)}
    new = [place.get(name, NO_CLASS) for name in before]
    return torch.tensor(
        [UNLABELLED if old == UNLABELLED else new[old] for old in labels.tolist()],
        dtype=torch.int64,
    )
