"""What the tabs have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from pixelbayes.app.complete import enlarged
from pixelbayes.app.limits import Limits
from pixelbayes.app.markup import note
from pixelbayes.app.models import ModelShelf, OfferedModel
from pixelbayes.data import IMAGE_SUFFIXES
from pixelbayes.errors import PixelBayesError

__all__ = [
    "NO_PHOTO",
    "Page",
    "Tab",
    "events",
    "photo_inputs",
    "seed_input",
    "sentences",
    "thumbnails",
]

LARGEST_SEED = 2**32 - 1
NO_PHOTO = "Choose a photo first, or one of the images below it."
STOPPED = "Stopped."


@dataclass(frozen=True)
class Page:
    """What every tab is given."""

    shelf: ModelShelf
    limits: Limits
    model: gr.Dropdown
    """Where a person chooses the model."""

    @property
    def start(self) -> OfferedModel:
        """The model that is chosen at first."""
        return self.shelf.get(self.shelf.names[0])


class Tab(ABC):
    """One tab; its components are made inside the `gr.Blocks` that is open.

    Attributes:
        changing: Components that another model changes.
        pending: Events that compute with a model, given up where another one is chosen.
    """

    changing: list[Any]
    pending: list[Any]

    @abstractmethod
    def values_for(self, offered: OfferedModel) -> list[Any]:
        """Values of `changing` for another model; what was said of the last one is gone."""


def events(page: Page | None = None) -> dict[str, Any]:
    """Options of an event: none is part of a public interface.

    Args:
        page: Given where a network runs: only some of these run at a time, the others wait.
    """
    options: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
    if page is not None:
        options |= {"concurrency_id": "model", "concurrency_limit": page.limits.at_once}
    return options


def stopped() -> str:
    """What takes the place of a result that was given up."""
    return note(STOPPED)


def sentences(steps: Iterator[str]) -> Iterator[str]:
    """The same markup; what is wrong, a person's mistake, becomes a sentence at the end of it."""
    try:
        yield from steps
    except PixelBayesError as error:
        yield note(str(error), mistake=True)


def photo_inputs(page: Page) -> tuple[gr.File, gr.Gallery]:
    """Where a photo comes from: a file, or what the model has drawn."""
    upload = gr.File(label="Photo", file_types=list(IMAGE_SUFFIXES), height=150)
    drawn = gr.Gallery(
        thumbnails(page.start),
        label="Or an image that the model has drawn",
        columns=5,
        height="auto",
        allow_preview=False,
        object_fit="contain",
        format="png",
        buttons=[],
        interactive=False,
        elem_classes="pb-examples",
    )
    return upload, drawn


def thumbnails(offered: OfferedModel) -> list[tuple[Any, str]]:
    """The model's own images with their classes."""
    names = offered.model.classes
    return [(enlarged(image), name) for image, name in zip(offered.examples, names, strict=False)]


def seed_input() -> gr.Number:
    """The seed of a drawing."""
    return gr.Number(7, precision=0, label="Seed", minimum=0, maximum=LARGEST_SEED)
