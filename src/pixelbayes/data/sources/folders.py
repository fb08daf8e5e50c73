"""Images in folders, one folder for each class."""

from __future__ import annotations

from pathlib import Path

from pixelbayes.data.errors import DatasetError, enumerate_offenders
from pixelbayes.data.files import find_images
from pixelbayes.data.images import UNLABELLED
from pixelbayes.data.sources.base import UNSPLIT, FileEntries, Listing, Source, labels_tensor

__all__ = ["FOLDER_NAMES", "NATIVE_SIZE", "FolderSource"]

NATIVE_SIZE = (32, 32)  # rows and columns of the study's images
FOLDER_NAMES = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
"""Folder names that mean a split, and the split that they mean."""
LAYOUT = "one sub-folder of images for each class, or train/, validation/ and test/ with such"


class FolderSource(Source):
    """A folder with one sub-folder for each class, or with splits that have them.

    Class names are the folder names, sorted.  A test folder without sub-folders holds
    unlabelled images.

    Args:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def listing(self) -> Listing:
        """Lists the images; see `Source.listing`."""
        if not self.path.is_dir():
            raise DatasetError(f"{self.path} is not a folder; pass a folder that has {LAYOUT}")
        folders = self._splits()
        classes = self._classes(folders.get("train", self.path))
        left_out: list[str] = []
        splits = {
            split: self._entries(folder, split, classes, left_out)
            for split, folder in (folders or {UNSPLIT: self.path}).items()
        }
        return Listing(
            f"folder:{self.path}", classes, splits, NATIVE_SIZE, 3, left_out=tuple(left_out)
        )

    def _splits(self) -> dict[str, Path]:
        """Folder of each split; empty where the folder has classes only."""
        if not (self.path / "train").is_dir():
            return {}
        splits: dict[str, Path] = {}
        for name, split in FOLDER_NAMES.items():
            folder = self.path / name
            if folder.is_dir():
                if split in splits:
                    raise DatasetError(
                        f"{self.path} has both {splits[split].name}/ and {name}/ for the {split} "
                        "images; keep one of them"
                    )
                splits[split] = folder
        return splits

    def _classes(self, folder: Path) -> tuple[str, ...]:
        classes = tuple(sub.name for sub in _subfolders(folder))
        if not classes:
            raise DatasetError(f"{folder} has no sub-folders; pass a folder that has {LAYOUT}")
        return classes

    def _entries(
        self, folder: Path, split: str, classes: tuple[str, ...], left_out: list[str]
    ) -> FileEntries:
        images, others = find_images(folder)
        left_out += [f"{file}: not an image by its suffix" for file in others]
        unlabelled = split == "test" and not _subfolders(folder)
        paths, labels, unknown = [], [], []
        for path in images:
            inside = path.relative_to(folder).parts
            if unlabelled:
                labels.append(UNLABELLED)
            elif len(inside) == 1:
                left_out.append(f"{path}: not in the folder of a class")
                continue
            elif inside[0] in classes:
                labels.append(classes.index(inside[0]))
            else:
                unknown.append(str(path))
                continue
            paths.append(path)
        if unknown:
            raise DatasetError(
                f"{folder} has classes that the training images do not have "
                f"({', '.join(classes)}): {enumerate_offenders(unknown)}"
            )
        names = tuple(path.relative_to(self.path).as_posix() for path in paths)
        return FileEntries(names, labels_tensor(labels), tuple(paths))


def _subfolders(folder: Path) -> list[Path]:
    return sorted(sub for sub in folder.iterdir() if sub.is_dir() and not sub.name.startswith("."))
