"""What the figures of a study have in common: their marks, lines and axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pixelbayes.evaluation.estimate import Estimate
from pixelbayes.report.drawing import FEW_POINTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "DOTTED",
    "FLOOR",
    "Drawing",
    "epoch_axis",
    "epoch_line",
    "estimate_mark",
    "name_rows",
    "published_mark",
    "seed_alpha",
]

FLOOR, DOTTED = (0, (4, 3)), (0, (1, 2))  # line styles of matplotlib


@dataclass(frozen=True)
class Drawing:
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


def estimate_mark(axes: "Axes", x: Estimate, y: float, colour: str, marker: str) -> None:
    """Our number with its interval, on row `y`."""
    if math.isfinite(x.value):
        axes.plot([x.low, x.high], [y, y], color=colour, linewidth=1.3, alpha=0.6)
        axes.plot(x.value, y, color=colour, marker=marker, markersize=5)


def published_mark(axes: "Axes", x: float, y: float, colour: str) -> None:
    """A published figure, on row `y`."""
    axes.plot(x, y, marker="D", markersize=5.5, mfc="none", mec=colour, mew=1.3)


def epoch_line(
    axes: "Axes",
    line: Sequence[tuple[float, float]],
    colour: str,
    label: str | None,
    dashes: object = "solid",
    alpha: float = 1.0,
) -> None:
    """A quantity over the epochs; a short training shows its epochs as dots."""
    if line:
        x, y = zip(*line, strict=True)
        marker = "o" if len(line) <= FEW_POINTS else None
        axes.plot(
            x, y, color=colour, label=label, marker=marker, markersize=3, ls=dashes, alpha=alpha
        )


def seed_alpha(group: Sequence[object]) -> float:
    """Opacity of the line of a seed: lines of several seeds may cross."""
    return 1.0 if len(group) == 1 else 0.7


def name_rows(axes: "Axes", names: Sequence[str]) -> None:
    """Rows 0, 1, ... from the top, with their names at the left."""
    axes.set_yticks(range(len(names)), list(names))
    axes.tick_params(axis="y", length=0, labelcolor="#222222")
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)


def epoch_axis(axes: "Axes", label: str) -> None:
    """Whole epochs along x, a quantity along y."""
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axes.grid(visible=True)
