"""Pages, texts and tables from reports and studies: the only door of Jinja2.

A page needs no other file and no network: images, figures and style are in it.  Its one script
sorts and filters the gallery of errors, which is all there without it.  It follows the reader's
light or dark setting and fits a telephone.  What comes from
a report is escaped by the environment of its kind of text: a class may be called "<b>".
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.calibration import ReliabilityCurve
from pixelbayes.io import to_json as json_text
from pixelbayes.io import write_together
from pixelbayes.report import figures, study_figures
from pixelbayes.report.published import published_study
from pixelbayes.report.results import (
    ModelResult,
    Report,
    WrongImage,
    decode_png,
    to_json,
)
from pixelbayes.report.study_tables import (
    Table,
    grouped,
    provenance_line,
    study_tables,
)
from pixelbayes.report.tables import (
    COLUMNS,
    Column,
    column_of,
    results_rows,
    settings_rows,
    temperature_sentence,
    worst_confusions,
)

__all__ = [
    "escape_latex",
    "escape_markdown",
    "latex_table",
    "report_html",
    "report_markdown",
    "save",
    "write_study",
]

SMALLEST_SIDE = 48  # CSS pixels; below that nobody recognises an image
HALF = 0.5
FEW_CLASSES = 20  # more of them get no matrix, and their samples are folded
NO_MATPLOTLIB = (
    "The figures are missing because matplotlib is not installed. "
    "Get it with pip install 'pixelbayes[report]' and write the report again."
)
ENDINGS = {
    "epochs": "all epochs done",
    "patience": "stopped early",
    "unfinished": "training not finished",
}
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # after a line break, a bracket would be read as its length
    "]": "{]}",
    "±": r"$\pm$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "·": r"\textperiodcentered{}",
}
Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Card:
    """A number that a reader who knows nothing of the field understands."""

    title: str
    value: str
    text: str


def escape_markdown(text: str) -> str:
    r"""Keeps a name from being read as markup or from breaking out of its table cell.

    Underscores inside words and lone brackets are no markup, and stay readable.

    >>> print(escape_markdown("film_7 | *x* [80.0, 86.4] [a](b)"))
    film_7 \| \*x\* [80.0, 86.4] [a]\(b)
    """
    found = re.sub(r"[\\`*<>|#]|(?<!\w)_|_(?!\w)", lambda found: f"\\{found[0]}", text)
    return " ".join(found.replace("](", r"]\(").split())


def escape_latex(text: str) -> str:
    r"""Keeps a text from being read as LaTeX.

    >>> print(escape_latex("-50 % of a_b [±1]"))
    $-$50 \% of a\_b {[}$\pm$1{]}
    """
    escaped = "".join(LATEX.get(character, character) for character in text)
    escaped = escaped.replace("--", "-{}-")  # two would become a dash
    return re.sub(r"(?<![\w)])-(?=\d)", "$-$", escaped)


def _environment(escape: Callable[[str], str] | None = None) -> Environment:
    """Templates of one kind of text; HTML is escaped by Jinja2 itself."""

    def finalize(value: Any) -> Any:
        if escape is None or isinstance(value, Markup):
            return value
        return Markup(escape(str(value)))  # noqa: S704  escaped for another kind of text

    environment = Environment(
        loader=PackageLoader("pixelbayes.report"),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "inline": lambda svg, prefix: Markup(figures.inline(svg, prefix)),  # noqa: S704  our SVG
        "likeliest": _likeliest,
        "png_size": _png_size,
        "rows": settings_rows,
        "worst": worst_confusions,
    }
    environment.globals |= {
        "column": column_of,
        "few_classes": FEW_CLASSES,
        "no_matplotlib": NO_MATPLOTLIB,
        "theme": figures.theme_css(":root"),
    }
    return environment


def _png_size(png: str) -> tuple[int, int]:
    """CSS pixels of an image, enlarged by a whole factor so that its pixels stay squares."""
    with Image.open(io.BytesIO(decode_png(png))) as image:
        width, height = image.size
    factor = max(1, -(-SMALLEST_SIDE // min(width, height)))
    return factor * width, factor * height


def _likeliest(
    wrong: WrongImage, classes: Sequence[str], number: int = 3
) -> list[tuple[str, float]]:
    """The classes that a wrong image was given the most probability for."""
    if not wrong.probabilities:
        return [(classes[wrong.predicted], wrong.confidence)]
    return sorted(zip(classes, wrong.probabilities, strict=True), key=lambda x: -x[1])[:number]


SCRIPT = Markup(  # noqa: S704  a file of ours
    (Path(__file__).parent / "templates" / "gallery.js").read_text(encoding="utf-8")
)
HTML, MARKDOWN, TEX = _environment(), _environment(escape_markdown), _environment(escape_latex)


def report_html(report: Report) -> str:
    """Renders a report as one self-contained web page.

    Without matplotlib the page has a note in place of its figures.

    Raises:
        ReportError: If an image of the report is not a PNG in base64.
    """
    header, rows = results_rows(report)
    curves = _drawn(lambda: figures.training_plots(report.curves))
    names = {name.split("/")[0] for split in report.splits.values() for name in split.measures}
    return HTML.get_template("report.html.jinja").render(
        report=report,
        title=report.title,
        classes=report.classes,
        summary=_summary(report),
        numbers=_report_cards(report),
        samples=[
            (name, report.real_images.get(name, []), images)
            for name, images in report.samples.items()
        ],
        anchors={
            f"wrong-{split.split}-{wrong.true}-{wrong.predicted}"
            for split in report.splits.values()
            for wrong in split.most_confidently_wrong
        },
        reliability={name: _reliability(report, name) for name in report.splits},
        selective=_selective(report),
        code_lengths=_code_lengths(report),
        script=SCRIPT,
        curves=curves,
        header=header,
        rows=rows,
        temperature=temperature_sentence(report),
        abouts=[(c.title, c.about) for c in COLUMNS.values() if c.name in names and c.about],
        others=[split for split in report.splits.values() if split is not report.headline],
        facts=_facts(report),
    )


def report_markdown(report: Report) -> str:
    """Renders a report as GitHub-flavoured Markdown: its numbers, for a terminal or a diff."""
    header, rows = results_rows(report)
    return MARKDOWN.get_template("report.md.jinja").render(
        report=report,
        summary=_summary(report),
        header=header,
        rows=rows,
        temperature=temperature_sentence(report),
        splits=sorted(report.splits.values(), key=lambda s: s.split != report.headline_split),
        facts=_facts(report),
    )


def save(report: Report, folder: Path) -> tuple[Path, Path, Path]:
    """Writes `report.json`, `report.md` and `report.html` into a folder.

    Each file appears whole or not at all; if one cannot be written, an earlier report stays.

    Args:
        report: What to write.
        folder: Created if missing; reports in it are replaced.

    Returns:
        The paths of the JSON, the Markdown and the web page.
    """
    texts = (json_text(to_json(report)), report_markdown(report), report_html(report))
    folder.mkdir(parents=True, exist_ok=True)
    paths = (folder / "report.json", folder / "report.md", folder / "report.html")
    write_together(dict(zip(paths, texts, strict=True)))
    return paths


def _drawn(draw: Callable[[], Drawn]) -> Drawn | None:
    """What was drawn; None without matplotlib."""
    try:
        return draw()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return None


def _reliability(report: Report, split: str) -> figures.Plot | None:
    found = report.splits[split]
    few = _outside_of_bins(found.reliability)
    gaps = [
        f"{name.partition('/')[2]} {column_of(name).text(x)}"
        for name, x in found.measures.items()
        if name.startswith("ece/")
    ]
    caption = (
        "Points on the broken line would be honest: of the images that get 80 %, 80 % are right. "
        "Bars are 95 % intervals; below, how many images have which confidence."
    )
    if few:
        caption += (
            f" Bins of fewer than {figures.FEWEST_IN_BIN} images have no point, because their "
            f"accuracy says nothing: {few}."
        )
    if gaps:
        caption += f" Mean distance (ECE): {', '.join(gaps)}."
    alt = f"Accuracy against confidence on {split}. ECE: {', '.join(gaps) or 'unknown'}."
    return _drawn(
        lambda: figures.Plot(
            "reliability", alt, caption, figures.reliability_figure(found.reliability)
        )
    )


def _outside_of_bins(curves: Mapping[str, ReliabilityCurve]) -> str:
    """How many images of each posterior lie in bins that are not drawn."""
    left = {
        name: sum(n for n in curve.count if n < figures.FEWEST_IN_BIN)
        for name, curve in curves.items()
    }
    return ", ".join(
        f"{n} of {sum(curves[name].count)} images ({name})" for name, n in left.items() if n
    )


def _selective(report: Report) -> figures.Plot | None:
    """How errors fall where the least sure images are left to a human."""
    curves = {
        name: split.risk_coverage
        for name, split in sorted(report.splits.items(), key=lambda x: x[0] != "test")
        if split.risk_coverage is not None
    }
    curve = report.headline.risk_coverage
    if curve is None:
        return None
    half = next(i for i, share in enumerate(curve.coverage) if share >= HALF)
    words = (
        f"Of all {report.headline.n:,} images of {report.headline_split}, "
        f"{100 * curve.risk[-1]:.1f} % get a wrong answer; of the surer half of them, "
        f"{100 * curve.risk[half]:.1f} %."
    )
    caption = f"{words} What is left out can be asked of a human."
    return _drawn(lambda: figures.Plot("risk", words, caption, figures.risk_figure(curves)))


def _code_lengths(report: Report) -> figures.Plot | None:
    """How many bits the images of each split need."""
    found = {
        name: split.code_lengths
        for name, split in report.splits.items()
        if split.code_lengths is not None
    }
    if not found:
        return None
    alt = f"Distribution of bits/dim under p(x), of {', '.join(found)}."
    caption = (
        "Bits for one colour value of an image, whatever its class. Splits of one origin lie on "
        "each other; a training split far to the left of the others would have been memorised. "
        "Smooth images of anything have short codes: this is no alarm for strangers by itself."
    )
    return _drawn(lambda: figures.Plot("bits", alt, caption, figures.code_length_figure(found)))


def _summary(report: Report) -> str:
    """What was trained on what, and what it was measured on, as far as the report knows."""
    model, data = report.model, report.data
    fusion = f" with {model['fusion']} fusion" if "fusion" in model else ""
    weights = f", {model['parameters']:,} weights" if "parameters" in model else ""
    size = "{} x {} pixels, ".format(*model["image_size"]) if "image_size" in model else ""
    count = data.get("splits", {}).get("train", {}).get("images")
    source = f" {data['source']}" if "source" in data else ""
    trained = f", trained on {f'{count:,} ' if count else ''}images of{source}" if source else ""
    subject = f"A PixelCNN++{fusion}{weights}{trained} ({size}{len(report.classes)} classes)"
    if report.headline_split == "train":
        return f"{subject}, measured on {report.headline.n:,} images of its training."
    of_split = f"{report.headline.n:,} {report.headline_split} images"
    return f"{subject}, measured on {of_split} that it was not trained on."


def _report_cards(report: Report) -> list[Card]:
    """How often right; how sure, and how honestly so; against guessing."""
    split, column = report.headline, column_of("accuracy")
    right = split.accuracy
    cards = [
        Card(
            "Right",
            column.value(right),
            f"of {right.n:,} {split.split} images; 95 % interval {column.interval(right)}",
        )
    ]
    key = "calibrated" if "calibrated" in split.reliability else "raw"
    curve = split.reliability.get(key)
    if curve and sum(curve.count):
        sure = sum(c * n for c, n in zip(curve.confidence, curve.count, strict=True))
        gap = split.measures.get(f"ece/{key}")
        cards.append(
            Card(
                "How sure it is",
                f"{100 * sure / sum(curve.count):.1f} %",
                f"on average, and right in {column.value(right)} of the cases"
                + (f"; mean distance {column_of('ece').value(gap)}" if gap else ""),
            )
        )
    guess = max(map(sum, split.confusion), default=0) / split.n
    if guess:
        cards.append(
            Card(
                "Against guessing",
                f"{right.value / (100 * guess):.1f} times",
                f"as often right as naming the most frequent class, which is right in "
                f"{100 * guess:.1f} %",
            )
        )
    return cards


def _facts(report: Report) -> list[tuple[str, list[tuple[str, str]]]]:
    provenance = {key: value for key, value in report.provenance.items() if key != "command"}
    return [
        ("Model", settings_rows(report.model)),
        ("Data", settings_rows(report.data)),
        ("Training", settings_rows(report.training)),
        ("Provenance", settings_rows(provenance)),
    ]


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
    drawn = _drawn(
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
        "summary": f"{len(groups)} models, measured on the same images.",
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
        "source": provenance_line(provenance),
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
        source=provenance_line(provenance),
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
    others = [result for result in results if not result.generative]
    yield from best("Best discriminative classifier", split, "accuracy", others)
    yield from best("Shortest code", "validation", "bits_per_dim", results)


def _shared_notes(results: Sequence[ModelResult]) -> list[str]:
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


def _epoch_grids(group: Sequence[ModelResult]) -> list[tuple[int, str]]:
    """Epoch and file name of each grid of samples that was kept; of the first seed with some."""
    kept = next((result for result in group if result.epoch_samples), None)
    if kept is None:
        return []
    return [(k, f"samples-{kept.name}-epoch-{k:04d}.png") for k in sorted(kept.epoch_samples)]
