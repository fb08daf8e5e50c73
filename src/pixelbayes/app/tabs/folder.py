"""The tab Folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from pixelbayes.app import folder
from pixelbayes.app.markup import note
from pixelbayes.app.models import OfferedModel
from pixelbayes.app.tabs.shared import Page, Tab, events, sentences, stopped
from pixelbayes.app.work import Finished, in_background
from pixelbayes.data import IMAGE_SUFFIXES

__all__ = ["FolderTab"]

INVITATION = "Choose images, or drop them; each gets a row of the table."


class FolderTab(Tab):
    """Many images in; a table out."""

    def __init__(self, page: Page) -> None:
        self.page = page
        with gr.Tab("Folder"):
            upload = gr.File(
                label=f"Images, up to {page.limits.files}",
                file_count="multiple",
                file_types=[*IMAGE_SUFFIXES, ".csv"],
                height=170,
            )
            by_name = gr.Checkbox(
                label="The class is in the file's name, as in koala-12.jpg",
                info="Or add a CSV file: in each row the name of a file and its class.",
            )
            with gr.Row(elem_classes="pb-controls"):
                start = gr.Button("Classify them", variant="primary", scale=0, min_width=160)
                stop = gr.Button("Stop", scale=0, min_width=90)
            result = gr.HTML(note(INVITATION))
        inputs = [page.model, upload, by_name]
        sorting = start.click(self.tabulated, inputs, result, **events(page))
        stop.click(stopped, None, result, cancels=[sorting], **events())
        self.changing, self.pending = [result], [sorting]

    def values_for(self, offered: OfferedModel) -> list[Any]:
        """See `Tab.values_for`."""
        return [note(INVITATION)]

    def tabulated(self, name: str, paths: list[str] | None, by_name: bool) -> Iterator[str]:
        """How far the work is, then the table."""
        yield from sentences(self._tabulate(name, [Path(path) for path in paths or []], by_name))

    def _tabulate(self, name: str, files: list[Path], by_name: bool) -> Iterator[str]:
        model = self.page.shelf.get(name).model
        labels = folder.given_labels(files, model.classes, by_name)

        def compute(report: Callable[[tuple[int, int]], None]) -> list[folder.Row]:
            return folder.classify_folder(model, files, self.page.limits, labels, report)

        for step in in_background(compute):
            if isinstance(step, Finished):
                yield folder.folder_html(step.value, exact=model.is_exact)
            else:
                yield note(f"{step[0]} of {step[1]} images classified.")
