"""The figures of a report: how training went, calibration, selective answers, code lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pixelbayes.evaluation.accuracy import RiskCoverage, accuracy
from pixelbayes.evaluation.calibration import ReliabilityCurve
from pixelbayes.evaluation.histogram import Histogram
from pixelbayes.report.figures import (
    BLUE,
    LOSSES,
    OUT_OF_FRAME,
    PALETTE,
    PANEL,
    QUIET,
    VERMILION,
    Plot,
    blank_figure,
    epoch_axis,
    epoch_line,
    frame_settled,
    no_data,
    points,
    style,
    svg,
)

__all__ = [
    "FEWEST_IN_BIN",
    "code_length_figure",
    "reliability_figure",
    "risk_figure",
    "training_plots",
]

FEWEST_IN_BIN = 10  # images; the accuracy of fewer says nothing
# Column after the slash, axis label, factor from the column to the axis.
PANELS = (
    ("bits_per_dim", "bits / dim", 1),
    ("log_loss", "log-loss, nats", 1),
    ("accuracy", "accuracy, %", 100),
    ("lr", "learning rate", 1),
    ("images_per_s", "images / s", 1),
)
FROM_ZERO = ("lr", "images_per_s")  # elsewhere a small noise would fill the panel
SERIES = (("train/", "train", VERMILION), ("val/", "validation", BLUE), ("", None, QUIET))


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
