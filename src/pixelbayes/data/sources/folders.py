"""Images in folders, one folder for each class."""

from __future__ import annotations

from pathlib import Path

from pixelbayes.data.errors import DatasetError, enumerate_offenders
from pixelbayes.data.finding import count_files, find_images, is_set_aside, refuse_unreadable
from pixelbayes.data.images import UNLABELLED
from pixelbayes.data.naming import canonical_name, composed
from pixelbayes.data.sources.base import Source
from pixelbayes.data.sources.entries import UNSPLIT, FileEntries, Listing, labels_tensor

__all__ = ["SPLIT_NAMES", "FolderSource"]

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
    "testing": "test",
}
"""Names of folders, and words in tables, that mean a split, in lower case."""
LAYOUT = "one sub-folder of images for each class, or train/, validation/ and test/ with such"


class FolderSource(Source):
    """A folder with one sub-folder for each class, or with splits that have them.

    Class names are the names of the folders that have images, sorted.  A test folder without
    classes holds unlabelled images.  What is not used is told in `ImageDataset.left_out`.

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
        left_out = self._beside(folders) if folders else []
        images: dict[str, list[Path]] = {}
        for split, folder in (folders or {UNSPLIT: self.path}).items():
            found = find_images(folder)
            images[split] = found.images
            filled = {path.relative_to(folder).parts[0] for path in found.images}
            left_out += [str(file) for file in found.left_out]
            left_out += [
                f"{sub}: a folder without images, so no class"
                for sub in _subfolders(folder)
                if sub.name not in filled
            ]
        home = folders.get("train", self.path)
        learned = images["train" if folders else UNSPLIT]
        classes = tuple(sorted({_class_of(path, home) for path in learned} - {""}))
        if not classes:
            raise DatasetError(
                f"{home} has no sub-folders with images; pass a folder that has {LAYOUT}"
            )
        splits = {
            split: self._entries(paths, folders.get(split, self.path), split, classes, left_out)
            for split, paths in images.items()
        }
        return Listing(f"folder:{self.path}", classes, splits, left_out=tuple(left_out))

    def _splits(self) -> dict[str, Path]:
        """Folder of each split; empty where the folder has classes only."""
        splits: dict[str, Path] = {}
        for name, split in SPLIT_NAMES.items():
            for folder in _subfolders(self.path):
                if folder.name.lower() != name:
                    continue
                if split in splits:
                    raise DatasetError(
                        f"{self.path} has both {splits[split].name}/ and {folder.name}/ for the "
                        f"{split} images; keep one of them"
                    )
                splits[split] = folder
        return splits if "train" in splits else {}

    def _beside(self, folders: dict[str, Path]) -> list[str]:
        """What stands beside the folders of the splits, where nobody looks for images."""
        beside = sorted(path for path in self.path.iterdir() if path not in folders.values())
        return [
            f"{path}: not in the folder of a split"
            + (f", with {count_files(path)} files" if path.is_dir() else "")
            for path in beside
        ]

    def _entries(
        self,
        images: list[Path],
        folder: Path,
        split: str,
        classes: tuple[str, ...],
        left_out: list[str],
    ) -> FileEntries:
        unlabelled = split == "test" and not any(_class_of(path, folder) for path in images)
        label_of = {name: label for label, name in enumerate(classes)}
        paths: dict[str, Path] = {}
        labels, unknown, twins = [], [], []
        for path in images:
            name, label = _class_of(path, folder), UNLABELLED
            if not unlabelled:
                if not name:
                    left_out.append(f"{path}: not in the folder of a class")
                    continue
                if name not in label_of:
                    unknown.append(str(path))
                    continue
                label = label_of[name]
            canonical = canonical_name(path.relative_to(self.path))
            if paths.setdefault(canonical, path) is not path:
                twins.append(f"{path} and {paths[canonical]}")
            labels.append(label)
        if unknown:
            raise DatasetError(
                f"{folder} has classes that the training images do not have "
                f"({', '.join(classes)}): {enumerate_offenders(unknown)}"
            )
        if twins:
            raise DatasetError(
                f"{folder} has files whose names differ only in the way that Unicode writes them; "
                f"rename one of each: {enumerate_offenders(twins)}"
            )
        return FileEntries(tuple(paths), labels_tensor(labels), tuple(paths.values()))


def _class_of(path: Path, folder: Path) -> str:
    """Canonical name of the class folder that a file is in; empty where it is in none."""
    inside = path.relative_to(folder).parts
    return composed(inside[0]) if len(inside) > 1 else ""


def _subfolders(folder: Path) -> list[Path]:
    try:
        subfolders = [
            sub for sub in folder.iterdir() if sub.is_dir() and not is_set_aside(sub.name)
        ]
    except OSError as error:
        refuse_unreadable(error)
    return sorted(subfolders, key=lambda sub: composed(sub.name))
