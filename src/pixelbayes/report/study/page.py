"""A study as web pages that need no other file: index.html and samples.html."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from typing import Any

from pixelbayes.report import elements
from pixelbayes.report.markdown import table_rows, without_command
from pixelbayes.report.study.marks import Drawing
from pixelbayes.report.study.pictures import ACROSS, MANY_CLASSES, sampled
from pixelbayes.report.study.results import ModelResult
from pixelbayes.report.study.table import Table, grouped, provenance_line
from pixelbayes.report.study.typesetting import html_table

__all__ = ["Content", "index_page", "samples_page", "shared_notes", "table_page"]


LISTS = ("comparisons", "scores")  # long tables, which stand after the figures


@dataclass(frozen=True)
class Content:
    """Everything that the pages of a study show."""

    title: str
    results: Sequence[ModelResult]
    tables: Sequence[Table]
    comparisons: Sequence[Drawing]
    """All models in one figure each."""
    trainings: Mapping[str, Sequence[Drawing]]
    """By model."""
    provenance: Mapping[str, Any]
    drawn: bool
    """False without matplotlib: the figures are missing."""

    @property
    def signature(self) -> str:
        """Command, commit and machine, for under a figure."""
        command = str(self.provenance.get("command") or "")
        return " · ".join(filter(None, (command, provenance_line(self.provenance))))


def index_page(content: Content) -> str:
    """Renders the whole study as one page.

    Raises:
        ReportError: If an image of a result is not a PNG in base64.
    """
    missing = "" if content.drawn else f'<p class="note">{escape(elements.NO_MATPLOTLIB)}</p>'
    body = "\n".join(
        (
            _header(content),
            missing,
            *(html_table(table) for table in content.tables if table.stem not in LISTS),
            _comparisons(content),
            _qualitative(content.results),
            *(html_table(table) for table in content.tables if table.stem in LISTS),
            *(_model(content, group) for group in grouped(content.results).values()),
        )
    )
    return elements.document(content.title, body, _style())


def samples_page(content: Content) -> str:
    """Renders the generated images alone: rows are models, columns classes.

    Raises:
        ReportError: If a sample is not a PNG in base64.
    """
    body = (
        f"<header><h1>{escape(content.title)}: samples</h1></header>"
        + (_qualitative(content.results) or '<p class="note">There are no samples yet.</p>')
        + f'<p class="quiet source">{escape(content.signature)}</p>'
    )
    return elements.document(f"{content.title}: samples", body, _style())


def table_page(table: Table) -> str:
    """Renders one table as a page of its own."""
    return elements.document(table.title, html_table(table), _style())


def shared_notes(results: Sequence[ModelResult]) -> list[str]:
    """The notes of all results, each once, with its models where it is not about all of them."""
    models: dict[str, list[str]] = {}
    for result in results:
        for note in result.notes:
            models.setdefault(note, []).append(result.name)
    everyone = {result.name for result in results}
    return [
        note if set(names) == everyone else f"{', '.join(dict.fromkeys(names))}: {note}"
        for note, names in models.items()
    ]


def _style() -> str:
    return resources.files("pixelbayes.report.study").joinpath("study.css").read_text("utf-8")


def _header(content: Content) -> str:
    links = [(table.stem, table.title) for table in content.tables]
    links += [("samples", "Samples")] if sampled(content.results) else []
    links += [(f"model-{name}", name) for name in grouped(content.results)]
    anchors = "".join(f'<a href="#{escape(to)}">{escape(text)}</a>' for to, text in links)
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in shared_notes(content.results))
    return (
        f"<header><h1>{escape(content.title)}</h1>"
        f'<p class="quiet">{escape(provenance_line(content.provenance))}</p>'
        f'<dl class="cards">{"".join(_cards(content.results))}</dl><nav>{anchors}</nav>{notes}'
        "</header>"
    )


def _cards(results: Sequence[ModelResult]) -> Iterable[str]:
    for kind, title in (("pixelcnn", "Best generative classifier"), ("resnet18", "ResNet-18")):
        for split in ("test", "validation"):
            judged = [r for r in results if r.kind == kind and split in r.accuracy]
            if judged:
                best = max(judged, key=lambda r: r.accuracy[split].value)
                value, _, interval = best.accuracy[split].brief.partition(" [")
                yield elements.card(title, value, f"{split} accuracy, {best.name} [{interval}")
                break
    coded = [r for r in results if "validation" in r.bits_per_dim]
    if coded:
        best = min(coded, key=lambda r: r.bits_per_dim["validation"].value)
        value, _, interval = best.bits_per_dim["validation"].brief.partition(" [")
        yield elements.card("Shortest code", value, f"validation, {best.name} [{interval}")
    scores = [(s.fid.value, s, r.name) for r in results if (s := r.score("matched", 192))]
    if scores:
        lowest, score, name = min(scores, key=lambda entry: entry[0])
        floor = f"; real images {score.fid_floor.value:.1f}" if score.fid_floor else ""
        yield elements.card("Lowest FID matched-192", f"{lowest:.1f}", f"{name}{floor}")


def _comparisons(content: Content) -> str:
    figures = "".join(_figure(drawing, content) for drawing in content.comparisons)
    return f"<section><h2>All models</h2>{figures}</section>" if figures else ""


def _qualitative(results: Sequence[ModelResult]) -> str:
    models = sampled(results)
    if not models:
        return ""
    classes = list(dict.fromkeys(name for samples in models.values() for name in samples))
    across = ACROSS if len(classes) <= MANY_CLASSES else ACROSS // 2
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("model", *classes))
    body = "".join(
        f'<tr><th scope="row">{escape(model)}</th>'
        + "".join(
            f"<td>{_cell(model, name, samples.get(name, []), across)}</td>" for name in classes
        )
        + "</tr>"
        for model, samples in models.items()
    )
    return (
        '<section id="samples"><h2>Samples</h2><p class="quiet">Generated images, not selected: '
        "the first of each class, enlarged without smoothing. Rows are models, columns classes.</p>"
        f'<div class="scroll"><table class="qualitative"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _cell(model: str, name: str, images: Sequence[str], across: int) -> str:
    pixels = (
        elements.image(png, f"{model}, {name}, sample {k}")
        for k, png in enumerate(images[: 2 * across], start=1)
    )
    return f'<div style="--across: {across}">{"".join(pixels)}</div>'


def _model(content: Content, group: Sequence[ModelResult]) -> str:
    name = group[0].name
    drawn = [_figure(drawing, content) for drawing in content.trainings.get(name, ())]
    figure, beside = "".join(drawn[:1]), "".join(drawn[1:])
    epochs = next((r.epoch_samples for r in group if r.epoch_samples), {})
    grids = "".join(
        f"<li>{elements.image(png, f'{name}, samples of epoch {epoch}')}epoch {epoch}</li>"
        for epoch, png in sorted(epochs.items())
    )
    over = f'<h3>Samples over the epochs</h3><ul class="epochs">{grids}</ul>' if grids else ""
    return (
        f'<section id="model-{escape(name)}"><h2>{escape(name)}</h2>'
        f"<p>{escape('; '.join(_sentence(result) for result in group))}.</p>{figure}"
        f'<div class="pair"><div>{over}</div><div>{beside}</div></div>'
        f"<details><summary>Settings and provenance of {escape(name)}</summary>"
        f'<div class="facts">{"".join(_facts(group))}</div></details></section>'
    )


def _sentence(result: ModelResult) -> str:
    ended = {
        "epochs": "all epochs done",
        "patience": "stopped early",
        "unfinished": "training not finished",
    }[result.reason]
    hours = result.training_seconds and f", {result.training_seconds / 3600:.2g} h of training"
    return (
        f"seed {result.seed}: {result.epochs} epochs ({ended}), "
        f"evaluated at epoch {result.best_epoch}{hours or ''}"
    )


def _facts(group: Sequence[ModelResult]) -> Iterable[str]:
    tables = [("Settings", group[0].settings)]
    tables += [(f"Seed {r.seed}", without_command(r.provenance)) for r in group]
    for title, content in tables:
        if content:
            rows = elements.table((), table_rows(content))
            yield f'<section><h3>{escape(title)}</h3><div class="scroll">{rows}</div></section>'
    commands = dict.fromkeys(str(r.provenance.get("command") or "") for r in group)
    for command in filter(None, commands):
        yield f"<section><h3>Command</h3><pre><code>{escape(command)}</code></pre></section>"


def _figure(drawing: Drawing, content: Content) -> str:
    if isinstance(drawing.image, str):
        kind, data = "svg+xml", drawing.image.encode()
    else:
        kind, data = "png", drawing.image
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    shown = elements.figure(source, drawing.alt, drawing.caption)
    return (
        f'<div class="signed">{shown}<p class="quiet source">{escape(content.signature)}</p></div>'
    )
