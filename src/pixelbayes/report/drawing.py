"""How every figure looks, and how it becomes SVG or PNG: the only door of matplotlib.

matplotlib is imported when a figure is drawn, not with this module.  Figures are built on
`matplotlib.figure.Figure`, without pyplot, so nothing global is touched and no display is
needed.  The same numbers give the same bytes: no date, no random identifiers.

Colours are those of Okabe and Ito, which people with any colour vision tell apart.
"""

import io
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "FEW_POINTS",
    "GREY",
    "ORANGE",
    "PALETTE",
    "VERMILION",
    "blank_figure",
    "no_data",
    "png",
    "points",
    "style",
    "svg",
]

BLUE, VERMILION, GREY, ORANGE = "#0072B2", "#D55E00", "#666666", "#E69F00"
PALETTE = (BLUE, VERMILION, "#009E73", "#CC79A7", "#56B4E9", "#222222", ORANGE)
FEW_POINTS = 30  # a short training shows its epochs as dots
PNG_DPI = 150
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "#222222",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.5,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "pixelbayes",
    "text.parse_math": False,  # a class may be called "$"
    "xtick.color": GREY,
    "ytick.color": GREY,
}


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


def no_data() -> str:
    """SVG that says there is nothing to draw."""
    with style():
        figure = blank_figure(3.0, 0.8)
        figure.text(0.5, 0.5, "no data", ha="center", va="center", color=GREY)
        return svg(figure)


@contextmanager
def style() -> Iterator[None]:
    """Our settings of matplotlib for the time of the block; nothing global changes."""
    from matplotlib import rc_context

    with rc_context(STYLE), warnings.catch_warnings():
        # Text stays text in the SVG: the reader's fonts draw it, not the one measured with here.
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font", category=UserWarning
        )
        yield


def blank_figure(width: float, height: float) -> "Figure":
    """An empty figure of a size in inches, whose parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def svg(figure: "Figure") -> str:
    """The figure as the text of an <svg> element."""
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=metadata)
    text = buffer.getvalue()
    return text[text.index("<svg") :].strip()


def png(figure: "Figure") -> bytes:
    """The figure as a PNG, for those that hold images."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return buffer.getvalue()
