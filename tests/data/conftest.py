"""Image files and data sets that the tests of the data layer share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SavePhoto = Callable[..., Path]


@pytest.fixture
def save_photo() -> SavePhoto:
    """Writes a PNG of noise that depends on its path only, so that no two are alike."""

    def save(path: Path, rows: int = 48, columns: int = 48, mode: str = "RGB") -> Path:
        seed = sum((i + 1) * byte for i, byte in enumerate(path.as_posix().encode()))
        pixels = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert(mode).save(path)
        return path

    return save


@pytest.fixture
def class_folders(save_photo: SavePhoto) -> Callable[[Path, int], Path]:
    """Makes folders cat and dog with some photographs each."""

    def make(root: Path, count: int) -> Path:
        for name in ("cat", "dog"):
            for number in range(count):
                save_photo(root / name / f"{number:02}.png")
        return root

    return make


@pytest.fixture
def shared() -> Path:
    """The folder of data that the repository may not contain."""
    default = Path(__file__).resolve().parents[2] / ".." / "shared"
    folder = Path(os.environ.get("PIXELBAYES_SHARED", default)).resolve()
    if not (folder / "data").is_dir():
        pytest.skip("needs the shared data folder; set PIXELBAYES_SHARED")
    return folder / "data"
