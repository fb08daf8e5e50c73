"""The figures of a report, as SVG text, drawn in the style of `pixelbayes.report.drawing`."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pixelbayes.errors import PixelBayesError
from pixelbayes.evaluation.calibration import ReliabilityCurve
from pixelbayes.report.drawing import (
    BLUE,
    FEW_POINTS,
    GREY,
    VERMILION,
    blank_figure,
    no_data,
    points,
    style,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["confusion_figure", "reliability_figure", "training_curves"]

COUNTED_CLASSES = 20  # beyond that, a count no longer fits into its cell
LABELLED_CLASSES = 40  # beyond that, labels of neighbouring classes overlap
LONG_LABEL = 12  # characters of a class name that fit on an axis
BAR_WIDTH = 5  # percent of confidence, a little less than one of the usual 15 bins
# Column after the slash, axis label, factor from the column to the axis.
PANELS = (
    ("bits_per_dim", "bits / dim", 1),
    ("accuracy", "accuracy, %", 100),
    ("lr", "learning rate", 1),
    ("images_per_s", "images / s", 1),
)
FROM_ZERO = ("learning rate", "images / s")  # elsewhere a small noise would fill the panel
SERIES = (("train/", "train", VERMILION), ("val/", "validation", BLUE), ("", "", GREY))


def training_curves(curves: Mapping[str, Sequence[float | None]]) -> str:
    """Draws how bits per dim, accuracy, learning rate and speed went over the epochs.

    Args:
        curves: Columns of the training log: "epoch", "train/bits_per_dim", "val/bits_per_dim",
            "train/accuracy", "val/accuracy" (shares in [0, 1]), "lr", "images_per_s".  Columns
            may be missing, entries None or not finite; those points are left out.

    Returns:
        SVG, with the text "no data" where there is nothing to draw.
    """
    panels = []
    for column, label, factor in PANELS:
        lines = [
            (name, colour, line)
            for prefix, name, colour in SERIES
            if (line := points(curves, f"{prefix}{column}", factor))
        ]
        if lines:
            panels.append((label, lines))
    if not panels:
        return no_data()
    rows, columns = math.ceil(len(panels) / 2), min(len(panels), 2)
    with style():
        figure = blank_figure(4.2 * columns, 2.7 * rows)
        for place, panel in enumerate(panels, start=1):
            _curve_panel(figure.add_subplot(rows, columns, place), *panel)
        return svg(figure)


def confusion_figure(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """Draws a confusion matrix: colour is the share of the true class, text the count.

    Args:
        confusion: Counts (true, predicted), K rows of K.
        classes: K names.

    Returns:
        SVG, with the text "no data" where there are no classes or no images.

    Raises:
        ValueError: If the matrix is not K x K.
    """
    count = len(classes)
    if len(confusion) != count or any(len(row) != count for row in confusion):
        raise PixelBayesError(
            f"{count} classes need a confusion matrix of {count} x {count}, got rows of "
            f"{[len(row) for row in confusion]}"
        )
    if not any(map(sum, confusion)):
        return no_data()
    shares = [[100 * cell / max(sum(row), 1) for cell in row] for row in confusion]
    labels = [name if len(name) <= LONG_LABEL else f"{name[: LONG_LABEL - 1]}…" for name in classes]
    step = math.ceil(count / LABELLED_CLASSES)
    ticks = list(range(0, count, step))
    side = min(max(4.2, 0.42 * count), 8.4)
    with style():
        figure = blank_figure(side + 0.8, side)
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, interpolation="none")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set_xticks(ticks, [labels[k] for k in ticks])
        axes.set_yticks(ticks, [labels[k] for k in ticks])
        if count > 6 or max(map(len, labels)) > 6:
            axes.tick_params(axis="x", labelrotation=90)
        if count > COUNTED_CLASSES:
            axes.tick_params(labelsize=6.5)
        axes.set(xlabel="predicted class", ylabel="true class")
        if count <= COUNTED_CLASSES:
            _write_counts(axes, confusion, shares)
        bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=28)
        bar.set_label("share of the true class, %")
        bar.outline.set_visible(False)
        return svg(figure)


def reliability_figure(curves: Mapping[str, ReliabilityCurve]) -> str:
    """Draws accuracy against confidence with the gaps to the diagonal, and where the images lie.

    Args:
        curves: By posterior, e.g. "raw" and "calibrated"; drawn side by side in this order.

    Returns:
        SVG, with the text "no data" where there is no curve with an image.
    """
    filled = {name: curve for name, curve in curves.items() if curve.count}
    if not filled:
        return no_data()
    with style():
        figure = blank_figure(3.9 * max(len(filled), 1) + 0.3, 4.6)
        grid = figure.add_gridspec(2, len(filled), height_ratios=[3.2, 1])
        for column, (name, curve) in enumerate(filled.items()):
            axes = figure.add_subplot(grid[0, column])
            _reliability_panel(axes, name, curve, legend=column == 0)
            below = figure.add_subplot(grid[1, column], sharex=axes)
            shares = [100 * n / sum(curve.count) for n in curve.count]
            below.bar([100 * x for x in curve.confidence], shares, width=BAR_WIDTH, color=BLUE)
            below.set(xlabel="confidence, %", ylim=(0, 100), yticks=[0, 50, 100])
            axes.tick_params(labelbottom=False)
            if column == 0:
                axes.set_ylabel("accuracy, %")
                below.set_ylabel("images, %")
        return svg(figure)


def _curve_panel(axes: "Axes", label: str, lines: list[tuple[str, str, list[Any]]]) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    for name, colour, line in lines:
        x, y = zip(*line, strict=True)
        marker = "o" if len(line) <= FEW_POINTS else None
        axes.plot(x, y, color=colour, label=name, marker=marker, markersize=3.5)
    axes.set(xlabel="epoch", ylabel=label)
    if label in FROM_ZERO:
        top = max(y for *_, line in lines for _, y in line)
        axes.set_ylim(0, 1.08 * top if top > 0 else 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.grid(visible=True)
    if lines[0][0]:
        axes.legend(frameon=False)


def _write_counts(
    axes: "Axes", confusion: Sequence[Sequence[int]], shares: Sequence[Sequence[float]]
) -> None:
    size = 9.0 if len(confusion) <= 10 else 6.5
    for row, counts in enumerate(confusion):
        for column, count in enumerate(counts):
            if count:
                colour = "white" if shares[row][column] > 50 else "#222222"
                axes.text(
                    column, row, str(count), ha="center", va="center", color=colour, size=size
                )


def _reliability_panel(axes: "Axes", name: str, curve: ReliabilityCurve, legend: bool) -> None:
    confidence = [100 * x for x in curve.confidence]
    accuracy = [100 * x for x in curve.accuracy]
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="ideal")
    axes.vlines(confidence, confidence, accuracy, color=VERMILION, alpha=0.35, lw=7, label="gap")
    axes.plot(confidence, accuracy, color=BLUE, marker="o", markersize=4, label="measured")
    axes.set(xlim=(0, 102), ylim=(-2, 102), title=name)
    axes.grid(visible=True)
    if legend:
        axes.legend(frameon=False, loc="upper left")
