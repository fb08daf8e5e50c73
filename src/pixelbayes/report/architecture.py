"""The architecture as a diagram, drawn from the network itself.

The way in goes down on the left, the way out up on the right; each step of a stream is one box,
each short cut one line, and each place where the label enters one mark.  `report.flow` finds
them by watching an image pass, so the diagram shows what the network does, whatever its size
and its fusion are.
"""

from __future__ import annotations

from collections.abc import Iterator

from pixelbayes.core import PixelCNN
from pixelbayes.report.block_diagram import HEIGHT as DETAIL_HEIGHT
from pixelbayes.report.block_diagram import block_diagram, mark
from pixelbayes.report.diagram_plan import (
    BOX_HEIGHT,
    BOX_WIDTH,
    EXPAND_HEIGHT,
    HEADER,
    PITCH,
    RAILS,
    WIDTH,
    Plan,
)
from pixelbayes.report.diagram_style import MARKERS, STYLE
from pixelbayes.report.flow import Flow, Place, Step, trace
from pixelbayes.report.svg import box, element, page, route, text

__all__ = ["architecture_svg"]

HEADER_WIDTH, HEADER_HEIGHT = 262.0, 56.0
LABEL_X, LABEL_WIDTH = 540.0, 150.0
SMALL_HEIGHT = 30.0
MARKS: tuple[tuple[frozenset[Place], float], ...] = (
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
    plan = Plan.of(flow)
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
    return page(
        WIDTH,
        plan.bottom + DETAIL_HEIGHT + 40,
        MARKERS,
        element("rect", width="100%", height="100%", class_="paper"),
        text("PixelCNN++: one network for p(image | class)", 24, 40, class_="title"),
        text(sentence, 24, 64, class_="subtitle"),
        *_legend(flow),
        *parts,
        title="Architecture of a class-conditional PixelCNN++",
        description=sentence,
        style=STYLE,
    )


def _bands(flow: Flow, plan: Plan, features: dict[tuple[int, int], int]) -> Iterator[str]:
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


def _boxes(step: Step, plan: Plan) -> Iterator[str]:
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
        yield from _marks(step.name, stream, places, plan)


def _marks(step: str, stream: str, places: frozenset[Place], plan: Plan) -> Iterator[str]:
    """Marks on the side of the box that faces the rail: before or after the gates."""
    x, y = plan.at(step, stream)
    rail = RAILS[plan.sides[step]]
    edge = x + BOX_WIDTH / 2 * (1.0 if rail > x else -1.0)
    for shared, distance in MARKS:
        if places & shared:
            height = y + distance * plan.flow_sign(step)
            yield route([(rail, height), (edge, height)], class_="label")
            yield mark((edge, height), places & shared, data_at=f"{step}.{stream}")


def _lines(step: Step, plan: Plan) -> Iterator[str]:
    """What enters a step: both streams, short cuts, and in stream ul also the step of u."""
    half = (EXPAND_HEIGHT if step.kind == "expand" else BOX_HEIGHT) / 2
    sign = plan.flow_sign(step.name)
    for stream in STREAMS:
        x, y = plan.at(step.name, stream)
        end = (x, y - sign * half)
        if step.before is None:
            start = (x, HEADER + HEADER_HEIGHT / 2)
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


def _short_cut(start: str, end: str, stream: str, plan: Plan) -> Iterator[str]:
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


def _rails(flow: Flow, plan: Plan) -> Iterator[str]:
    """From the label down each side, as far as there are blocks that it enters."""
    for side, rail in RAILS.items():
        ends = [
            plan.heights[step.name] + distance * plan.flow_sign(step.name)
            for step in flow.steps
            for shared, distance in MARKS
            if plan.sides[step.name] == side and shared & (step.label_in_u | step.label_in_ul)
        ]
        if ends:
            bend = HEADER + HEADER_HEIGHT / 2 + 18
            points = [(LABEL_X, HEADER), (LABEL_X, bend), (rail, bend), (rail, max(ends))]
            yield route(points, class_="label rail")


def _header(model: PixelCNN, flow: Flow, plan: Plan) -> Iterator[str]:
    """Image and label on top, and what comes out."""
    config = model.config
    rows, columns = config.image_size
    inputs = f"{config.channels} + a channel of ones"
    if flow.label_channels:
        inputs = f"{config.channels} + ones + {flow.label_channels} of the label"
    outputs = model.output.direction.shape[0]
    left, right = RAILS["in"], RAILS["out"]
    half = HEADER_WIDTH / 2
    image = f"image, {config.channels} × {rows} × {columns}"  # noqa: RUF001
    size = (HEADER_WIDTH, HEADER_HEIGHT)
    yield box((left, HEADER), size, image, f"channels: {inputs}", class_="end input")
    x, y = plan.at(plan.last, "ul")
    start, end = (x, y - BOX_HEIGHT / 2), (x, HEADER + HEADER_HEIGHT / 2)
    yield route([start, end], class_="flow ul", arrow="end-ul")
    yield box(
        (right, HEADER),
        size,
        f"{config.mixtures} logistics per pixel",
        f"ELU, 1 × 1 layer: {outputs} numbers",  # noqa: RUF001
        class_="end output",
    )
    if flow.label_channels:
        points = [(LABEL_X - LABEL_WIDTH / 2, HEADER), (left + half, HEADER)]
        yield route(points, class_="label", arrow="end-label", data_to="input")
    if flow.label_in_output:
        points = [(LABEL_X + LABEL_WIDTH / 2, HEADER), (right - half - 9, HEADER)]
        yield route(points, class_="label")
        yield mark((right - half, HEADER), frozenset({"result"}), data_to="output")
    used = flow.label_channels or flow.label_in_output or flow.label_in_blocks
    views = f", {config.views} views" if config.views > 1 else ""
    yield box(
        (LABEL_X, HEADER),
        (LABEL_WIDTH, HEADER_HEIGHT),
        f"one of {config.classes} classes",
        f"embedding of {config.embedding}{views}" if used else "not used",
        class_="end label-box" if used else "end unused",
    )


def _behind_convolutions(model: PixelCNN, flow: Flow, plan: Plan) -> Iterator[str]:
    """What is no step of both streams: attention, at the turn or after the last step; a head."""
    after_last = []
    if flow.attention_size is not None:
        if flow.attention_size == model.config.image_size:
            after_last.append("attention")
        else:
            lowest = max(plan.heights.values())
            yield box(
                (LABEL_X, lowest),
                (BOX_WIDTH, SMALL_HEIGHT),
                "attention",
                class_="step ul",
                data_attention="lowest",
            )
    if flow.label_in_head:
        after_last.append(f"head: {len(model.head)} layers")
    if after_last:
        x, y = plan.at(plan.last, "ul")
        middle = (y - BOX_HEIGHT / 2 + HEADER + HEADER_HEIGHT / 2) / 2
        full = {"data_attention": "full"} if "attention" in after_last else {}
        size = (BOX_WIDTH + 76 * (len(after_last) - 1), SMALL_HEIGHT)
        yield box((x, middle), size, " · ".join(after_last), class_="step ul", **full)
        if flow.label_in_head:
            edge = x - size[0] / 2
            yield route(
                [(LABEL_X, HEADER + HEADER_HEIGHT / 2), (LABEL_X, middle), (edge - 9, middle)],
                class_="label",
            )
            yield mark((edge, middle), frozenset({"gates"}), data_to="head")


def _legend(flow: Flow) -> Iterator[str]:
    entries = [
        ("flow u", "stream u: sees the rows above"),
        ("flow ul", "stream ul: and the pixels to the left"),
        ("short-cut ul", "short cut"),
    ]
    if flow.label_channels or flow.label_in_output or flow.label_in_blocks:
        entries.append(("label", "the label enters"))
    x = 24.0
    for class_, words in entries:
        yield route([(x, 94.0), (x + 30, 94.0)], class_=class_)
        yield text(words, x + 38, 98.5, class_="small")
        x += 74 + 5.5 * len(words)
