"""A study as Markdown for a repository's pages: tables in full, figures as links."""

from collections.abc import Iterable, Sequence

from pixelbayes.report.markdown import escape
from pixelbayes.report.study.marks import Drawing
from pixelbayes.report.study.page import Content, shared_notes
from pixelbayes.report.study.results import ModelResult
from pixelbayes.report.study.table import grouped, provenance_line
from pixelbayes.report.study.typesetting import markdown_table, signature

__all__ = ["epoch_grids", "readme"]


def readme(content: Content, samples: Sequence[Drawing]) -> str:
    """Renders the study as README.md, which links to figures/ beside it.

    Args:
        content: What to show.
        samples: Figures of generated images.

    Returns:
        The whole document, ending with a newline.
    """
    parts = [
        f"# {escape(content.title)}",
        "The same with embedded figures: [index.html](index.html); "
        "generated images in full: [samples.html](samples.html).",
        "\n".join(f"> {escape(note)}\n>" for note in shared_notes(content.results)),
    ]
    for table in content.tables:
        links = ", ".join(f"[{kind}](tables/{table.stem}.{kind})" for kind in ("html", "tex"))
        parts += [f"## {escape(table.title)}", markdown_table(table).rstrip(), f"Also as {links}."]
    if content.comparisons:
        parts += ["## All models", *_linked(content.comparisons, content)]
    if samples:
        parts += ["## Samples", *_linked(samples, content)]
    for name, group in grouped(content.results).items():
        drawings = content.trainings.get(name, ())
        grids = epoch_grids(group)
        if drawings or grids:
            parts += [f"## {escape(name)}", *_linked(drawings, content)]
        if grids:
            header = " | ".join(f"epoch {epoch}" for epoch, _ in grids)
            images = " | ".join(
                f"![{escape(name)}, epoch {epoch}](figures/{file})" for epoch, file in grids
            )
            parts.append(f"| {header} |\n|{' --- |' * len(grids)}\n| {images} |")
    return "\n\n".join(filter(None, parts)) + "\n"


def epoch_grids(group: Sequence[ModelResult]) -> list[tuple[int, str]]:
    """Epoch and file name of each grid of samples that was kept; of the first seed with some."""
    kept = next((result for result in group if result.epoch_samples), None)
    if kept is None:
        return []
    return [(k, f"samples-{kept.name}-epoch-{k:04d}.png") for k in sorted(kept.epoch_samples)]


def _linked(drawings: Iterable[Drawing], content: Content) -> Iterable[str]:
    command = str(content.provenance.get("command") or "")
    for drawing in drawings:
        yield f"![{escape(drawing.alt)}](figures/{drawing.file})"
        yield escape(drawing.caption)
        yield signature(command, provenance_line(content.provenance))
