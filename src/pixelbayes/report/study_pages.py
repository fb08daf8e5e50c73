"""The pages, figures and tables of a study, in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelbayes.errors import PixelBayesError
from pixelbayes.io import write_together
from pixelbayes.report import figures, study_figures
from pixelbayes.report.markup import HTML, MARKDOWN, TEX, Card
from pixelbayes.report.model_table import Table, grouped
from pixelbayes.report.published import published_study
from pixelbayes.report.results import ModelResult, decode_png
from pixelbayes.report.study_tables import study_tables
from pixelbayes.report.tables import Column, column_of

__all__ = ["latex_table", "write_study"]

ENDINGS = {
    "epochs": "all epochs done",
    "patience": "stopped early",
    "unfinished": "training not finished",
}


def write_study(
    folder: Path,
    results: Sequence[ModelResult],
    *,
    title: str,
    published: str | None = None,
    provenance: Mapping[str, Any],
) -> list[Path]:
    """Writes pages, figures and LaTeX tables of a study; files of an earlier call are replaced.

    Args:
        folder: Gets index.html, README.md, figures/ and tables/; created.
        results: One for each model and seed, in the order of the study; any subset of the models,
            also unfinished ones, which are marked.
        title: Of the pages.
        published: Name of the published figures to set beside (`PUBLISHED`), None for none.
        provenance: Command, commit, machine, date, as `workflows.provenance.provenance()`.

    Returns:
        The files written, index.html first.

    Raises:
        ValueError: If there are no results, two have the same name and seed, or no figures are
            published under this name.
        ReportError: If an image of a result is not a PNG in base64.
    """
    if not results:
        raise PixelBayesError("a study needs at least one result; train a model of it first")
    seen = [(result.name, result.seed) for result in results]
    double = sorted({entry for entry in seen if seen.count(entry) > 1})
    if double:
        raise PixelBayesError(
            "each model and seed has one result, but there are several of "
            + ", ".join(f"{name} (seed {seed})" for name, seed in double)
        )
    theirs = published_study(published)
    tables, groups = study_tables(results, theirs), grouped(results)
    drawn = figures.drawn(
        lambda: (
            study_figures.comparison_plots(results, theirs),
            study_figures.sample_plot(results),
            {name: study_figures.model_plots(group, theirs) for name, group in groups.items()},
        )
    )
    comparisons, sample_plot, model_plots = drawn if drawn is not None else ([], None, {})
    samples = study_figures.sampled(results)
    content = {
        "title": title,
        "summary": _summary(results),
        "tables": tables,
        "drawn": drawn is not None,
        "comparisons": comparisons,
        "sample_plot": sample_plot,
        "model_plots": model_plots,
        "groups": groups,
        "grids": {name: _epoch_grids(group) for name, group in groups.items()},
        "samples": samples,
        "sample_classes": list(dict.fromkeys(name for by in samples.values() for name in by)),
        "notes": _shared_notes(results),
        "numbers": list(_study_cards(results)),
        "endings": ENDINGS,
        "command_line": str(provenance.get("command") or ""),
        "source": _provenance_line(provenance),
    }
    files: dict[str, str | bytes] = {
        "index.html": HTML.get_template("study.html.jinja").render(content),
        "README.md": MARKDOWN.get_template("study.md.jinja").render(content),
        **{f"tables/{table.stem}.tex": latex_table(table, provenance) for table in tables},
    }
    plots = [*comparisons, *(plot for group in model_plots.values() for plot in group)]
    for plot in [*plots, *filter(None, [sample_plot])]:
        image = plot.image
        files[f"figures/{plot.file}"] = f"{image}\n" if isinstance(image, str) else image
    for group in groups.values():
        kept = next((result.epoch_samples for result in group if result.epoch_samples), {})
        for epoch, file in _epoch_grids(group):
            files[f"figures/{file}"] = decode_png(kept[epoch])
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_together({folder / name: data for name, data in files.items()})
    return [folder / name for name in files]


def latex_table(table: Table, provenance: Mapping[str, Any]) -> str:
    """Renders a table as a LaTeX float; needs the packages booktabs and graphicx.

    Intervals stand below their values, which halves the width that is to fit the page.
    """
    return TEX.get_template("table.tex.jinja").render(
        table=table,
        title=re.sub(r"^Table \d+\. ", "", table.title),  # LaTeX counts by itself
        command_line=str(provenance.get("command") or ""),
        source=_provenance_line(provenance),
    )


def _study_cards(results: Sequence[ModelResult]) -> Iterable[Card]:
    """The best model of each kind, and what it is measured against."""

    def best(title: str, split: str, name: str, among: Iterable[ModelResult]) -> Iterable[Card]:
        found = {
            f"{r.name}, seed {r.seed}": x
            for r in among
            if (x := r.measure(split, name)) is not None
        }
        if found:
            column: Column = column_of(name)
            winner = column.best(found)
            about = f"{column.title}, {winner}; 95 % interval {column.interval(found[winner])}"
            yield Card(title, column.value(found[winner]), f"{split} {about}")

    split = "test" if any("test" in result.splits for result in results) else "validation"
    generative = [result for result in results if result.generative]
    yield from best("Best generative classifier", split, "accuracy", generative)
    others = [result for result in results if result.discriminative]
    yield from best("Best discriminative classifier", split, "accuracy", others)
    together = [result for result in results if result.kind == "ensemble"]
    yield from best("Best ensemble", split, "accuracy", together)
    if _alike(results, "image_size", "filter", "geometry", "channels"):
        yield from best("Shortest code", "validation", "bits_per_dim", results)


def _summary(results: Sequence[ModelResult]) -> str:
    """How many models there are, and whether they stand for the same images."""
    number = len(grouped(results))
    if number == 1:
        return "One model."
    same = _alike(results, "data", "split_seed", "limit", "set_aside")
    return f"{number} models{', measured on the same images' if same else ''}."


def _alike(results: Sequence[ModelResult], *names: str) -> bool:
    """Whether these settings of the data are the same, as far as the results say."""
    data = [result.settings["data"] for result in results if "data" in result.settings]
    return all(one.get(name) == data[0].get(name) for one in data for name in names)


def _shared_notes(results: Sequence[ModelResult]) -> list[str]:
    """The notes of all results, each once, with what it is about where that is not all of them."""
    about: dict[str, list[ModelResult]] = {}
    for result in results:
        for note in result.notes:
            about.setdefault(note, []).append(result)

    def named(some: Sequence[ModelResult]) -> Iterable[str]:
        for name, group in grouped(some).items():
            seeds = [str(one.seed) for one in group]
            every = len(group) == len(grouped(results)[name])
            yield name if every else f"{name} (seed{'s' * (len(seeds) > 1)} {', '.join(seeds)})"

    return [
        note if len(some) == len(results) else f"{', '.join(named(some))}: {note}"
        for note, some in about.items()
    ]


def _epoch_grids(group: Sequence[ModelResult]) -> list[tuple[int, str]]:
    """Epoch and file name of each grid of samples that was kept; of the first seed with some."""
    kept = next((result for result in group if result.epoch_samples), None)
    if kept is None:
        return []
    return [(k, f"samples-{kept.name}-epoch-{k:04d}.png") for k in sorted(kept.epoch_samples)]


def _provenance_line(provenance: Mapping[str, Any]) -> str:
    """Commit, machine and date in one line.

    >>> _provenance_line({"commit": "3f2c1aa", "machine": {"cpu": "EPYC", "threads": 2}})
    'commit 3f2c1aa · EPYC, 2 threads'
    """
    machine = provenance.get("machine") or {}
    parts = [f"commit {provenance['commit']}"] if provenance.get("commit") else []
    if isinstance(machine, Mapping):
        threads = [f"{machine['threads']} threads"] if "threads" in machine else []
        machine = ", ".join([machine.get("cpu", ""), *threads, *machine.get("gpus", [])])
    parts += [str(machine).strip(", "), str(provenance.get("date") or "")]
    return " · ".join(filter(None, parts))
