"""Which file went to which split, so that a later evaluation can keep to it.

A split that is computed anew from a folder moves when a file is added: images that were
trained on turn up in the test.  A record holds each file by its canonical name and by a digest of
its original bytes, so a file that was renamed is still known, and one whose content changed
is not taken for the one that was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pixelbayes.data.errors import DatasetError, enumerate_offenders

__all__ = ["SplitChanges", "SplitRecord"]

FORMAT = 1


@dataclass(frozen=True)
class SplitChanges:
    """How the files of a source differ from those of a record."""

    kept: Mapping[str, Mapping[str, str]]
    """For each recorded split: name in the record -> name now, of the files with that content."""
    new: tuple[str, ...]
    """Names now of files that the record does not know."""
    missing: Mapping[str, tuple[str, ...]]
    """For each recorded split the recorded names of files that are gone."""
    changed: Mapping[str, tuple[str, ...]]
    """For each recorded split the names of files that have other content now."""

    @property
    def renamed(self) -> dict[str, str]:
        """Recorded name and name now, of files that have another name."""
        return {
            before: now
            for names in self.kept.values()
            for before, now in names.items()
            if before != now
        }

    @property
    def none(self) -> bool:
        """Whether all recorded files are there as they were, and no other ones."""
        return not (
            self.new or self.renamed or any(self.missing.values()) or any(self.changed.values())
        )

    def sentences(self) -> list[str]:
        """What differs, one sentence for each kind of difference in each split."""
        told = []
        if self.new:
            told.append(f"new, in no split: {enumerate_offenders(self.new)}")
        for what, splits in (("missing", self.missing), ("changed", self.changed)):
            told += [
                f"{what} from {split}: {enumerate_offenders(names)}"
                for split, names in splits.items()
                if names
            ]
        if self.renamed:
            pairs = [f"{before} -> {now}" for before, now in self.renamed.items()]
            told.append(f"renamed: {enumerate_offenders(pairs)}")
        return told


@dataclass(frozen=True)
class SplitRecord:
    """The files of a loaded data set by split.

    >>> record = SplitRecord("folder:pets", ("cat",), {"train": {"cat/0.png": "ab"}})
    >>> SplitRecord.from_dict(record.to_dict()) == record
    True
    """

    source: str
    """What the images were loaded from."""
    classes: tuple[str, ...]
    """Name of each label."""
    splits: Mapping[str, Mapping[str, str]]
    """For each split: canonical name -> digest of the original bytes, in the order of the
    images (see `Entries.digests`)."""
    unused: tuple[str, ...] = ()
    """Canonical names of images of the source that are in no split: beyond a limit, or bad."""

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON types."""
        return {
            "format": FORMAT,
            "source": self.source,
            "classes": list(self.classes),
            "splits": {split: dict(files) for split, files in self.splits.items()},
            "unused": list(self.unused),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> SplitRecord:
        """Reads what `to_dict` returns.

        Raises:
            DatasetError: If it is something else.
        """
        try:
            if fields["format"] != FORMAT:
                raise DatasetError(
                    f"this record of splits has format {fields['format']!r}; this version of "
                    f"pixelbayes reads format {FORMAT}"
                )
            splits = {split: _files(files) for split, files in fields["splits"].items()}
            unused = tuple(str(name) for name in fields["unused"])
            classes = tuple(str(name) for name in fields["classes"])
            return cls(str(fields["source"]), classes, splits, unused)
        except (KeyError, TypeError, AttributeError) as error:
            raise DatasetError(
                f"not a record of splits: {type(error).__name__} {error}; it has format, source, "
                "classes, splits and unused"
            ) from error

    def compare(self, present: Mapping[str, str]) -> SplitChanges:
        """Finds the recorded files among those that are there now.

        A file is the recorded one if its content is; where several have that content, the one
        with the recorded name goes first.

        Args:
            present: Canonical name -> digest of each file of the source now.
        """
        recorded = [
            (split, name, digest)
            for split, files in self.splits.items()
            for name, digest in files.items()
        ]
        same = {name for _, name, digest in recorded if digest and present.get(name) == digest}
        elsewhere: dict[str, list[str]] = {}
        for name, digest in present.items():
            if name not in same:
                elsewhere.setdefault(digest, []).append(name)
        kept: dict[str, dict[str, str]] = {split: {} for split in self.splits}
        missing: dict[str, list[str]] = {split: [] for split in self.splits}
        changed: dict[str, list[str]] = {split: [] for split in self.splits}
        known = {*same, *self.unused}
        for split, name, digest in recorded:
            if name in same:
                kept[split][name] = name
            elif digest and elsewhere.get(digest):
                kept[split][name] = elsewhere[digest].pop(0)
            elif name in present:
                changed[split].append(name)
            else:
                missing[split].append(name)
        for names in (*changed.values(), *(files.values() for files in kept.values())):
            known.update(names)
        return SplitChanges(
            kept,
            tuple(name for name in present if name not in known),
            {split: tuple(names) for split, names in missing.items()},
            {split: tuple(names) for split, names in changed.items()},
        )


def _files(files: Mapping[str, str]) -> dict[str, str]:
    return {str(name): str(digest) for name, digest in files.items()}
