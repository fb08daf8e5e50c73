"""The architecture as a diagram, drawn from the network itself.

The way in goes down on the left, the way out up on the right; each step of a stream is one box,
each short cut one line, and each place where the label enters one mark.  `report.tracing` finds
them by watching an image pass, so the diagram shows what the network does, whatever its size
and its fusion are.  Units: pixels of the drawing, from its upper left corner.

The colours of the streams differ in lightness as well as in hue, so that they stay apart for
colour-blind readers and in print [1].

References:
    [1] Wong, Points of view: Color blindness, Nature Methods 8, 441, 2011.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pixelbayes.core import PixelCNN
from pixelbayes.report.diagram_parts import (
    DETAIL_HEIGHT,
    block_diagram,
    box,
    element,
    legend,
    mark,
    route,
    text,
)
from pixelbayes.report.markup import HTML
from pixelbayes.report.tracing import Flow, Place, Step, trace

__all__ = ["architecture_svg"]

COLOURS = {"u": "#0072b2", "ul": "#c65400", "label": "#9b2d86", "wire": "#3d4650"}
WIDTH = 980.0
BOX_WIDTH, BOX_HEIGHT, EXPAND_HEIGHT = 124.0, 50.0, 44.0
PITCH, BETWEEN_BANDS = 80.0, 66.0  # height of a row, and of the space between two resolutions
LANES = {("in", "u"): 210.0, ("in", "ul"): 390.0, ("out", "ul"): 690.0, ("out", "u"): 870.0}
RAILS = {"in": 300.0, "out": 780.0}  # where the label runs, between the lanes of a side
HEADER, FIRST_ROW = 158.0, 264.0  # centres of the boxes above, and of the first row
HEADER_WIDTH, HEADER_HEIGHT = 262.0, 56.0
HEADER_FOOT = HEADER + HEADER_HEIGHT / 2
LABEL_X, LABEL_WIDTH = 540.0, 150.0
SMALL_HEIGHT = 30.0
LABEL_ENTRIES: tuple[tuple[frozenset[Place], float], ...] = (
    (frozenset({"scale", "shift"}), -14.0),
    (frozenset({"gates"}), -14.0),
    (frozenset({"result"}), 14.0),
)
"""Places that share a mark, and its distance from the centre of the block along the flow."""
STREAMS = ("u", "ul")


def architecture_svg(model: PixelCNN) -> str:
    """Draws the network: two streams, its resolutions, short cuts, and where the label enters.

    Args:
        model: The network; it stays as it is.

    Returns:
        A self-contained SVG document.  Every step of a stream is a group with `data-step` and
        `data-stream`, every short cut a path with `data-from` and `data-to`, every entry of the
        label in a block a group with `data-label` ("scale shift", "shift", "gates" or "result"),
        attention a group with `data-attention` ("lowest" or "full").
    """
    flow = trace(model)
    plan = _Plan.of(flow)
    config = model.config
    parts = [
        *_bands(flow, plan, dict(zip(config.stage_sizes, config.stage_features, strict=True))),
        *_rails(flow, plan),
        *(line for step in flow.steps for line in _lines(step, plan)),
        *(shape for step in flow.steps for shape in _boxes(step, plan)),
        *_header(model, flow, plan),
        *_behind_convolutions(model, flow, plan),
        block_diagram(model, flow.label_in_blocks, (24.0, plan.bottom + 22), WIDTH - 48),
    ]
    weights = sum(parameter.numel() for parameter in model.parameters())
    blocks = sum(step.kind == "block" for step in flow.steps)
    widths = ", ".join(map(str, dict.fromkeys(config.stage_features)))
    sentence = (
        f"{config.fusion} fusion · {widths} features · {blocks} gated blocks in each "
        f"stream · {config.mixtures} logistics per pixel · {weights:,} weights"
    )
    return HTML.get_template("architecture.svg.jinja").render(
        width=f"{WIDTH:g}",
        height=f"{plan.bottom + DETAIL_HEIGHT + 40:g}",
        sentence=sentence,
        colours=COLOURS,
        parts=[*legend(flow), *parts],
    )


@dataclass(frozen=True)
class _Plan:
    """Where each step stands: the side by name, and the height of its centre."""

    sides: dict[str, str]
    heights: dict[str, float]
    bottom: float
    last: str
    """The step after which the output is read."""

    @classmethod
    def of(cls, flow: Flow) -> _Plan:
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


def _bands(flow: Flow, plan: _Plan, features: dict[tuple[int, int], int]) -> Iterator[str]:
    """A panel behind the steps of each resolution on the way in and out."""
    rows: dict[tuple[int, int], list[float]] = {}
    for step in flow.steps:
        if plan.sides[step.name] == "in":
            rows.setdefault(step.size, []).append(plan.heights[step.name])
    for size, heights in rows.items():
        top, bottom = min(heights) - PITCH / 2, max(heights) + PITCH / 2
        yield element(
            "rect", x=24, y=top, width=WIDTH - 48, height=bottom - top, rx=14, class_="band"
        )
        yield text(f"{size[0]} × {size[1]}", 40, top + 26, class_="size")  # noqa: RUF001
        yield text("pixels", 40, top + 43, class_="small quiet")
        yield text(f"{features[size]} features", 40, top + 60, class_="small quiet")


def _boxes(step: Step, plan: _Plan) -> Iterator[str]:
    lines = {
        "entry": ("first layer",),
        "block": ("gated block",),
        "shrink": ("halve", "convolution, stride 2"),
        "expand": ("double", "transposed conv."),
    }[step.kind]
    height = EXPAND_HEIGHT if step.kind == "expand" else BOX_HEIGHT
    for stream, places in zip(STREAMS, (step.label_in_u, step.label_in_ul), strict=True):
        yield box(
            plan.at(step.name, stream),
            (BOX_WIDTH, height),
            *lines,
            class_=f"step {step.kind} {stream}",
            data_step=step.name,
            data_stream=stream,
        )
        yield from _label_entries(step.name, stream, places, plan)


def _label_entries(step: str, stream: str, places: frozenset[Place], plan: _Plan) -> Iterator[str]:
    """Marks on the side of the box that faces the rail: before or after the gates."""
    x, y = plan.at(step, stream)
    rail = RAILS[plan.sides[step]]
    edge = x + BOX_WIDTH / 2 * (1.0 if rail > x else -1.0)
    for shared, distance in LABEL_ENTRIES:
        if places & shared:
            height = y + distance * plan.flow_sign(step)
            yield route([(rail, height), (edge, height)], class_="label")
            yield mark((edge, height), places & shared, data_at=f"{step}.{stream}")


def _lines(step: Step, plan: _Plan) -> Iterator[str]:
    """What enters a step: both streams, short cuts, and in stream ul also the step of u."""
    half = (EXPAND_HEIGHT if step.kind == "expand" else BOX_HEIGHT) / 2
    sign = plan.flow_sign(step.name)
    for stream in STREAMS:
        x, y = plan.at(step.name, stream)
        end = (x, y - sign * half)
        if step.before is None:
            start = (x, HEADER_FOOT)
            yield route([start, end], class_=f"flow {stream}", arrow=f"end-{stream}")
            continue
        from_x, from_y = plan.at(step.before, stream)
        points = [(from_x, from_y + plan.flow_sign(step.before) * 19), end]
        if from_x != x:  # the turn at the bottom
            low = from_y + BOX_HEIGHT / 2 + 9 if stream == "u" else from_y
            points = [(from_x, from_y), (from_x, low), (x, low), end]
        yield route(points, class_=f"flow {stream}", arrow=f"end-{stream}")
        if step.short_cut is not None:
            yield from _short_cut(step.short_cut, step.name, stream, plan)
    if step.kind == "block":
        (x, y), (to_x, _) = plan.at(step.name, "u"), plan.at(step.name, "ul")
        direction = 1.0 if to_x > x else -1.0
        edges = x + direction * BOX_WIDTH / 2, to_x - direction * BOX_WIDTH / 2
        yield route([(edges[0], y), (edges[1], y)], class_="flow u cross", arrow="end-u")


def _short_cut(start: str, end: str, stream: str, plan: _Plan) -> Iterator[str]:
    """A level line for the inner stream; for the outer one a detour below the inner boxes."""
    (x, y), (to_x, to_y) = plan.at(start, stream), plan.at(end, stream)
    points = [(x + BOX_WIDTH / 2, y), (to_x - BOX_WIDTH / 2, to_y)]
    low, inside = y + BOX_HEIGHT / 2 + 9, to_x - BOX_WIDTH / 2 + 18
    if stream == "u":
        points = [(x, low), (inside, low), (inside, to_y + BOX_HEIGHT / 2)]
    yield route([(x + BOX_WIDTH / 2, points[0][1]), *points[1:]], class_="halo")
    yield route(
        points,
        class_=f"short-cut {stream}",
        arrow=f"end-{stream}",
        data_from=f"{start}.{stream}",
        data_to=f"{end}.{stream}",
    )
    if stream == "u":
        yield element("circle", cx=x, cy=low, r=4, class_="tap u")


def _rails(flow: Flow, plan: _Plan) -> Iterator[str]:
    """From the label down each side, as far as there are blocks that it enters."""
    for side, rail in RAILS.items():
        ends = [
            plan.heights[step.name] + distance * plan.flow_sign(step.name)
            for step in flow.steps
            for shared, distance in LABEL_ENTRIES
            if plan.sides[step.name] == side and shared & (step.label_in_u | step.label_in_ul)
        ]
        if ends:
            bend = HEADER_FOOT + 18
            points = [(LABEL_X, HEADER), (LABEL_X, bend), (rail, bend), (rail, max(ends))]
            yield route(points, class_="label rail")


def _header(model: PixelCNN, flow: Flow, plan: _Plan) -> Iterator[str]:
    """Image and label on top, and what comes out."""
    config = model.config
    rows, columns = config.image_size
    inputs = f"{config.channels} + a channel of ones"
    if flow.label_channels:
        inputs = f"{config.channels} + ones + {flow.label_channels} of the label"
    left, right, half = RAILS["in"], RAILS["out"], HEADER_WIDTH / 2
    image = f"image, {config.channels} × {rows} × {columns}"  # noqa: RUF001
    size = (HEADER_WIDTH, HEADER_HEIGHT)
    yield box((left, HEADER), size, image, f"channels: {inputs}", class_="end input")
    x, y = plan.at(plan.last, "ul")
    yield route([(x, y - BOX_HEIGHT / 2), (x, HEADER_FOOT)], class_="flow ul", arrow="end-ul")
    yield box(
        (right, HEADER),
        size,
        f"{config.mixtures} logistics per pixel",
        f"ELU, 1 × 1 layer: {model.output.direction.shape[0]} numbers",  # noqa: RUF001
        class_="end output",
    )
    if flow.label_channels:
        points = [(LABEL_X - LABEL_WIDTH / 2, HEADER), (left + half, HEADER)]
        yield route(points, class_="label", arrow="end-label", data_to="input")
    if flow.label_in_output:
        points = [(LABEL_X + LABEL_WIDTH / 2, HEADER), (right - half - 9, HEADER)]
        yield route(points, class_="label")
        yield mark((right - half, HEADER), frozenset({"result"}), data_to="output")
    views = f", {config.views} views" if config.views > 1 else ""
    yield box(
        (LABEL_X, HEADER),
        (LABEL_WIDTH, HEADER_HEIGHT),
        f"one of {config.classes} classes",
        f"embedding of {config.embedding}{views}" if flow.uses_label else "not used",
        class_="end label-box" if flow.uses_label else "end unused",
    )


def _behind_convolutions(model: PixelCNN, flow: Flow, plan: _Plan) -> Iterator[str]:
    """What is no step of both streams: attention, at the turn or after the last step; a head."""
    after_last, size = [], (BOX_WIDTH, SMALL_HEIGHT)
    if flow.attention_size == model.config.image_size:
        after_last.append("attention")
    elif flow.attention_size is not None:
        centre = (LABEL_X, max(plan.heights.values()))
        yield box(centre, size, "attention", class_="step ul", data_attention="lowest")
    if flow.label_in_head:
        after_last.append(f"head: {len(model.head)} layers")
    if after_last:
        x, y = plan.at(plan.last, "ul")
        middle = (y - BOX_HEIGHT / 2 + HEADER_FOOT) / 2
        full = {"data_attention": "full"} if "attention" in after_last else {}
        size = (BOX_WIDTH + 76 * (len(after_last) - 1), SMALL_HEIGHT)
        yield box((x, middle), size, " · ".join(after_last), class_="step ul", **full)
        if flow.label_in_head:
            edge = x - size[0] / 2
            points = [(LABEL_X, HEADER_FOOT), (LABEL_X, middle), (edge - 9, middle)]
            yield route(points, class_="label")
            yield mark((edge, middle), frozenset({"gates"}), data_to="head")
