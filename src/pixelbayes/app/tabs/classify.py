"""The tab Classify."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from pixelbayes.app import classify
from pixelbayes.app.limits import Photo, read_photo
from pixelbayes.app.markup import note, percent
from pixelbayes.app.models import OfferedModel
from pixelbayes.app.tabs.shared import (
    NO_PHOTO,
    Page,
    Tab,
    events,
    photo_inputs,
    sentences,
    stopped,
    thumbnails,
)
from pixelbayes.app.work import Finished, in_background
from pixelbayes.errors import PixelBayesError
from pixelbayes.inference.counterfactual import Counterfactual

__all__ = ["ClassifyTab"]

INVITATION = "Drop a photo, or choose one of the images that the model has drawn."

Changes = dict[Any, Any]
"""New values by component."""


class ClassifyTab(Tab):
    """A photo in; its class, how sure, how unusual, why, and what would change the answer."""

    def __init__(self, page: Page) -> None:
        self.page = page
        with gr.Tab("Classify"), gr.Row():
            with gr.Column(scale=2, min_width=280):
                self.upload, self.drawn = photo_inputs(page)
                self.coverage = _coverage(page.start)
            with gr.Column(scale=5, min_width=320):
                self.result = gr.HTML(note(INVITATION))
                self.answer, self.maps = gr.State(), gr.State()
                with gr.Column(visible=False, elem_classes="pb-more") as self.more:
                    self._explanations()
        everything = [self.result, self.answer, self.maps, self.more, self.label, self.against]
        everything += [self.towards, self.why, self.change]
        inputs = [page.model, self.coverage, self.upload]
        self.pending = [
            self.searching,
            self.upload.upload(self.uploaded, inputs, everything, **events(page)),
            self.drawn.select(self.chosen, inputs[:2], everything, **events(page)),
        ]
        inputs = [page.model, self.coverage, self.answer]
        self.coverage.input(self.covered, inputs, self.result, **events())
        self.changing = [self.upload, self.drawn, self.coverage, self.result, self.answer]
        self.changing += [self.maps, self.more]

    def _explanations(self) -> None:
        gr.HTML('<h3 class="pb-heading">Why?</h3>')
        with gr.Row():
            self.label = gr.Dropdown([], label="Evidence for", min_width=220)
            self.against = gr.Dropdown([], label="against", min_width=220)
        self.why = gr.HTML()
        gr.HTML('<h3 class="pb-heading">What would it take?</h3>')
        with gr.Row(elem_classes="pb-controls"):
            self.towards = gr.Dropdown([], label="To make it", scale=3, min_width=280)
            search = gr.Button("Search", variant="primary", scale=1, min_width=90)
            stop = gr.Button("Stop", scale=1, min_width=90)
        self.change = gr.HTML()
        model = self.page.model
        inputs = [model, self.answer, self.maps, self.label, self.against]
        for picker in (self.label, self.against):
            picker.input(self.explained, inputs, self.why, **events())
        inputs = [model, self.answer, self.towards]
        self.searching = search.click(self.searched, inputs, self.change, **events(self.page))
        stop.click(stopped, None, self.change, cancels=[self.searching], **events())

    def values_for(self, offered: OfferedModel) -> list[Any]:
        """See `Tab.values_for`."""
        gone = gr.Column(visible=False)
        begun = [None, thumbnails(offered), _coverage(offered)]
        return [*begun, note(INVITATION), None, None, gone]

    def uploaded(self, name: str, coverage: float, path: str | None) -> Iterator[Changes]:
        """What the model of this name says about an uploaded file."""
        if path is not None:
            limits = self.page.limits
            yield from self._answered(
                name, coverage, lambda offered: read_photo(path, offered.model, limits)
            )

    def chosen(self, name: str, coverage: float, event: gr.SelectData) -> Iterator[Changes]:
        """What it says about an image that it has drawn."""
        yield from self._answered(name, coverage, lambda offered: offered.photo(event.index))

    def covered(self, name: str, coverage: float, answer: Any) -> str:
        """The answer with the set of another coverage."""
        if answer is None:
            return note(INVITATION)
        return classify.answer_html(self.page.shelf.get(name).model, answer, coverage)

    def _answered(
        self, name: str, coverage: float, read: Callable[[OfferedModel], Photo]
    ) -> Iterator[Changes]:
        try:
            offered = self.page.shelf.get(name)
            model, names = offered.model, list(offered.model.classes)
            answer = classify.answer(model, read(offered))
            yield {
                self.result: classify.answer_html(model, answer, coverage),
                self.answer: answer,
                self.maps: None,
                self.change: "",
                self.more: gr.Column(visible=False),
            }
            maps = classify.evidence_maps(model, answer.photo)
            if maps is None:
                return
            best, second = (names[index] for index in answer.order[:2])
            every = [classify.EVERY_OTHER, *names]
            yield {
                self.maps: maps,
                self.label: gr.Dropdown(names, value=best),
                self.against: gr.Dropdown(every, value=classify.EVERY_OTHER),
                self.towards: gr.Dropdown(names, value=second),
                self.why: classify.evidence_html(model, answer.photo, maps, best),
                self.more: gr.Column(visible=True),
            }
        except PixelBayesError as error:
            yield {
                self.result: note(str(error), mistake=True),
                self.answer: None,
                self.maps: None,
                self.more: gr.Column(visible=False),
            }

    def explained(self, name: str, answer: Any, maps: Any, label: str, against: str) -> str:
        """The evidence for one class and against another."""
        if answer is None or maps is None:
            return note(NO_PHOTO)
        model = self.page.shelf.get(name).model
        try:
            return classify.evidence_html(model, answer.photo, maps, label, against)
        except PixelBayesError as error:
            return note(str(error), mistake=True)

    def searched(self, name: str, answer: Any, towards: str) -> Iterator[str]:
        """The smallest part whose change makes it another class, as the search goes on."""
        yield from sentences(self._search(name, answer, towards))

    def _search(self, name: str, answer: Any, towards: str) -> Iterator[str]:
        if answer is None:
            yield note(NO_PHOTO)
            return
        yield note("Looking for the smallest part; this may take a few minutes.")
        model = self.page.shelf.get(name).model

        def compute(report: Callable[[int], None]) -> Counterfactual | None:
            return classify.what_would_it_take(model, answer.photo, towards, report)

        for step in in_background(compute):
            if not isinstance(step, Finished):
                yield note(f"{step} parts of the image drawn anew so far.")
            elif step.value is None:
                yield note(f"Not even a whole image drawn as {towards} changes the answer.")
            else:
                yield classify.change_html(model, step.value)


def _coverage(offered: OfferedModel) -> gr.Radio:
    """The choice of a coverage; not shown where no sets were calibrated."""
    kept = classify.coverages(offered.model)
    return gr.Radio(
        [(percent(it), it) for it in kept] or [("", classify.DEFAULT_COVERAGE)],
        value=classify.DEFAULT_COVERAGE,
        label="Coverage of the set of classes",
        info="The share of images whose set holds the true class.",
        visible=bool(kept),
    )
