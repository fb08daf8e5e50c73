"""The page: a choice of the model and four tabs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pixelbayes.app.limits import Limits
from pixelbayes.app.markup import note, render
from pixelbayes.app.models import ModelShelf
from pixelbayes.app.tabs.classify import ClassifyTab
from pixelbayes.app.tabs.complete import CompleteTab
from pixelbayes.app.tabs.create import CreateTab
from pixelbayes.app.tabs.folder import FolderTab
from pixelbayes.app.tabs.shared import Page, Tab, events
from pixelbayes.errors import PixelBayesError

__all__ = ["build"]

TITLE = "pixelbayes"
CLEANING = (600, 3600)  # every ten minutes, what was uploaded an hour ago


def build(shelf: ModelShelf, limits: Limits) -> gr.Blocks:
    """Builds the page.

    Args:
        shelf: The models that are offered; the first is chosen at the start.
        limits: What is accepted.
    """
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=CLEANING) as blocks:
        gr.HTML(render("header.html.jinja"))
        with gr.Row(elem_classes="pb-model"):
            names = list(shelf.names)
            model = gr.Dropdown(names, value=names[0], label="Model", scale=2, min_width=240)
            page = Page(shelf, limits, model)
            with gr.Column(scale=5, min_width=280):
                sentence = gr.HTML(_sentence(page.shelf, names[0]))
        with gr.Tabs():
            tabs: list[Tab] = [
                kind(page) for kind in (ClassifyTab, CreateTab, CompleteTab, FolderTab)
            ]

        chosen = gr.State(names[0])
        changing = [component for tab in tabs for component in tab.changing]

        def choose(name: str, last: str) -> list[Any]:
            try:
                offered = shelf.get(name)
            except PixelBayesError as error:  # the page stays as it is, with the last model
                kept = [gr.Dropdown(value=last), last, *(gr.skip() for _ in changing)]
                return [note(str(error), mistake=True), *kept]
            values = [value for tab in tabs for value in tab.values_for(offered)]
            return [_sentence(shelf, name), name, name, *values]

        model.input(
            choose,
            [model, chosen],
            [sentence, model, chosen, *changing],
            cancels=[event for tab in tabs for event in tab.pending],  # they are of the last model
            **events(page),
        )
    return blocks


def _sentence(shelf: ModelShelf, name: str) -> str:
    return render("model.html.jinja", offered=shelf.get(name))
