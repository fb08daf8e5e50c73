"""The report as one web page that needs no other file and no network (`report.elements`).

Images and figures are embedded, the style is inline, there is no script.  The page follows
the reader's light or dark setting and fits a telephone.  Everything that comes from the
report is escaped: a class may be called "<b>".
"""

from collections.abc import Mapping, Sequence
from html import escape

from pixelbayes.report import figures
from pixelbayes.report.elements import card, document, image, plot, table
from pixelbayes.report.markdown import (
    ordered_splits,
    percent,
    results,
    table_rows,
    temperature_sentence,
    without_command,
    worst_confusion,
)
from pixelbayes.report.report import Report, SplitResult, WrongImage

__all__ = ["html"]

FEW_CLASSES = 20  # a longer table of classes starts folded


def html(report: Report) -> str:
    """Renders a report as one self-contained HTML page.

    Without matplotlib the page has a note in place of its figures.

    Args:
        report: What to render.

    Returns:
        The whole document.

    Raises:
        ReportError: If an image of the report is not a PNG in base64.
    """
    splits = ordered_splits(report)
    rest = "".join(
        f"<details><summary>Details of {escape(split.split)}</summary>"
        f"{_details(split, report.classes)}</details>"
        for split in splits[1:]
    )
    body = "\n".join(
        (
            _header(report),
            _samples(report.samples),
            _curves(report.curves),
            _results(report),
            _details(splits[0], report.classes),
            rest,
            _facts(report),
        )
    )
    return document(report.title, body)


def _header(report: Report) -> str:
    split = report.splits[report.headline_split]
    raw, calibrated = (split.ece.get(key) for key in ("raw", "calibrated"))
    cards = [
        card("Accuracy", *_value_and_interval(report.accuracy.brief)),
    ]
    if split.bits_per_dim is not None:
        cards.append(card("Code length", *_value_and_interval(split.bits_per_dim.brief)))
    if raw is not None and calibrated is not None:
        cards.append(
            card(
                "Calibration error (ECE)",
                percent(calibrated),
                f"with temperature; {percent(raw)} without",
            )
        )
    elif raw is not None:
        cards.append(card("Calibration error (ECE)", percent(raw), "raw posterior"))
    cards.append(card("Images", str(split.n), f"{split.split}, {len(report.classes)} classes"))
    quiet = [str(report.provenance[key]) for key in ("date", "commit") if key in report.provenance]
    line = f'<p class="quiet">{escape(" · ".join(quiet))}</p>' if quiet else ""
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in report.notes)
    return (
        f"<header><h1>{escape(report.title)}</h1>{line}"
        f'<dl class="cards">{"".join(cards)}</dl>{notes}</header>'
    )


def _value_and_interval(brief: str) -> tuple[str, str]:
    value, _, interval = brief.partition(" [")
    return value, f"95 % interval [{interval}"


def _samples(samples: Mapping[str, Sequence[str]]) -> str:
    if not any(samples.values()):
        return ""
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td>'
        + "".join(image(png, f"sample {k} of {name}") for k, png in enumerate(images, start=1))
        + "</td></tr>"
        for name, images in samples.items()
    ]
    first, rest = (
        f'<div class="scroll"><table class="samples"><tbody>{"".join(part)}</tbody></table></div>'
        for part in (rows[:FEW_CLASSES], rows[FEW_CLASSES:])
    )
    more = len(rows) - FEW_CLASSES
    folded = f"<details><summary>{more} more classes</summary>{rest}</details>" if more > 0 else ""
    return (
        '<section><h2>Samples</h2><p class="quiet">Drawn from the model, one row per class, '
        f"enlarged without smoothing.</p>{first}{folded}</section>"
    )


def _curves(curves: Mapping[str, Sequence[float | None]]) -> str:
    if not any(curves.values()):
        return ""
    drawn = plot(
        lambda: figures.training_curves(curves),
        f"Training curves by epoch: {', '.join(name for name in curves if name != 'epoch')}.",
    )
    return f"<section><h2>Training</h2>{drawn}</section>"


def _results(report: Report) -> str:
    remark = "Intervals are 95 %. ECE: expected calibration error of the top label. "
    return (
        f'<section><h2>Results</h2><div class="scroll">{table(*results(report), "results")}'
        f'</div><p class="quiet">{escape(remark + temperature_sentence(report.temperature))}</p>'
        "</section>"
    )


def _details(split: SplitResult, classes: Sequence[str]) -> str:
    mistake = worst_confusion(split.confusion, classes)
    right = sum(row[k] for k, row in enumerate(split.confusion))
    rows = [
        (name, str(estimate.n), estimate.brief)
        for name, estimate in zip(classes, split.per_class, strict=True)
    ]
    accuracies = f'<div class="scroll">{table(("class", "n", "accuracy"), rows, "results")}</div>'
    if len(classes) > FEW_CLASSES:
        accuracies = f"<details><summary>Accuracy of each class</summary>{accuracies}</details>"
    confusion = plot(
        lambda: figures.confusion_figure(split.confusion, classes),
        f"Confusion matrix of {split.split}: {right} of {split.n} images right.",
        mistake,
    )
    gaps = ", ".join(f"{name} {percent(error)}" for name, error in split.ece.items())
    reliability = plot(
        lambda: figures.reliability_figure(split.reliability),
        f"Reliability diagram of {split.split}. Expected calibration error: {gaps}.",
        "The nearer to the diagonal, the more a confidence can be taken at its word. "
        f"Expected calibration error: {gaps}.",
    )
    return (
        f"<section><h2>Classes ({escape(split.split)})</h2>{confusion}<h3>By class</h3>{accuracies}"
        f"</section><section><h2>Confidence ({escape(split.split)})</h2>{reliability}</section>"
        + _wrong(split.most_confidently_wrong, classes)
    )


def _wrong(images: Sequence[WrongImage], classes: Sequence[str]) -> str:
    if not images:
        return ""
    items = "".join(
        "<li>"
        + image(wrong.image, f"{wrong.name}, in truth {classes[wrong.true]}")
        + f"<strong>{escape(classes[wrong.predicted])}, {percent(wrong.confidence)}</strong>"
        f"in truth {escape(classes[wrong.true])}"
        f'<br><span class="quiet">{escape(wrong.name)}</span></li>'
        for wrong in images
    )
    return f'<section><h3>Most confidently wrong</h3><ul class="wrong">{items}</ul></section>'


def _facts(report: Report) -> str:
    tables = "".join(
        f"<section><h3>{name}</h3>"
        f'<div class="scroll">{table((), table_rows(content))}</div></section>'
        for name, content in (
            ("Model", report.model),
            ("Data", report.data),
            ("Training", report.training),
            ("Provenance", without_command(report.provenance)),
        )
        if content
    )
    command = report.provenance.get("command")
    reproduce = (
        f"<section><h2>Reproduce</h2><pre><code>{escape(str(command))}</code></pre></section>"
        if command
        else ""
    )
    return f'<h2>What was evaluated</h2><div class="facts">{tables}</div>{reproduce}'
