"""Models that the page offers, each loaded when somebody chooses it and shared by all.

A model is never changed once it is loaded, so everybody may compute with the same one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pixelbayes.app.limits import Photo
from pixelbayes.app.markup import png
from pixelbayes.errors import PixelBayesError
from pixelbayes.models import Model
from pixelbayes.models.hub import DEFAULT, is_model, load, shipped
from pixelbayes.models.storage import BEST, DESCRIPTION

__all__ = ["EXAMPLES", "ModelShelf", "OfferedModel", "offered_names"]

EXAMPLES = 10  # thumbnails in a row
EXAMPLE_SEED = 2  # of twelve, the one whose four images the shipped model is surest of
RUNS = Path("runs")


@dataclass(frozen=True, eq=False)
class OfferedModel:
    """A model with images to begin with."""

    name: str
    model: Model
    examples: Tensor
    """Drawn by the model itself, one of each of the first classes, uint8 (N, C, H, W); none where
    it cannot draw."""

    def photo(self, number: int) -> Photo:
        """One of the examples, as if it had been uploaded."""
        levels = self.examples[number]
        name = f"{self.model.classes[number]}, drawn by the model"
        return Photo(name, levels, self.model.image_size, png(levels))

    @property
    def sentence(self) -> str:
        """What it is, for people."""
        rows, columns = self.model.image_size
        colours = "colour" if self.model.channels == 3 else "grey"
        classes = self.model.classes
        named = ", ".join(classes[:EXAMPLES]) + (", ..." if len(classes) > EXAMPLES else "")
        seen = f"It sees {rows} x {columns} {colours} pixels."
        return f"Tells {len(classes)} classes apart: {named}. {seen}"


def offered_names(model: str | None = None, runs: Path = RUNS) -> list[str]:
    """Names that the page lists: the model that was asked for, shipped ones, finished runs.

    Args:
        model: A run directory, checkpoint folder or name of a shipped model.
        runs: A folder of run directories.

    Raises:
        PixelBayesError: If there is none at all.
    """
    names = [] if model is None else [model]
    names += sorted(shipped(), key=lambda name: name != DEFAULT)
    folders = sorted(runs.iterdir()) if runs.is_dir() else []
    names += [str(run) for run in folders if is_model(run) and (run / BEST / DESCRIPTION).is_file()]
    if not names:
        raise PixelBayesError(
            "there is no model to show: none is shipped with this installation and runs/ has "
            "none; name one, or make one with 'pixelbayes demo'"
        )
    return list(dict.fromkeys(names))


class ModelShelf:
    """The models that a page offers.

    Args:
        names: As for `pixelbayes.models.hub.load`; no other model is ever loaded.
        device: Where they run.
    """

    def __init__(self, names: Sequence[str], device: str | torch.device = "cpu") -> None:
        self.names = tuple(names)
        self.device = device
        self._loaded: dict[str, OfferedModel] = {}
        self._locks = {name: threading.Lock() for name in self.names}

    def get(self, name: str) -> OfferedModel:
        """Returns a model, loaded once.

        Raises:
            PixelBayesError: If it is not offered or cannot be used.
        """
        if name not in self._locks:
            raise PixelBayesError(
                f"this page offers no model {name!r}; choose one of: {', '.join(self.names)}"
            )
        with self._locks[name]:
            if name not in self._loaded:
                model = load(name, self.device)
                self._loaded[name] = OfferedModel(name, model, _examples(model))
            return self._loaded[name]


def _examples(model: Model) -> Tensor:
    labels = torch.arange(min(len(model.classes), EXAMPLES))
    if not model.can_sample:
        return torch.empty((0, model.channels, *model.image_size), dtype=torch.uint8)
    return model.draw(labels, torch.Generator().manual_seed(EXAMPLE_SEED))
