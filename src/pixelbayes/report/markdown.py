"""The report as Markdown: the numbers and tables of `report.json`, for a terminal or a diff.

Figures and images are in the web page (`pixelbayes.report.html`); this text has none.  The
helpers that name, order and format the numbers are here and serve both.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pixelbayes.evaluation import Estimate
from pixelbayes.report.report import Report, SplitResult

__all__ = [
    "escape",
    "markdown",
    "ordered_splits",
    "percent",
    "results",
    "table",
    "table_rows",
    "temperature_sentence",
    "without_command",
    "worst_confusion",
]

MISSING = "-"


def markdown(report: Report) -> str:
    """Renders a report as GitHub-flavoured Markdown.

    Args:
        report: What to render.

    Returns:
        The whole document, ending with a newline.
    """
    headline = report.splits[report.headline_split]
    parts = [
        f"# {escape(report.title)}",
        f"**{report.accuracy}** on {escape(report.headline_split)}, "
        f"{_brief(headline.bits_per_dim)}, {len(report.classes)} classes.",
        "## Results",
        table(*results(report)),
        "Intervals are 95 %. ECE: expected calibration error of the top label. "
        + temperature_sentence(report.temperature),
    ]
    for split in ordered_splits(report):
        parts += _split_sections(split, report.classes)
    for name, content in (
        ("Model", report.model),
        ("Data", report.data),
        ("Training", report.training),
        ("Provenance", without_command(report.provenance)),
    ):
        if content:
            parts += [f"## {name}", table(("what", "value"), table_rows(content))]
    command = report.provenance.get("command")
    if command:
        parts += ["## Reproduce", f"~~~~sh\n{str(command).replace('~~~~', '')}\n~~~~"]
    if report.notes:
        parts += ["## Notes", "\n".join(f"* {escape(note)}" for note in report.notes)]
    return "\n\n".join(parts) + "\n"


def ordered_splits(report: Report) -> list[SplitResult]:
    """The evaluated splits, the headline one first."""
    return sorted(report.splits.values(), key=lambda s: s.split != report.headline_split)


def results(report: Report) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The table of results: header and rows, one column per split, the headline one first.

    What was not measured is a dash.
    """
    splits = ordered_splits(report)
    rows = [
        ("images", *(str(split.n) for split in splits)),
        ("accuracy", *(split.accuracy.brief for split in splits)),
        ("code length", *(_brief(split.bits_per_dim) for split in splits)),
    ]
    for key in _keys(split.log_loss for split in splits):
        losses = (split.log_loss.get(key) for split in splits)
        rows.append((f"log-loss, {key}", *(MISSING if x is None else x.brief for x in losses)))
    for key in _keys(split.ece for split in splits):
        errors = (split.ece.get(key) for split in splits)
        rows.append((f"ECE, {key}", *(MISSING if x is None else percent(x) for x in errors)))
    return ("", *(split.split for split in splits)), rows


def _keys(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys of all mappings, each once, in order of appearance."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def percent(share: float) -> str:
    """Formats a share in [0, 1] as a percentage.

    >>> percent(0.0412), percent(math.nan)
    ('4.1 %', 'unknown')
    """
    return f"{100 * share:.1f} %" if math.isfinite(share) else "unknown"


def temperature_sentence(temperature: float | None) -> str:
    """Says in words which temperature the calibrated posterior has."""
    if temperature is None:
        return "No temperature was fitted: there is a raw posterior only."
    return (
        f"Calibrated: temperature {temperature:.4g}, fitted on validation; validation images "
        "themselves are measured with one that was fitted without them."
    )


def worst_confusion(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Names the most frequent mistake, for captions and alternative texts.

    >>> worst_confusion([[5, 0], [3, 4]], ["cat", "dog"])
    'Most frequent mistake: dog taken for cat (3 images).'
    """
    mistakes = [
        (count, true, predicted)
        for true, row in enumerate(confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    if not mistakes:
        return "No image was put into a wrong class."
    count, true, predicted = max(mistakes, key=lambda mistake: mistake[0])
    return (
        f"Most frequent mistake: {classes[true]} taken for {classes[predicted]} "
        f"({count} image{'s' if count > 1 else ''})."
    )


def without_command(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance without the command, which has a section of its own."""
    return {key: value for key, value in provenance.items() if key != "command"}


def table_rows(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Flattens a nested mapping to rows of dotted name and readable value.

    >>> table_rows({"optim": {"lr": 2e-4, "betas": [0.9, 0.95]}, "ema": None})
    [('optim.lr', '0.0002'), ('optim.betas', '0.9, 0.95'), ('ema', '-')]
    """
    rows: list[tuple[str, str]] = []
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            rows += table_rows(value, f"{name}.")
        else:
            rows.append((name, _readable(value)))
    return rows


def _readable(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_readable(item) for item in value) or MISSING
    return str(value)


def _split_sections(split: SplitResult, classes: Sequence[str]) -> list[str]:
    rows = (
        (name, str(estimate.n), estimate.brief)
        for name, estimate in zip(classes, split.per_class, strict=True)
    )
    sections = [
        f"## Classes of {escape(split.split)}",
        table(("class", "n", "accuracy"), rows),
        escape(worst_confusion(split.confusion, classes)),
    ]
    if split.most_confidently_wrong:
        wrong = (
            (image.name, classes[image.true], classes[image.predicted], percent(image.confidence))
            for image in split.most_confidently_wrong
        )
        sections += [
            f"### Most confidently wrong on {escape(split.split)}",
            table(("image", "true", "predicted", "confidence"), wrong),
        ]
    return sections


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Renders a table, escaped; the first line names the columns."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(escape(cell) for cell in line)} |" for line in lines)


def escape(text: str) -> str:
    r"""Keeps a name from being read as markup or from breaking out of its table cell.

    Underscores inside words and lone brackets are no markup, and stay readable.

    >>> print(escape("film_7 | *x* [80.0, 86.4] [a](b)"))
    film_7 \| \*x\* [80.0, 86.4] [a]\(b)
    """
    text = re.sub(r"[\\`*<>|#]|(?<!\w)_|_(?!\w)", lambda found: f"\\{found[0]}", text)
    return " ".join(text.replace("](", r"]\(").split())


def _brief(value: Estimate | None) -> str:
    return MISSING if value is None else value.brief
