"""Where everything stands in the architecture diagram.

Units: pixels of the drawing, from its upper left corner.
"""

from __future__ import annotations

from dataclasses import dataclass

from pixelbayes.report.flow import Flow

__all__ = [
    "BOX_HEIGHT",
    "BOX_WIDTH",
    "EXPAND_HEIGHT",
    "HEADER",
    "PITCH",
    "RAILS",
    "WIDTH",
    "Plan",
]

WIDTH = 980.0
BOX_WIDTH, BOX_HEIGHT, EXPAND_HEIGHT = 124.0, 50.0, 44.0
PITCH, BETWEEN_BANDS = 80.0, 66.0  # height of a row, and of the space between two resolutions
LANES = {("in", "u"): 210.0, ("in", "ul"): 390.0, ("out", "ul"): 690.0, ("out", "u"): 870.0}
RAILS = {"in": 300.0, "out": 780.0}  # where the label runs, between the lanes of a side
HEADER, FIRST_ROW = 158.0, 264.0  # centres of the boxes above, and of the first row


@dataclass(frozen=True)
class Plan:
    """Where each step stands: the side by name, and the height of its centre."""

    sides: dict[str, str]
    heights: dict[str, float]
    bottom: float
    last: str
    """The step after which the output is read."""

    @classmethod
    def of(cls, flow: Flow) -> Plan:
        """The way in row by row; a block of the way out beside the step it has a short cut from."""
        sides, heights, y = {}, {}, FIRST_ROW
        for step in flow.steps:
            if step.kind == "expand" or step.short_cut is not None:
                continue
            if step.kind != "entry":
                y += PITCH + (BETWEEN_BANDS if step.kind == "shrink" else 0)
            sides[step.name], heights[step.name] = "in", y
        for step in flow.steps:
            if step.short_cut is not None:
                sides[step.name], heights[step.name] = "out", heights[step.short_cut]
            elif step.kind == "expand":
                assert step.before is not None
                sides[step.name] = "out"
                heights[step.name] = heights[step.before] - (PITCH + BETWEEN_BANDS) / 2
        return cls(sides, heights, y + PITCH / 2, flow.steps[-1].name)

    def at(self, step: str, stream: str) -> tuple[float, float]:
        """Centre of the step's box in a stream."""
        return LANES[self.sides[step], stream], self.heights[step]

    def flow_sign(self, step: str) -> float:
        """1 where the streams run down the page, -1 where they run up."""
        return 1.0 if self.sides[step] == "in" else -1.0
