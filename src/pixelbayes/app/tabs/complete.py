"""The tab Complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from torch import Tensor

from pixelbayes.app import classify, complete
from pixelbayes.app.limits import Photo, read_photo
from pixelbayes.app.markup import note
from pixelbayes.app.models import OfferedModel
from pixelbayes.app.tabs.shared import (
    NO_PHOTO,
    Page,
    Tab,
    events,
    photo_inputs,
    seed_input,
    sentences,
    stopped,
    thumbnails,
)
from pixelbayes.app.work import Finished, in_background
from pixelbayes.errors import PixelBayesError

__all__ = ["CompleteTab"]

BRUSH = 40  # pixels of the painting: three of the image's
COLOUR = "#d55e00"
LIKELIEST = "the most probable class"
INVITATION = "Choose an image, paint over a part of it or choose a part, and press Complete."
OPENED = "Paint over a part of it, or choose a part; then press Complete."


class CompleteTab(Tab):
    """An image with a part painted away in; four ways to complete it out."""

    def __init__(self, page: Page) -> None:
        self.page = page
        with gr.Tab("Complete"), gr.Row():
            with gr.Column(scale=2, min_width=280):
                upload, drawn = photo_inputs(page)
            with gr.Column(scale=5, min_width=320):
                editor = _editor()
                photo = gr.State()
                part = gr.Radio(
                    [complete.PAINTED, *complete.PARTS], value=complete.PAINTED, label="Draw anew"
                )
                with gr.Row():
                    label = gr.Dropdown(
                        _classes(page.start), value=LIKELIEST, label="Draw it as", min_width=220
                    )
                    seed = seed_input()
                with gr.Row(elem_classes="pb-controls"):
                    start = gr.Button("Complete", variant="primary", min_width=90)
                    stop = gr.Button("Stop", min_width=90)
                result = gr.HTML(note(INVITATION))
        opened = [editor, photo, result]
        opening = [
            upload.upload(self.uploaded, [page.model, upload], opened, **events()),
            drawn.select(self.chosen, page.model, opened, **events()),
        ]
        inputs = [page.model, photo, editor, part, label, seed]
        completing = start.click(self.completed, inputs, result, **events(page))
        stop.click(stopped, None, result, cancels=[completing], **events())
        self.changing, self.pending = [upload, drawn, label, *opened], [*opening, completing]

    def values_for(self, offered: OfferedModel) -> list[Any]:
        """See `Tab.values_for`."""
        classes = gr.Dropdown(_classes(offered), value=LIKELIEST)
        return [None, thumbnails(offered), classes, None, None, note(INVITATION)]

    def uploaded(self, name: str, path: str | None) -> list[Any]:
        """An uploaded file to paint on."""
        if path is None:
            return [None, None, note(INVITATION)]
        return self._open(name, lambda it: read_photo(path, it.model, self.page.limits))

    def chosen(self, name: str, event: gr.SelectData) -> list[Any]:
        """An image that the model has drawn, to paint on."""
        return self._open(name, lambda offered: offered.photo(event.index))

    def _open(self, name: str, read: Callable[[OfferedModel], Photo]) -> list[Any]:
        try:
            photo = read(self.page.shelf.get(name))
        except PixelBayesError as error:
            return [None, None, note(str(error), mistake=True)]
        return [complete.canvas(photo.levels), photo, note(OPENED)]

    def completed(
        self, name: str, photo: Any, painting: Any, part: str, label: str, seed: int | None
    ) -> Iterator[str]:
        """The candidates as far as they are drawn, then the best."""
        yield from sentences(self._complete(name, photo, painting, part, label, seed or 0))

    def _complete(
        self, name: str, photo: Any, painting: Any, part: str, label: str, seed: int
    ) -> Iterator[str]:
        if photo is None:
            yield note(NO_PHOTO)
            return
        model = self.page.shelf.get(name).model
        size = model.image_size
        if part == complete.PAINTED:
            unknown = complete.painted_part(complete.opacity(painting, size), size)
        else:
            unknown = complete.hidden_part(part, size)
        likeliest = classify.answer(model, photo).label if label == LIKELIEST else None
        drawn_as = model.class_index(label) if likeliest is None else likeliest

        def compute(report: Callable[[tuple[int, Tensor]], None]) -> complete.Completion:
            return complete.complete(
                model,
                drawn_as,
                photo.levels,
                unknown,
                seed=seed,
                on_row=lambda row, levels: report((row, levels)),
            )

        for step in in_background(compute):
            if isinstance(step, Finished):
                yield complete.completion_html(model, step.value, photo.levels)
            else:
                yield complete.progress_html(*step, unknown)


def _editor() -> gr.ImageEditor:
    """A canvas with one brush and nothing that changes the image below it."""
    side = complete.EDITOR_SIDE
    return gr.ImageEditor(
        label="Paint here",
        sources=(),
        transforms=(),
        layers=gr.LayerOptions(disabled=True),
        brush=gr.Brush(default_size=BRUSH, colors=[COLOUR], color_mode="fixed"),
        eraser=gr.Eraser(default_size=BRUSH),
        height=side + 96,  # and its tools
        canvas_size=(side, side),
        fixed_canvas=True,
        format="png",
        buttons=[],
        elem_classes="pb-editor",
    )


def _classes(offered: OfferedModel) -> list[str]:
    return [LIKELIEST, *offered.model.classes]
