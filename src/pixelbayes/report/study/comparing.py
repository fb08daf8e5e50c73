"""The figures that show all models of a study: accuracy, FID, code length over the epochs.

Ours are filled marks with their 95 % interval, published figures hollow diamonds; what real
images score is a dashed line.
"""

from collections.abc import Mapping, Sequence

from pixelbayes.report.drawing import (
    BLUE,
    GREY,
    PALETTE,
    VERMILION,
    blank_figure,
    points,
    style,
    svg,
)
from pixelbayes.report.study.marks import (
    FLOOR,
    Drawing,
    epoch_axis,
    epoch_line,
    estimate_mark,
    name_rows,
    published_mark,
    seed_alpha,
)
from pixelbayes.report.study.measures import preferred_dims
from pixelbayes.report.study.published import Published
from pixelbayes.report.study.results import ModelResult
from pixelbayes.report.study.table import grouped

__all__ = ["comparison_drawings"]

GREEN = PALETTE[2]
SPLITS = (("train", VERMILION, "^"), ("validation", BLUE, "o"), ("test", GREEN, "s"))
BEGINNING = 8  # the first eighth of a training
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.2)))


def comparison_drawings(
    results: Sequence[ModelResult], published: Published | None
) -> list[Drawing]:
    """All models in one figure each: accuracy, FID, code length over the epochs.

    Args:
        results: One for each model and seed.
        published: To set beside, where the models have the same names.

    Returns:
        Those for which there are numbers.

    Raises:
        ModuleNotFoundError: Without matplotlib.
    """
    drawings = []
    if any(result.accuracy for result in results):
        drawings.append(
            Drawing(
                "accuracy",
                "Accuracy of each model by split, with intervals and published figures.",
                "Accuracy with 95 % intervals, a mark for each seed"
                + ("; hollow diamonds are the published figures." if published else "."),
                _accuracy(results, published),
            )
        )
    protocols = [
        (protocol, dims)
        for protocol in ("course", "matched")
        if (dims := preferred_dims(results, protocol))
    ]
    if protocols:
        drawings.append(
            Drawing(
                "fid",
                "FID of each model under each protocol, with its floor.",
                "FID with 95 % bootstrap intervals. The dashed line is what real images score "
                "under the same protocol: left of it does not mean better than real.",
                _fid(results, protocols, published),
            )
        )
    if any(points(result.curves, "val/bits_per_dim", 1) for result in results):
        drawings.append(
            Drawing(
                "bits_per_dim",
                "Validation bits per dimension of each model over the epochs.",
                "Code length of the validation images over the epochs; lower is better.",
                _code_lengths(results),
            )
        )
    return drawings


def _accuracy(results: Sequence[ModelResult], published: Published | None) -> str:
    groups = grouped(results)
    with style():
        figure = blank_figure(7.6, 1.1 + 0.52 * len(groups))
        axes = figure.add_subplot()
        for row, (name, group) in enumerate(groups.items()):
            model = published.models.get(name) if published else None
            for k, (split, colour, marker) in enumerate(SPLITS):
                y = row + 0.24 * (k - 1)
                for result in group:
                    if split in result.accuracy:
                        estimate_mark(axes, result.accuracy[split], y, colour, marker)
                if model and split in model.accuracy:
                    published_mark(axes, model.accuracy[split], y, colour)
        name_rows(axes, list(groups))
        axes.set(xlabel="accuracy, %", xlim=(0, 102))
        shown = [s for s in SPLITS if any(s[0] in r.accuracy for r in results)]
        for split, colour, marker in shown:
            axes.plot([], [], color=colour, marker=marker, linestyle="none", label=split)
        if published:
            axes.plot([], [], linestyle="none", marker="D", mfc="none", mec=GREY, label="published")
        figure.legend(loc="outside upper center", ncols=4, frameon=False)
        return svg(figure)


def _fid(
    results: Sequence[ModelResult],
    protocols: Sequence[tuple[str, int]],
    published: Published | None,
) -> str:
    groups = grouped(result for result in results if result.scores)
    with style():
        figure = blank_figure(3.4 * len(protocols) + 1.4, 1.1 + 0.42 * len(groups))
        for place, (protocol, dims) in enumerate(protocols, start=1):
            axes = figure.add_subplot(1, len(protocols), place)
            for row, (name, group) in enumerate(groups.items()):
                for result in group:
                    score = result.score(protocol, dims)
                    if score:
                        estimate_mark(axes, score.fid, row, BLUE, "o")
                    if score and score.fid_floor:
                        floor = score.fid_floor.value
                        axes.vlines(floor, row - 0.5, row + 0.5, color=GREY, linestyle=FLOOR, lw=1)
                model = published.models.get(name) if published else None
                if model and model.fid is not None and (protocol, dims) == ("course", 192):
                    published_mark(axes, model.fid, row + 0.2, VERMILION)
            name_rows(axes, list(groups) if place == 1 else [""] * len(groups))
            axes.set(xlabel=f"FID {protocol}-{dims}")
        axes = figure.axes[0]
        axes.plot([], [], color=BLUE, marker="o", linestyle="none", label="generated")
        axes.plot([], [], color=GREY, linestyle=FLOOR, lw=1, label="real images (floor)")
        if published and protocols[0] == ("course", 192):
            axes.plot([], [], ls="none", marker="D", mfc="none", mec=VERMILION, label="published")
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
        return svg(figure)


def _code_lengths(results: Sequence[ModelResult]) -> str:
    groups = grouped(r for r in results if points(r.curves, "val/bits_per_dim", 1))
    with style():
        figure = blank_figure(7.6, 3.6)
        axes = figure.add_subplot()
        for k, (name, group) in enumerate(groups.items()):
            dashes = DASHES[k // len(PALETTE) % len(DASHES)]
            for seed, result in enumerate(group):
                line = points(result.curves, "val/bits_per_dim", 1)
                label = None if seed else name
                epoch_line(
                    axes, line, PALETTE[k % len(PALETTE)], label, dashes, alpha=seed_alpha(group)
                )
        axes.set_ylim(*_settled(groups))
        epoch_axis(axes, "validation bits / dim")
        figure.legend(loc="outside right upper", frameon=False)
        return svg(figure)


def _settled(groups: Mapping[str, Sequence[ModelResult]]) -> tuple[float, float]:
    """Limits that leave out the steep beginning, beside which models cannot be told apart."""
    lines = [
        [y for _, y in points(result.curves, "val/bits_per_dim", 1)]
        for group in groups.values()
        for result in group
    ]
    low = min(min(line) for line in lines)
    high = max(max(line[len(line) // BEGINNING :]) for line in lines)
    margin = 0.05 * (high - low) or 0.1
    return low - margin, high + margin
