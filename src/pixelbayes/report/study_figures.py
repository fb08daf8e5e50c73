"""The figures of a study: all models in one, each over its epochs, generated images side by side.

Ours are filled marks with their 95 % interval, published figures hollow diamonds; what real
images score is a dashed line.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.report.figures import (
    BLUE,
    FIRST_EIGHTH,
    GREEN,
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
    png,
    points,
    style,
    svg,
)
from pixelbayes.report.model_table import fid_protocols, grouped, headline_split
from pixelbayes.report.published import Published
from pixelbayes.report.report_figures import FEWEST_IN_BIN, reliability_figure
from pixelbayes.report.results import GENERATED, ModelResult, decode_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["comparison_plots", "model_plots", "sample_plot", "sampled"]

SPLITS = (("train", VERMILION, "^"), ("validation", BLUE, "o"), ("test", GREEN, "s"))
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.2)))
MARKERS = ("o", "s", "D", "^")
FLOOR, DOTTED = (0, (4, 3)), (0, (1, 2))  # line styles of matplotlib
ACROSS = 4  # images in a row of one cell
MANY_CLASSES = 6  # beyond that, a cell shows half as many images
ENLARGED = 96  # pixels of an image's side at least, before the viewer scales it
CELL = 1.9  # inches
ROW = 0.46  # inches of a model's row
WIDE = 5.6  # inches: fits a telephone, if closely


def comparison_plots(results: Sequence[ModelResult], published: Published | None) -> list[Plot]:
    """Draws all models in one figure each: accuracy, FID, accuracy by code length, code length.

    Args:
        results: One for each model and seed.
        published: To set beside, where the models have the same names.

    Returns:
        Those for which there are numbers.

    Raises:
        ModuleNotFoundError: Without matplotlib.
    """
    plots = []
    if any(result.splits for result in results):
        shown = [
            (split, "accuracy", colour, marker)
            for split, colour, marker in SPLITS
            if any(split in result.splits for result in results)
        ]
        plots.append(
            Plot(
                "accuracy",
                "Accuracy of each model by split, with intervals and published figures.",
                "Accuracy with 95 % intervals, a mark for each seed"
                + ("; hollow diamonds are the published figures." if published else "."),
                _rows_figure(results, published, shown, "accuracy, %", legend=True),
            )
        )
    for protocol in fid_protocols(results):
        plots.append(
            Plot(
                f"fid-{protocol}",
                f"FID {protocol} of each model, with its floor.",
                "FID with 95 % intervals. The dashed line is what real images score "
                "under the same protocol: left of it does not mean better than real.",
                _rows_figure(
                    [result for result in results if result.scores],
                    published,
                    [(GENERATED, f"fid/{protocol}", BLUE, "o")],
                    f"FID {protocol}",
                ),
            )
        )
    split = headline_split(results)
    both = [r for r in results if r.measure(split, "bits_per_dim") and r.measure(split, "accuracy")]
    if len(both) > 2:
        plots.append(
            Plot(
                "accuracy-bits_per_dim",
                f"Accuracy of each model against its code length, {split} images.",
                f"Accuracy and code length of the {split} images with 95 % intervals; further up "
                "classifies better, further left describes images better.",
                _against_code_length(both, split),
            )
        )
    if any(points(result.curves, "val/bits_per_dim", 1) for result in results):
        plots.append(
            Plot(
                "bits_per_dim",
                "Validation bits per dimension of each model over the epochs.",
                "Code length of the validation images over the epochs; lower is better.",
                _code_lengths(results),
            )
        )
    return plots


def _rows_figure(
    results: Sequence[ModelResult],
    published: Published | None,
    shown: Sequence[tuple[str, str, str, str]],
    label: str,
    legend: bool = False,
) -> str:
    """A row for each model, on it a mark for each number: split, name, colour, marker."""
    groups = grouped(results)
    with style():
        figure = blank_figure(WIDE, 1.1 + ROW * len(groups))
        axes = figure.add_subplot()
        for row, (name, group) in enumerate(groups.items()):
            theirs = published.models.get(name) if published else None
            for k, (split, measure, colour, marker) in enumerate(shown):
                y = row + 0.24 * (k - (len(shown) - 1) / 2)
                family, _, variant = measure.partition("/")
                for result in group:
                    if (x := result.measure(split, measure)) is not None:
                        _estimate(axes, x, y, colour, marker)
                    floor = result.measure(split, f"{family}_floor/{variant}")
                    if floor is not None:
                        axes.vlines(floor.value, row - 0.5, row + 0.5, color=QUIET, ls=FLOOR, lw=1)
                if theirs and (split, measure) in theirs.figures:
                    figure_of = theirs.figures[split, measure]
                    y += 0.2 * (len(shown) == 1)
                    axes.plot(figure_of, y, marker="D", ms=5.5, mfc="none", mec=colour, mew=1.3)
        axes.set_yticks(range(len(groups)), list(groups))
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.grid(visible=True, axis="x")
        axes.set_axisbelow(True)
        axes.set_xlabel(label)
        for split, _, colour, marker in shown:
            axes.plot([], [], color=colour, marker=marker, ls="none", label=split)
        if not legend:
            axes.plot([], [], color=QUIET, ls=FLOOR, lw=1, label="real images (floor)")
        theirs_too = {
            key
            for name in groups
            if published and name in published.models
            for key in published.models[name].figures
        }
        if any((split, name) in theirs_too for split, name, *_ in shown):
            axes.plot([], [], ls="none", marker="D", mfc="none", mec=QUIET, label="published")
        figure.legend(loc="outside upper center", ncols=4, frameon=False)
        return svg(figure)


def _estimate(axes: Axes, x: Estimate, y: float, colour: str, marker: str) -> None:
    if math.isfinite(x.value):
        axes.plot([x.low, x.high], [y, y], color=colour, linewidth=1.3, alpha=0.6)
        axes.plot(x.value, y, color=colour, marker=marker, markersize=5)


def _against_code_length(results: Sequence[ModelResult], split: str) -> str:
    """A mark for each result, the colours of which are those of `_code_lengths`."""
    with style():
        figure = blank_figure(WIDE, 3.6)
        axes = figure.add_subplot()
        for k, (name, group) in enumerate(grouped(results).items()):
            colour, marker = PALETTE[k % len(PALETTE)], MARKERS[k // len(PALETTE) % len(MARKERS)]
            for seed, result in enumerate(group):
                bits, right = (result.measures[split, of] for of in ("bits_per_dim", "accuracy"))
                axes.errorbar(
                    bits.value,
                    right.value,
                    xerr=[[bits.value - bits.low], [bits.high - bits.value]],
                    yerr=[[right.value - right.low], [right.high - right.value]],
                    fmt=marker,
                    color=colour,
                    markersize=6,
                    elinewidth=0.8,
                    label=None if seed else name,
                )
        axes.grid(visible=True)
        axes.set_axisbelow(True)
        axes.set_xlabel(f"{split} bits / dim")
        axes.set_ylabel(f"{split} accuracy, %")
        figure.legend(loc="outside upper center", ncols=4, frameon=False)
        return svg(figure)


def _code_lengths(results: Sequence[ModelResult]) -> str:
    groups = grouped(r for r in results if points(r.curves, "val/bits_per_dim", 1))
    settled: list[float] = []
    with style():
        figure = blank_figure(WIDE, 3.6)
        axes = figure.add_subplot()
        for k, (name, group) in enumerate(groups.items()):
            dashes = DASHES[k // len(PALETTE) % len(DASHES)]
            for seed, result in enumerate(group):
                line = points(result.curves, "val/bits_per_dim", 1)
                label = None if seed else name
                colour, alpha = PALETTE[k % len(PALETTE)], 0.7 if len(group) > 1 else 1.0
                epoch_line(axes, line, colour, label, dashes, alpha=alpha)
                # The steep beginning is left out: beside it models cannot be told apart.
                settled += [y for _, y in line[len(line) // FIRST_EIGHTH :]]
        margin = 0.05 * (max(settled) - min(settled)) or 0.1
        axes.set_ylim(min(settled) - margin, max(settled) + margin)
        epoch_axis(axes, "validation bits / dim")
        return svg(figure)


def model_plots(group: Sequence[ModelResult], published: Published | None) -> list[Plot]:
    """Draws one model over its epochs (accuracy, loss, FID) and its reliability.

    Args:
        group: One model, a result for each seed.
        published: To set beside, where it has a model of this name.

    Returns:
        Those for which there are numbers.

    Raises:
        ModuleNotFoundError: Without matplotlib.
    """
    name = group[0].name
    theirs = published.models.get(name) if published else None
    figures = theirs.figures if theirs else {}
    seeds = " A line for each seed." if len(group) > 1 else ""
    plots = []
    for column, label, factor in (
        ("accuracy", "accuracy, %", 100.0),
        ("bits_per_dim", "bits / dim", 1.0),
        ("log_loss", "log-loss, nats", 1.0),
    ):
        lines = {
            (split, seed): line
            for split, prefix in (("train", "train/"), ("validation", "val/"))
            for seed, result in enumerate(group)
            if (line := points(result.curves, f"{prefix}{column}", factor))
        }
        if not lines:
            continue
        dotted = any((split, column) in figures for split, _ in lines)
        with style():
            figure = blank_figure(*PANEL)
            axes = figure.add_subplot()
            for (split, seed), line in lines.items():
                colour = VERMILION if split == "train" else BLUE
                alpha = 0.7 if len(group) > 1 else 1.0
                epoch_line(axes, line, colour, None if seed else split, alpha=alpha)
                if (split, column) in figures and not seed:
                    axes.axhline(figures[split, column], color=colour, linestyle=DOTTED, lw=1.2)
            for best in {result.best_epoch for result in group}:
                axes.axvline(best, color=QUIET, linewidth=0.7)
            epoch_axis(axes, label)
            left_out = column in LOSSES and frame_settled(axes, [*lines.values()])
            marks = "line marks" if len(group) == 1 else "lines mark"
            caption = f"The vertical {marks} the evaluated checkpoint" + (
                ", dotted lines are published figures." if dotted else "."
            )
            caption += f" {OUT_OF_FRAME}" if left_out else ""
            alt = f"{label} of {name} over its epochs."
            plots.append(Plot(f"training-{name}-{column}", alt, caption + seeds, svg(figure)))
    if any(result.epoch_scores for result in group):
        alt, caption = f"FID of {name} over its epochs.", f"FID over the epochs.{seeds}"
        plots.append(Plot(f"training-{name}-fid", alt, caption, _fid_figure(group, figures)))
    split = headline_split(group)
    if split in group[0].splits:
        curves = group[0].splits[split].reliability
        if any(n >= FEWEST_IN_BIN for curve in curves.values() for n in curve.count):
            plots.append(
                Plot(
                    f"reliability-{name}",
                    f"Reliability diagram of {name} on {split}.",
                    f"Reliability on {split} (seed {group[0].seed}), with 95 % intervals: the "
                    "nearer to the diagonal, the more a confidence can be taken at its word.",
                    reliability_figure(curves),
                )
            )
    return plots


def _fid_figure(group: Sequence[ModelResult], figures: Mapping[tuple[str, str], float]) -> str:
    first = next((score for result in group for score in result.scores), None)
    protocol = f"{first.protocol}-{first.dims}" if first else ""
    with style():
        figure = blank_figure(*PANEL)
        axes = figure.add_subplot()
        for result in group:
            x = [score.epoch for score in result.epoch_scores]
            fids = [score.fid for score in result.epoch_scores]
            low, high = [fid.low for fid in fids], [fid.high for fid in fids]
            alpha = 0.7 if len(group) > 1 else 1.0
            axes.plot(x, [fid.value for fid in fids], color=BLUE, marker="o", ms=3.5, alpha=alpha)
            axes.fill_between(x, low, high, color=BLUE, alpha=0.15 / len(group), linewidth=0)
        if first and first.fid_floor:
            axes.axhline(
                first.fid_floor.value, color=QUIET, ls=FLOOR, lw=1, label="real images (floor)"
            )
        if (GENERATED, f"fid/{protocol}") in figures:
            theirs = figures[GENERATED, f"fid/{protocol}"]
            axes.axhline(theirs, color=BLUE, linestyle=DOTTED, lw=1.2, label="published")
        epoch_axis(axes, f"FID {protocol}".strip(), legend_above=True)
        return svg(figure)


def sampled(results: Sequence[ModelResult]) -> dict[str, dict[str, list[str]]]:
    """The first samples by model and class; of several seeds, of the first that has some."""
    found: dict[str, dict[str, list[str]]] = {}
    for result in results:
        if any(result.samples.values()):
            across = ACROSS if len(result.samples) <= MANY_CLASSES else ACROSS // 2
            first = {name: images[: 2 * across] for name, images in result.samples.items()}
            found.setdefault(result.name, first)
    return found


def sample_plot(results: Sequence[ModelResult]) -> Plot | None:
    """Draws the first samples of every model and class: rows are models, columns classes.

    Args:
        results: One for each model and seed; those without samples are left out.

    Returns:
        A PNG; None where there are no samples.

    Raises:
        ReportError: If a sample is not a PNG in base64.
        ModuleNotFoundError: Without matplotlib.
    """
    models = sampled(results)
    if not models:
        return None
    classes = list(dict.fromkeys(name for samples in models.values() for name in samples))
    across = ACROSS if len(classes) <= MANY_CLASSES else ACROSS // 2
    with style():
        width, height = CELL * across / ACROSS * len(classes) + 0.9, CELL / 2 * len(models) + 0.4
        figure = blank_figure(width, height)
        grid = figure.subplots(len(models), len(classes), squeeze=False)
        for row, (model, samples) in enumerate(models.items()):
            for column, name in enumerate(classes):
                axes = grid[row, column]
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if row == 0:
                    axes.set_title(name)
                if column == 0:
                    axes.set_ylabel(model, rotation=0, ha="right", va="center")
                if samples.get(name):
                    axes.imshow(_tiled(samples[name], across), interpolation="none")
        return Plot(
            "samples",
            f"Generated images: rows are {', '.join(models)}; columns are {', '.join(classes)}.",
            "Generated images, not selected: the first of each class.",
            png(figure),
        )


def _tiled(images: Sequence[str], across: int) -> np.ndarray:
    """Images beside and below each other on white, enlarged by a whole factor, (H, W, 3) uint8."""
    pixels = [
        np.asarray(Image.open(io.BytesIO(decode_png(image))).convert("RGB")) for image in images
    ]
    height, width = pixels[0].shape[:2]
    factor = max(1, ENLARGED // min(height, width))
    gap = max(1, height // 16)
    rows = -(-len(pixels) // across)
    sheet = np.full((rows * (height + gap), across * (width + gap), 3), 255, np.uint8)
    for k, image in enumerate(pixels):
        top, left = k // across * (height + gap), k % across * (width + gap)
        sheet[top : top + height, left : left + width] = image[:height, :width]
    return sheet.repeat(factor, 0).repeat(factor, 1)
