"""The tab Create."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from torch import Tensor

from pixelbayes.app import create
from pixelbayes.app.markup import note
from pixelbayes.app.models import OfferedModel
from pixelbayes.app.tabs.shared import Page, Tab, events, seed_input, sentences, stopped
from pixelbayes.app.work import Finished, in_background

__all__ = ["CreateTab"]

INVITATION = "Images appear row by row as they are drawn."


class CreateTab(Tab):
    """A class in; images of it out, row by row."""

    def __init__(self, page: Page) -> None:
        self.page = page
        low, high = create.TEMPERATURES
        with gr.Tab("Create"), gr.Row():
            with gr.Column(scale=2, min_width=280):
                label = gr.Dropdown(_classes(page.start), value=create.EACH, label="Class")
                count = gr.Slider(1, page.limits.images, value=4, step=1, label="Images of a class")
                temperature = gr.Slider(
                    low,
                    high,
                    value=1.0,
                    step=0.05,
                    label="Temperature",
                    info="1 draws from the model as it is; less gives plainer, likelier images.",
                )
                seed = seed_input()
                with gr.Row(elem_classes="pb-controls"):
                    start = gr.Button("Draw", variant="primary", min_width=90)
                    stop = gr.Button("Stop", min_width=90)
            with gr.Column(scale=5, min_width=320):
                result = gr.HTML(note(INVITATION))
        inputs = [page.model, label, count, temperature, seed]
        drawing = start.click(self.drawn, inputs, result, **events(page))
        stop.click(stopped, None, result, cancels=[drawing], **events())
        self.changing, self.pending = [label, result], [drawing]

    def values_for(self, offered: OfferedModel) -> list[Any]:
        """See `Tab.values_for`."""
        return [gr.Dropdown(_classes(offered), value=create.EACH), note(INVITATION)]

    def drawn(
        self, name: str, label: str, count: int, temperature: float, seed: int | None
    ) -> Iterator[str]:
        """The images as far as they are drawn, then finished."""
        yield from sentences(self._draw(name, label, count, temperature, seed or 0))

    def _draw(
        self, name: str, label: str, count: int, temperature: float, seed: int
    ) -> Iterator[str]:
        model = self.page.shelf.get(name).model
        labels = create.labels_of(model, label, count, self.page.limits)

        left_out = ""
        if label == create.EACH and len(labels) < len(model.classes):
            left_out = note(
                f"These are the first {len(labels)} of {len(model.classes)} classes, as many as "
                "one drawing has; choose others by their names."
            )

        def compute(report: Callable[[tuple[int, Tensor]], None]) -> create.Drawing:
            return create.draw(
                model,
                labels,
                temperature=temperature,
                seed=seed,
                on_row=lambda row, levels: report((row, levels)),
            )

        for step in in_background(compute):
            if isinstance(step, Finished):
                yield create.drawing_html(model, step.value) + left_out
            else:
                yield create.rows_html(model, labels, *step)


def _classes(offered: OfferedModel) -> list[str]:
    return [create.EACH, *offered.model.classes]
