"""How every figure looks: the only door of matplotlib.

matplotlib is imported when a figure is drawn, not with this module.  Figures are built on
`matplotlib.figure.Figure`, without pyplot, so nothing global is touched and no display is
needed.  The same numbers give the same bytes: no date, no random identifiers.

A figure is SVG in the colours of `THEME`, which follow the reader's light or dark setting, in a
page of ours as in a viewer of its own.  Those of lines are from Okabe and Ito, lighter in the
dark; people with any colour vision tell them apart.
"""

from __future__ import annotations

import io
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pixelbayes.switches import warnings_held_back

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "FIRST_EIGHTH",
    "GREEN",
    "LOSSES",
    "OUT_OF_FRAME",
    "PALETTE",
    "PANEL",
    "QUIET",
    "THEME",
    "VERMILION",
    "Plot",
    "blank_figure",
    "drawn",
    "epoch_axis",
    "epoch_line",
    "frame_settled",
    "inline",
    "no_data",
    "png",
    "points",
    "style",
    "svg",
    "theme_css",
]

Drawn = TypeVar("Drawn")

INK, QUIET, GRID, PAPER = "#1c2128", "#59636e", "#dfe3e8", "#ffffff"
BLUE, VERMILION, GREEN, PINK, SKY, ORANGE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#e69f00",
)
PALETTE = (BLUE, VERMILION, GREEN, PINK, ORANGE, INK, SKY)
THEME = {
    "ink": (INK, "#e6e9ec"),
    "quiet": (QUIET, "#a3adb8"),
    "grid": (GRID, "#39424d"),
    "paper": (PAPER, "#1d232a"),
    "blue": (BLUE, "#63b3e4"),
    "vermilion": (VERMILION, "#ff9a5c"),
    "green": (GREEN, "#3ecf9f"),
    "pink": (PINK, "#e7a6cb"),
    "sky": (SKY, "#8fd0f5"),
    "orange": (ORANGE, "#f2b93b"),
}
"""Colours by their name in CSS: in the light, as figures are drawn, and in the dark."""

FEW_POINTS = 30  # a short training shows its epochs as dots
PNG_DPI = 150
PANEL = (4.2, 2.7)  # inches: legible on a telephone, two beside each other on a page
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.5,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "pixelbayes",
    "text.parse_math": False,  # a name may hold a "$"
    "xtick.color": QUIET,
    "ytick.color": QUIET,
}
LOSSES = ("bits_per_dim", "log_loss")
FIRST_EIGHTH = 8  # of the epochs: the steep beginning
FAR_OUT = 5.0  # times the rest of a loss: beside it the rest is a flat line
OUT_OF_FRAME = "What is above the frame is left out."
_drawing = threading.RLock()


@dataclass(frozen=True)
class Plot:
    """A figure with what must stand beside it."""

    stem: str
    """Name of its file."""
    alt: str
    """What it shows, for who cannot see it."""
    caption: str
    image: str | bytes
    """SVG as text, or a PNG."""

    @property
    def file(self) -> str:
        """Name of the file, with its ending."""
        return f"{self.stem}.{'svg' if isinstance(self.image, str) else 'png'}"


def points(
    curves: Mapping[str, Sequence[float | None]], column: str, factor: float
) -> list[tuple[float, float]]:
    """(epoch, factor * value) wherever both are known; without an epoch column, rows are counted.

    Args:
        curves: Columns of a training log; `column` may be missing, entries None or not finite.
        column: The one to take.
        factor: From its unit to that of the axis.
    """
    values = curves.get(column, [])
    epochs = curves.get("epoch") or range(len(values))
    return [
        (x, factor * y)
        for x, y in zip(epochs, values, strict=False)
        if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)
    ]


def epoch_line(
    axes: Axes,
    line: Sequence[tuple[float, float]],
    colour: str,
    label: str | None,
    dashes: object = "solid",
    alpha: float = 1.0,
) -> None:
    """Draws a quantity over the epochs; a short training shows its epochs as dots."""
    if line:
        x, y = zip(*line, strict=True)
        marker = "o" if len(line) <= FEW_POINTS else None
        axes.plot(x, y, color=colour, label=label, marker=marker, ms=3, ls=dashes, alpha=alpha)


def frame_settled(axes: Axes, lines: Sequence[Sequence[tuple[float, float]]]) -> bool:
    """Leaves the beginning of a loss out of the frame if it is far above all that follows.

    Returns:
        Whether anything was left out.
    """
    settled = [y for line in lines for _, y in line[max(len(line) // FIRST_EIGHTH, 1) :]]
    every = [y for line in lines for _, y in line]
    if not settled or max(every) <= FAR_OUT * max(settled):
        return False
    margin = 0.05 * (max(settled) - min(every)) or 0.1
    axes.set_ylim(min(every) - margin, max(settled) + margin)
    return True


def epoch_axis(axes: Axes, label: str, *, legend_above: bool = False) -> None:
    """Whole epochs along x, a quantity along y, and a legend where lines have names.

    Args:
        axes: Whose lines are drawn already.
        label: Of the quantity.
        legend_above: Whether it stands above the frame, where it covers no level line.
    """
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    axes.set(xlabel="epoch", ylabel=label)
    low, high = axes.get_xlim()
    if high - low < 1:  # a single epoch
        axes.set_xlim(low - 1, high + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(visible=True)
    if axes.get_legend_handles_labels()[0]:
        if legend_above:
            axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        else:
            axes.legend(frameon=False)


def drawn(draw: Callable[[], Drawn]) -> Drawn | None:
    """What was drawn; None without matplotlib."""
    try:
        return draw()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return None


def no_data(words: str = "no data") -> str:
    """SVG that says there is nothing to draw."""
    with style():
        figure = blank_figure(3.6, 0.8)
        figure.text(0.5, 0.5, words, ha="center", va="center", color=QUIET)
        return svg(figure)


@contextmanager
def style() -> Iterator[None]:
    """Our settings of matplotlib for the time of the block; nothing global changes.

    The settings are those of all threads, so one draws after the other.
    """
    from matplotlib import rc_context

    # Text stays text in the SVG: the reader's fonts draw it, not the one measured with here.
    with _drawing, rc_context(STYLE), warnings_held_back("Glyph .* missing", category=UserWarning):
        yield


def blank_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, whose parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def svg(figure: Figure) -> str:
    """The figure as the text of an <svg> element that follows light and dark."""
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].strip()
    for name, (light, _) in THEME.items():
        text = text.replace(f": {light}", f": var(--{name})")
    head, _, rest = text.partition(">")
    return f"{head}>\n<style>{theme_css('svg')}</style>{rest}"


def theme_css(selector: str, *, printed: bool = False) -> str:
    """The colours of `THEME` as CSS variables of an element.

    Args:
        selector: Of the element.
        printed: Paper is white, whatever the reader's screen is.
    """
    light, dark = (
        "; ".join(f"--{name}: {colours[k]}" for name, colours in THEME.items()) for k in (0, 1)
    )
    on_paper = f" @media print {{ {selector} {{ {light} }} }}" if printed else ""
    return (
        f"{selector} {{ {light} }} "
        f"@media (prefers-color-scheme: dark) {{ {selector} {{ {dark} }} }}{on_paper}"
    )


def inline(text: str, prefix: str) -> str:
    """SVG for within a page that defines the colours itself; no identifier occurs twice there."""
    text = re.sub(r"<style>svg \{.*?</style>", "", text, count=1, flags=re.DOTALL)
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)


def png(figure: Figure) -> bytes:
    """The figure as a PNG, for those that hold images."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()
