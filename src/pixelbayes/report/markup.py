"""Texts made by templates, and what all of them share.

What comes from a report is escaped by the environment of its kind of text: a class may be called
"<b>".
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup
from PIL import Image

from pixelbayes.report import figures
from pixelbayes.report.results import CompletedImage, WrongImage, decode_png
from pixelbayes.report.tables import column_of, settings_rows, worst_confusions
from pixelbayes.templates import environment

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["HTML", "MARKDOWN", "TEX", "Card", "escape_latex", "escape_markdown"]

SMALLEST_SIDE = 48  # CSS pixels; below that nobody recognises an image
LIKELIEST = 3  # classes named of a wrong image
FEW_CLASSES = 20  # more of them get no matrix, and their samples are folded
NO_MATPLOTLIB = (
    "The figures are missing because matplotlib is not installed. "
    "Get it with pip install 'pixelbayes[report]' and write the report again."
)
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
    """Templates of one kind of text, with what all of them ask for."""
    made = environment("pixelbayes.report", escape)
    made.filters |= {
        "inline": lambda svg, prefix: Markup(figures.inline(svg, prefix)),  # noqa: S704  our SVG
        "known_share": _known_share,
        "likeliest": _likeliest,
        "png_size": _png_size,
        "rows": settings_rows,
        "worst": worst_confusions,
    }
    made.globals |= {
        "column": column_of,
        "few_classes": FEW_CLASSES,
        "no_matplotlib": NO_MATPLOTLIB,
        "theme": figures.theme_css(":root", printed=True),
    }
    return made


def _png_size(png: str) -> tuple[int, int]:
    """CSS pixels of an image, enlarged by a whole factor so that its pixels stay squares."""
    with Image.open(io.BytesIO(decode_png(png))) as image:
        width, height = image.size
    factor = max(1, -(-SMALLEST_SIDE // min(width, height)))
    return factor * width, factor * height


def _known_share(one: CompletedImage) -> str:
    """Which share of a completed image's height was given, as CSS."""
    with Image.open(io.BytesIO(decode_png(one.image))) as image:
        return f"{100 * one.known_rows / image.height:.2f}%"


def _likeliest(wrong: WrongImage, classes: Sequence[str]) -> list[tuple[str, float]]:
    """The classes that a wrong image was given the most probability for."""
    if not wrong.probabilities:
        return [(classes[wrong.predicted], wrong.confidence)]
    return sorted(zip(classes, wrong.probabilities, strict=True), key=lambda x: -x[1])[:LIKELIEST]


HTML, MARKDOWN, TEX = _environment(), _environment(escape_markdown), _environment(escape_latex)
