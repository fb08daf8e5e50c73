"""Writes the files of a study: each appears whole or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelbayes.errors import PixelBayesError
from pixelbayes.io import write_whole
from pixelbayes.report.study.comparing import comparison_drawings
from pixelbayes.report.study.marks import Drawing
from pixelbayes.report.study.page import Content, index_page, samples_page, table_page
from pixelbayes.report.study.pictures import decode_png, sample_drawings
from pixelbayes.report.study.published import Published
from pixelbayes.report.study.readme import epoch_grids, readme
from pixelbayes.report.study.results import ModelResult
from pixelbayes.report.study.table import Table, grouped
from pixelbayes.report.study.tables import study_tables
from pixelbayes.report.study.training import model_drawings
from pixelbayes.report.study.typesetting import latex_table, markdown_table

__all__ = ["write"]


def write(
    folder: Path,
    results: Sequence[ModelResult],
    title: str,
    published: Published | None,
    provenance: Mapping[str, Any],
) -> list[Path]:
    """Writes what `pixelbayes.report.study.write_study` promises."""
    _check(results)
    try:
        comparisons = comparison_drawings(results, published)
        trainings = {
            name: model_drawings(group, published) for name, group in grouped(results).items()
        }
        samples, drawn = sample_drawings(results), True
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        comparisons, trainings, samples, drawn = [], {}, [], False
    tables = study_tables(results, published, provenance)
    content = Content(title, results, tables, comparisons, trainings, provenance, drawn)
    texts = {
        "index.html": index_page(content),
        "samples.html": samples_page(content),
        "README.md": readme(content, samples),
    }
    for table in tables:
        texts |= _table_files(table)
    drawings = [*comparisons, *samples, *(d for group in trainings.values() for d in group)]
    images = _image_files(results, drawings)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, text)
    for name, data in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, data)
    return [folder / name for name in (*texts, *images)]


def _check(results: Sequence[ModelResult]) -> None:
    if not results:
        raise PixelBayesError("a study needs at least one result; train a model of it first")
    seen = [(result.name, result.seed) for result in results]
    double = sorted({entry for entry in seen if seen.count(entry) > 1})
    if double:
        raise PixelBayesError(
            "each model and seed has one result, but there are several of "
            + ", ".join(f"{name} (seed {seed})" for name, seed in double)
        )


def _table_files(table: Table) -> dict[str, str]:
    return {
        f"tables/{table.stem}.md": f"# {table.title}\n\n{markdown_table(table)}",
        f"tables/{table.stem}.html": table_page(table),
        f"tables/{table.stem}.tex": latex_table(table),
    }


def _image_files(results: Sequence[ModelResult], drawings: Sequence[Drawing]) -> dict[str, bytes]:
    files = {
        f"figures/{drawing.file}": drawing.image
        if isinstance(drawing.image, bytes)
        else f"{drawing.image}\n".encode()
        for drawing in drawings
    }
    for group in grouped(results).values():
        kept = next((result.epoch_samples for result in group if result.epoch_samples), {})
        for epoch, file in epoch_grids(group):
            files[f"figures/{file}"] = decode_png(kept[epoch])
    return files
