"""The two kinds of plot that benchmarks need; both become SVG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves", "growth", "new_figure"]

Points = Mapping[str, tuple[Sequence[float], Sequence[float | Spread]]]
"""For each line its positions and its values."""
Lines = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def new_figure(panels: int = 1) -> tuple[Figure, list[Axes]]:
    """Empty axes side by side; the same numbers give the same file."""
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "pixelbayes"
    figure = Figure(figsize=(5.0 * panels, 3.6), layout="constrained")
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def growth(panels: Mapping[str, Points], *, xlabel: str, ylabel: str) -> Figure:
    """Log-log plots with one panel per title; spreads are drawn as bars.

    Args:
        panels: Lines by the title of their panel.
        xlabel: Below each panel.
        ylabel: Beside the first.
    """
    from matplotlib.ticker import NullLocator

    figure, axes = new_figure(len(panels))
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        for name, (x, y) in lines.items():
            axis.errorbar(x, *_with_bars(y), marker="o", markersize=4, capsize=2, label=name)
        ticks = sorted({position for x, _ in lines.values() for position in x})
        axis.set(xscale="log", yscale="log", xlabel=xlabel, title=title)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.grid(which="major", alpha=0.3)
        axis.legend(frameon=False)
    axes[0].set_ylabel(ylabel)
    return figure


def curves(lines: Lines, *, xlabel: str, ylabel: str, **settings: Any) -> Figure:
    """Lines on linear axes; `settings` go to `Axes.set`."""
    figure, (axis,) = new_figure()
    for name, (x, y) in lines.items():
        axis.plot(x, y, label=name, linewidth=1.2)
    axis.set(xlabel=xlabel, ylabel=ylabel, **settings)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return figure


def _with_bars(values: Sequence[float | Spread]) -> tuple[list[float], list[list[float]]]:
    spreads = [v if isinstance(v, Spread) else Spread(v, v, v, 1) for v in values]
    middle = [spread.median for spread in spreads]
    below = [spread.median - spread.low for spread in spreads]
    above = [spread.high - spread.median for spread in spreads]
    return middle, [below, above]
