"""The report as one web page that needs no other file and no network.

Images and figures are embedded, the style is inline, there is no script.  The page follows
the reader's light or dark setting and fits a telephone.  Everything that comes from the
report is escaped: a class may be called "<b>".
"""

import base64
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from importlib import resources

from pixelbayes.report import figures
from pixelbayes.report.markdown import (
    ordered_splits,
    percent,
    results,
    table_rows,
    temperature_sentence,
    without_command,
    worst_confusion,
)
from pixelbayes.report.report import Report, ReportError, SplitResult, WrongImage

__all__ = ["html"]

SMALLEST_SIDE = 64  # CSS pixels; below that nobody recognises an image
FEW_CLASSES = 20  # a longer table of classes starts folded
NO_MATPLOTLIB = (
    "The figures are missing because matplotlib is not installed. "
    "Get it with pip install 'pixelbayes[report]' and write the report again."
)


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
    style = resources.files("pixelbayes.report").joinpath("page.css").read_text("utf-8")
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
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _header(report: Report) -> str:
    split = report.splits[report.headline_split]
    raw, calibrated = (split.ece.get(key) for key in ("raw", "calibrated"))
    cards = [
        _card("Accuracy", *_value_and_interval(report.accuracy.brief)),
        _card("Code length", *_value_and_interval(split.bits_per_dim.brief)),
    ]
    if raw is not None and calibrated is not None:
        cards.append(
            _card(
                "Calibration error (ECE)",
                percent(calibrated),
                f"with temperature; {percent(raw)} without",
            )
        )
    elif raw is not None:
        cards.append(_card("Calibration error (ECE)", percent(raw), "raw posterior"))
    cards.append(_card("Images", str(split.n), f"{split.split}, {len(report.classes)} classes"))
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


def _card(name: str, value: str, remark: str) -> str:
    return (
        f"<div><dt>{escape(name)}</dt><dd><strong>{escape(value)}</strong> "
        f'<span class="quiet">{escape(remark)}</span></dd></div>'
    )


def _samples(samples: Mapping[str, Sequence[str]]) -> str:
    if not any(samples.values()):
        return ""
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td>'
        + "".join(_image(png, f"sample {k} of {name}") for k, png in enumerate(images, start=1))
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
    drawn = _plot(
        lambda: figures.training_curves(curves),
        f"Training curves by epoch: {', '.join(name for name in curves if name != 'epoch')}.",
    )
    return f"<section><h2>Training</h2>{drawn}</section>"


def _results(report: Report) -> str:
    remark = "Intervals are 95 %. ECE: expected calibration error of the top label. "
    return (
        f'<section><h2>Results</h2><div class="scroll">{_table(*results(report), "results")}'
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
    table = f'<div class="scroll">{_table(("class", "n", "accuracy"), rows, "results")}</div>'
    if len(classes) > FEW_CLASSES:
        table = f"<details><summary>Accuracy of each class</summary>{table}</details>"
    confusion = _plot(
        lambda: figures.confusion_figure(split.confusion, classes),
        f"Confusion matrix of {split.split}: {right} of {split.n} images right.",
        mistake,
    )
    gaps = ", ".join(f"{name} {percent(error)}" for name, error in split.ece.items())
    reliability = _plot(
        lambda: figures.reliability_figure(split.reliability),
        f"Reliability diagram of {split.split}. Expected calibration error: {gaps}.",
        "The nearer to the diagonal, the more a confidence can be taken at its word. "
        f"Expected calibration error: {gaps}.",
    )
    return (
        f"<section><h2>Classes ({escape(split.split)})</h2>{confusion}<h3>By class</h3>{table}"
        f"</section><section><h2>Confidence ({escape(split.split)})</h2>{reliability}</section>"
        + _wrong(split.most_confidently_wrong, classes)
    )


def _wrong(images: Sequence[WrongImage], classes: Sequence[str]) -> str:
    if not images:
        return ""
    items = "".join(
        "<li>"
        + _image(wrong.image, f"{wrong.name}, in truth {classes[wrong.true]}")
        + f"<strong>{escape(classes[wrong.predicted])}, {percent(wrong.confidence)}</strong>"
        f"in truth {escape(classes[wrong.true])}"
        f'<br><span class="quiet">{escape(wrong.name)}</span></li>'
        for wrong in images
    )
    return f'<section><h3>Most confidently wrong</h3><ul class="wrong">{items}</ul></section>'


def _facts(report: Report) -> str:
    tables = "".join(
        f"<section><h3>{name}</h3>"
        f'<div class="scroll">{_table((), table_rows(content))}</div></section>'
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


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table whose first column names its rows."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    head = f"<thead><tr>{top}</tr></thead>" if header else ""
    return f'<table class="{kind}">{head}<tbody>{body}</tbody></table>'


def _image(png: str, alt: str) -> str:
    """An image enlarged by a whole factor, so that its pixels stay equally large squares."""
    width, height = _png_size(png)
    factor = max(1, -(-SMALLEST_SIDE // min(width, height)))
    return (
        f'<img class="pixels" src="data:image/png;base64,{escape(png)}" alt="{escape(alt)}" '
        f'width="{factor * width}" height="{factor * height}">'
    )


def _png_size(png: str) -> tuple[int, int]:
    try:
        head = base64.b64decode(png[:32], validate=True)  # 24 bytes: signature and IHDR
        if not head.startswith(b"\x89PNG\r\n\x1a\n"):
            raise ValueError("no PNG signature")
        width, height = struct.unpack(">II", head[16:24])
        if not (width and height):
            raise ValueError("an empty image")
    except (ValueError, struct.error) as error:
        raise ReportError(
            f"an image of the report is not a PNG in base64 ({error}); make it with png_base64"
        ) from error
    return width, height


def _plot(draw: Callable[[], str], alt: str, caption: str = "") -> str:
    """A figure on a white card, which stays legible on a dark page."""
    try:
        svg = draw()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return f'<p class="note">{escape(NO_MATPLOTLIB)}</p>'
    # As an image and not inline: identifiers of several figures cannot collide.
    source = base64.b64encode(svg.encode()).decode("ascii")
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><div class="plot"><img src="data:image/svg+xml;base64,{source}" '
        f'alt="{escape(alt)}"></div>{below}</figure>'
    )
