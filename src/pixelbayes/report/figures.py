"""How every figure looks, and those of a report: the only door of matplotlib.

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

from pixelbayes.evaluation.accuracy import RiskCoverage, accuracy
from pixelbayes.evaluation.calibration import ReliabilityCurve
from pixelbayes.evaluation.histogram import Histogram
from pixelbayes.switches import warnings_held_back

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "GREEN",
    "PALETTE",
    "QUIET",
    "THEME",
    "VERMILION",
    "Plot",
    "blank_figure",
    "code_length_figure",
    "drawn",
    "epoch_axis",
    "epoch_line",
    "inline",
    "no_data",
    "png",
    "points",
    "reliability_figure",
    "risk_figure",
    "style",
    "svg",
    "theme_css",
    "training_plots",
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
FEWEST_IN_BIN = 10  # images; the accuracy of fewer says nothing
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
# Column after the slash, axis label, factor from the column to the axis.
PANELS = (
    ("bits_per_dim", "bits / dim", 1),
    ("log_loss", "log-loss, nats", 1),
    ("accuracy", "accuracy, %", 100),
    ("lr", "learning rate", 1),
    ("images_per_s", "images / s", 1),
)
LOSSES = ("bits_per_dim", "log_loss")
FIRST_EIGHTH = 8  # of the epochs: the steep beginning
FAR_OUT = 5.0  # times the rest of a loss: beside it the rest is a flat line
OUT_OF_FRAME = "What is above the frame is left out."
FROM_ZERO = ("lr", "images_per_s")  # elsewhere a small noise would fill the panel
SERIES = (("train/", "train", VERMILION), ("val/", "validation", BLUE), ("", None, QUIET))

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


def training_plots(curves: Mapping[str, Sequence[float | None]]) -> list[Plot]:
    """Draws how loss, accuracy, learning rate and speed went over the epochs.

    Args:
        curves: Columns of the training log: "epoch", "train/bits_per_dim", "val/bits_per_dim",
            "train/accuracy", "val/accuracy" (shares in [0, 1]), "lr", "images_per_s".  Columns
            may be missing, entries None or not finite; those points are left out.

    Returns:
        A plot for each quantity of which there are points.
    """
    plots = []
    for column, label, factor in PANELS:
        lines = [
            (name, colour, line)
            for prefix, name, colour in SERIES
            if (line := points(curves, f"{prefix}{column}", factor))
        ]
        if not lines:
            continue
        with style():
            figure = blank_figure(*PANEL)
            axes = figure.add_subplot()
            for name, colour, line in lines:
                epoch_line(axes, line, colour, name)
            epoch_axis(axes, label)
            if column in FROM_ZERO:
                top = max(y for *_, line in lines for _, y in line)
                axes.set_ylim(0, 1.08 * top if top > 0 else 1)
            left_out = column in LOSSES and frame_settled(axes, [line for *_, line in lines])
            last = "; ".join(f"{name or label} {line[-1][1]:.4g}" for name, _, line in lines)
            alt = f"{label} over the epochs; at the last one: {last}."
            caption = OUT_OF_FRAME if left_out else ""
            plots.append(Plot(f"training-{column}", alt, caption, svg(figure)))
    return plots


def reliability_figure(curves: Mapping[str, ReliabilityCurve]) -> str:
    """Draws accuracy against confidence with 95 % intervals, and where the images lie.

    Bins of fewer than ten images are left out: their accuracy says nothing.

    Args:
        curves: By posterior: "raw", "calibrated".

    Returns:
        SVG, with a text in the place of the figure where no bin has enough images.
    """
    filled = {
        name: curve
        for name, curve in curves.items()
        if max(curve.count, default=0) >= FEWEST_IN_BIN
    }
    if not filled:
        return no_data(f"no data: no bin holds {FEWEST_IN_BIN} images")
    colours = {"raw": VERMILION, "calibrated": BLUE}
    with style():
        figure = blank_figure(PANEL[0], 4.4)
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.4, 1])
        axes.plot([0, 100], [0, 100], color=QUIET, lw=1, ls=(0, (4, 3)), label="ideal")
        for k, (name, curve) in enumerate(filled.items()):
            colour = colours.get(name, PALETTE[k + 2])
            shown = [
                bin_
                for bin_ in zip(curve.confidence, curve.accuracy, curve.count, strict=True)
                if bin_[2] >= FEWEST_IN_BIN
            ]
            estimates = [accuracy(round(right * n), n) for _, right, n in shown]
            x = [100 * confidence for confidence, *_ in shown]
            axes.vlines(
                x, [e.low for e in estimates], [e.high for e in estimates], color=colour, lw=1.2
            )
            axes.plot(x, [e.value for e in estimates], color=colour, marker="o", ms=4, label=name)
            total, bars = sum(curve.count), len(filled)
            below.bar(
                [100 * c + 2.2 * (k - (bars - 1) / 2) for c in curve.confidence],
                [100 * n / total for n in curve.count],
                width=2.2,
                color=colour,
            )
        axes.set(xlim=(0, 103), ylim=(-2, 103), ylabel="accuracy, %")
        axes.grid(visible=True)
        axes.legend(frameon=False, loc="upper left")
        below.set(xlabel="confidence, %", ylabel="images, %", ylim=(0, 100), yticks=[0, 50, 100])
        return svg(figure)


def risk_figure(curves: Mapping[str, RiskCoverage]) -> str:
    """Draws how often answers are wrong where only the surest of the images are answered.

    Args:
        curves: By split, not empty.

    Returns:
        SVG.
    """
    with style():
        figure = blank_figure(*PANEL)
        axes = figure.add_subplot()
        for (name, curve), colour in zip(curves.items(), PALETTE, strict=False):
            x, y = [100 * c for c in curve.coverage], [100 * r for r in curve.risk]
            axes.plot(x, y, color=colour, label=name)
        top = max(max(curve.risk, default=0.0) for curve in curves.values())
        axes.set(xlim=(0, 101), ylim=(0, max(108 * top, 1)))
        axes.set(xlabel="images answered, surest first, %", ylabel="wrong among them, %")
        axes.grid(visible=True)
        axes.legend(frameon=False, loc="upper left")
        return svg(figure)


def code_length_figure(histograms: Mapping[str, Histogram]) -> str:
    """Draws how the code lengths of the splits are distributed, one line each.

    Args:
        histograms: By split, not empty.

    Returns:
        SVG.
    """
    with style():
        figure = blank_figure(*PANEL)
        axes = figure.add_subplot()
        for (name, found), colour in zip(histograms.items(), PALETTE, strict=False):
            edges = [found.start + found.width * i for i in range(len(found.count) + 1)]
            total = sum(found.count)
            shares = [100 * n / total for n in found.count]
            axes.stairs(shares, edges, color=colour, lw=1.6, label=f"{name}, n = {total}")
            axes.stairs(shares, edges, color=colour, fill=True, alpha=0.12)
        axes.margins(y=0.25)  # room for the legend
        axes.set(xlabel="bits / dim", ylabel="images, %")
        axes.grid(visible=True)
        axes.legend(frameon=False)
        return svg(figure)


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
