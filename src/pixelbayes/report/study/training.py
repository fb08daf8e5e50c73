"""The figures of one model: its training over the epochs, and its reliability."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pixelbayes.report.drawing import BLUE, GREY, VERMILION, blank_figure, points, style, svg
from pixelbayes.report.figures import reliability_figure
from pixelbayes.report.study.marks import (
    DOTTED,
    FLOOR,
    Drawing,
    epoch_axis,
    epoch_line,
    seed_alpha,
)
from pixelbayes.report.study.published import Published, PublishedModel
from pixelbayes.report.study.results import ModelResult
from pixelbayes.report.study.table import headline_split

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["model_drawings"]

CURVES = (("train", "train/", VERMILION), ("validation", "val/", BLUE))


def model_drawings(group: Sequence[ModelResult], published: Published | None) -> list[Drawing]:
    """The training of one model over its epochs, and its reliability.

    Args:
        group: One model, a result for each seed.
        published: To set beside, where it has a model of this name.

    Returns:
        Those for which there are numbers.

    Raises:
        ModuleNotFoundError: Without matplotlib.
    """
    name, split = group[0].name, headline_split(group)
    drawings = []
    if any(result.curves or result.epoch_scores for result in group):
        seeds = " A line for each seed." if len(group) > 1 else ""
        dotted = ", dotted lines are published figures" if _published(group, published) else ""
        drawings.append(
            Drawing(
                f"training-{name}",
                f"{name} over its epochs: accuracy, loss, and FID where it was scored.",
                f"{name} over its epochs; the vertical line marks the evaluated checkpoint"
                f"{dotted}.{seeds}",
                _training(group, published),
            )
        )
    curves = group[0].reliability.get(split, {})
    if any(curve.count for curve in curves.values()):
        drawings.append(
            Drawing(
                f"reliability-{name}",
                f"Reliability diagram of {name} on {split}.",
                f"Reliability of {name} (seed {group[0].seed}) on {split}: the nearer to the "
                "diagonal, the more a confidence can be taken at its word.",
                reliability_figure(curves),
            )
        )
    return drawings


def _training(group: Sequence[ModelResult], published: Published | None) -> str:
    model = _published(group, published)
    loss = ("bits_per_dim", "bits / dim") if group[0].kind == "pixelcnn" else ("log_loss", "nats")
    scored = any(result.epoch_scores for result in group)
    with style():
        figure = blank_figure(3.5 * (3 if scored else 2), 3.0)
        accuracy, losses = (figure.add_subplot(1, 3 if scored else 2, k) for k in (1, 2))
        for axes, column, unit, factor in (
            (accuracy, "accuracy", "accuracy, %", 100.0),
            (losses, loss[0], loss[1], 1.0),
        ):
            for split, prefix, colour in CURVES:
                for seed, result in enumerate(group):
                    line = points(result.curves, f"{prefix}{column}", factor)
                    label = None if seed else split
                    epoch_line(axes, line, colour, label, alpha=seed_alpha(group))
                if axes is accuracy and model and split in model.accuracy:
                    axes.axhline(model.accuracy[split], color=colour, linestyle=DOTTED, lw=1.2)
            axes.axvline(group[0].best_epoch, color=GREY, linewidth=0.7)
            epoch_axis(axes, unit)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(frameon=False)
        if scored:
            _scores_over_epochs(figure.add_subplot(1, 3, 3), group, model.fid if model else None)
        return svg(figure)


def _published(group: Sequence[ModelResult], published: Published | None) -> PublishedModel | None:
    return published.models.get(group[0].name) if published else None


def _scores_over_epochs(
    axes: "Axes", group: Sequence[ModelResult], published: float | None
) -> None:
    for result in group:
        x = [score.epoch for score in result.epoch_scores]
        y = [score.fid.value for score in result.epoch_scores]
        low = [score.fid.low for score in result.epoch_scores]
        high = [score.fid.high for score in result.epoch_scores]
        axes.plot(x, y, color=BLUE, marker="o", markersize=3.5, alpha=seed_alpha(group))
        axes.fill_between(x, low, high, color=BLUE, alpha=0.15 / len(group), linewidth=0)
    floors = (result.score("course", 192) for result in group)
    floor = next((score.fid_floor for score in floors if score and score.fid_floor), None)
    if floor:
        axes.axhline(floor.value, color=GREY, linestyle=FLOOR, lw=1, label="real images (floor)")
    if published is not None:
        axes.axhline(published, color=BLUE, linestyle=DOTTED, lw=1.2, label="published")
    epoch_axis(axes, "FID course-192")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
