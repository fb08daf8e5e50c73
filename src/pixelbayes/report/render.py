"""The pages and texts of a report and of an audit.

A page needs no other file and no network: images, figures and style are in it.  Its one script
sorts and filters the gallery of errors, which is all there without it.  It follows the reader's
light or dark setting and fits a telephone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from pixelbayes.evaluation.calibration import ReliabilityCurve
from pixelbayes.io import to_json as json_text
from pixelbayes.io import write_together
from pixelbayes.report import figures, report_figures
from pixelbayes.report.markup import HTML, MARKDOWN, Card
from pixelbayes.report.results import Report
from pixelbayes.report.storage import to_json
from pixelbayes.report.tables import (
    COLUMNS,
    column_of,
    results_rows,
    settings_rows,
    temperature_sentence,
)

__all__ = ["Doubtful", "audit_html", "report_html", "report_markdown", "save"]

HALF = 0.5
SCRIPT = Markup(  # noqa: S704  a file of ours
    (Path(__file__).parent / "templates" / "gallery.js").read_text(encoding="utf-8")
)


def report_html(report: Report) -> str:
    """Renders a report as one self-contained web page.

    Without matplotlib the page has a note in place of its figures.

    Raises:
        ReportError: If an image of the report is not a PNG in base64.
    """
    header, rows = results_rows(report)
    curves = figures.drawn(lambda: report_figures.training_plots(report.curves))
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
            f" Bins of fewer than {report_figures.FEWEST_IN_BIN} images have no point, because "
            f"their accuracy says nothing: {few}."
        )
    if gaps:
        caption += f" Mean distance (ECE): {', '.join(gaps)}."
    alt = f"Accuracy against confidence on {split}. ECE: {', '.join(gaps) or 'unknown'}."
    return figures.drawn(
        lambda: figures.Plot(
            "reliability", alt, caption, report_figures.reliability_figure(found.reliability)
        )
    )


def _outside_of_bins(curves: Mapping[str, ReliabilityCurve]) -> str:
    """How many images of each posterior lie in bins that are not drawn."""
    left = {
        name: sum(n for n in curve.count if n < report_figures.FEWEST_IN_BIN)
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
    return figures.drawn(
        lambda: figures.Plot("risk", words, caption, report_figures.risk_figure(curves))
    )


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
    return figures.drawn(
        lambda: figures.Plot("bits", alt, caption, report_figures.code_length_figure(found))
    )


def _summary(report: Report) -> str:
    """What was trained on what, and what it was measured on, as far as the report knows."""
    model, data = report.model, report.data
    noun = model.get("kind", "PixelCNN++" if "fusion" in model else "model")  # of older reports
    article = "An" if noun[0] in "aeiou" else "A"
    fusion = f" with {model['fusion']} fusion" if "fusion" in model else ""
    weights = f", {model['parameters']:,} weights" if "parameters" in model else ""
    size = "{} x {} pixels, ".format(*model["image_size"]) if "image_size" in model else ""
    trained = ""
    if source := report.training.get("trained_on", {}).get("source"):
        count = report.training["trained_on"]["images"]
        trained = f", trained on {f'{count:,} ' if count else ''}images of {source}"
    subject = f"{article} {noun}{fusion}{weights}{trained} ({size}{len(report.classes)} classes)"
    of_split = f"{report.headline.n:,} {report.headline_split} images"
    if data.get("source") not in (source, None):
        of_split += f" of {data['source']}"
    elif report.headline_split == "train":
        return f"{subject}, measured on {report.headline.n:,} images of its training."
    new = " that it was not trained on" if data.get("new_to_model") else ""
    return f"{subject}, measured on {of_split}{new}."


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


@dataclass(frozen=True)
class Doubtful:
    """What is shown of one image."""

    name: str
    """Its path."""
    image: str
    """PNG in base64, as the model sees it."""
    given: str
    """Its label."""
    suggested: str
    """The most probable class."""
    of_given: float
    """Probability of the label, by a model that was not trained on the image."""
    of_suggested: float
    """That of the most probable class."""
    suspected: bool
    """Whether confident learning takes the label for wrong."""


def audit_html(
    *, title: str, judged_by: str, images: int, suspected: int, doubtful: Sequence[Doubtful]
) -> str:
    """Renders an audit as one self-contained web page.

    Args:
        title: Of the page.
        judged_by: What gave the probabilities.
        images: How many were looked at.
        suspected: How many labels confident learning takes for wrong.
        doubtful: The images to show, the most doubtful first.
    """
    return HTML.get_template("audit.html.jinja").render(
        title=title, judged_by=judged_by, images=images, suspected=suspected, doubtful=doubtful
    )
