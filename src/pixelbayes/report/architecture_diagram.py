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

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from html import escape

from pixelbayes.core import PixelCNN
from pixelbayes.core.blocks import GatedResidual
from pixelbayes.core.layers import WeightNormConv2d
from pixelbayes.report.markup import HTML
from pixelbayes.report.tracing import Flow, Place, Step, trace

__all__ = ["architecture_svg"]

Point = tuple[float, float]
COLOURS = {"u": "#0072b2", "ul": "#c65400", "label": "#9b2d86", "wire": "#3d4650"}
CORNER = 9.0  # radius of the bends of a route
WIDTH = 980.0
BOX_WIDTH, BOX_HEIGHT, EXPAND_HEIGHT = 124.0, 50.0, 44.0
PITCH, BETWEEN_BANDS = 80.0, 66.0  # height of a row, and of the space between two resolutions
LANES = {("in", "u"): 210.0, ("in", "ul"): 390.0, ("out", "ul"): 690.0, ("out", "u"): 870.0}
RAILS = {"in": 300.0, "out": 780.0}  # where the label runs, between the lanes of a side
HEADER, FIRST_ROW = 158.0, 264.0  # centres of the boxes above, and of the first row
DETAIL_HEIGHT = 214.0
AXIS = 104.0  # height of the wire within the panel
MARK_RADIUS = 8.5
PART = (132.0, 46.0)
STOPS = {"hidden": 402.0, "gates": 618.0, "result": 838.0}  # where the label may act, left to right
HEADER_WIDTH, HEADER_HEIGHT = 262.0, 56.0
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
        _block_diagram(model, flow.label_in_blocks, (24.0, plan.bottom + 22), WIDTH - 48),
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
        parts=[*_legend(flow), *parts],
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
        yield _element(
            "rect", x=24, y=top, width=WIDTH - 48, height=bottom - top, rx=14, class_="band"
        )
        yield _text(f"{size[0]} × {size[1]}", 40, top + 26, class_="size")  # noqa: RUF001
        yield _text("pixels", 40, top + 43, class_="small quiet")
        yield _text(f"{features[size]} features", 40, top + 60, class_="small quiet")


def _boxes(step: Step, plan: _Plan) -> Iterator[str]:
    lines = {
        "entry": ("first layer",),
        "block": ("gated block",),
        "shrink": ("halve", "convolution, stride 2"),
        "expand": ("double", "transposed conv."),
    }[step.kind]
    height = EXPAND_HEIGHT if step.kind == "expand" else BOX_HEIGHT
    for stream, places in zip(STREAMS, (step.label_in_u, step.label_in_ul), strict=True):
        yield _box(
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
            yield _route([(rail, height), (edge, height)], class_="label")
            yield _mark((edge, height), places & shared, data_at=f"{step}.{stream}")


def _lines(step: Step, plan: _Plan) -> Iterator[str]:
    """What enters a step: both streams, short cuts, and in stream ul also the step of u."""
    half = (EXPAND_HEIGHT if step.kind == "expand" else BOX_HEIGHT) / 2
    sign = plan.flow_sign(step.name)
    for stream in STREAMS:
        x, y = plan.at(step.name, stream)
        end = (x, y - sign * half)
        if step.before is None:
            start = (x, HEADER + HEADER_HEIGHT / 2)
            yield _route([start, end], class_=f"flow {stream}", arrow=f"end-{stream}")
            continue
        from_x, from_y = plan.at(step.before, stream)
        points = [(from_x, from_y + plan.flow_sign(step.before) * 19), end]
        if from_x != x:  # the turn at the bottom
            low = from_y + BOX_HEIGHT / 2 + 9 if stream == "u" else from_y
            points = [(from_x, from_y), (from_x, low), (x, low), end]
        yield _route(points, class_=f"flow {stream}", arrow=f"end-{stream}")
        if step.short_cut is not None:
            yield from _short_cut(step.short_cut, step.name, stream, plan)
    if step.kind == "block":
        (x, y), (to_x, _) = plan.at(step.name, "u"), plan.at(step.name, "ul")
        direction = 1.0 if to_x > x else -1.0
        edges = x + direction * BOX_WIDTH / 2, to_x - direction * BOX_WIDTH / 2
        yield _route([(edges[0], y), (edges[1], y)], class_="flow u cross", arrow="end-u")


def _short_cut(start: str, end: str, stream: str, plan: _Plan) -> Iterator[str]:
    """A level line for the inner stream; for the outer one a detour below the inner boxes."""
    (x, y), (to_x, to_y) = plan.at(start, stream), plan.at(end, stream)
    points = [(x + BOX_WIDTH / 2, y), (to_x - BOX_WIDTH / 2, to_y)]
    low, inside = y + BOX_HEIGHT / 2 + 9, to_x - BOX_WIDTH / 2 + 18
    if stream == "u":
        points = [(x, low), (inside, low), (inside, to_y + BOX_HEIGHT / 2)]
    yield _route([(x + BOX_WIDTH / 2, points[0][1]), *points[1:]], class_="halo")
    yield _route(
        points,
        class_=f"short-cut {stream}",
        arrow=f"end-{stream}",
        data_from=f"{start}.{stream}",
        data_to=f"{end}.{stream}",
    )
    if stream == "u":
        yield _element("circle", cx=x, cy=low, r=4, class_="tap u")


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
            bend = HEADER + HEADER_HEIGHT / 2 + 18
            points = [(LABEL_X, HEADER), (LABEL_X, bend), (rail, bend), (rail, max(ends))]
            yield _route(points, class_="label rail")


def _header(model: PixelCNN, flow: Flow, plan: _Plan) -> Iterator[str]:
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
    yield _box((left, HEADER), size, image, f"channels: {inputs}", class_="end input")
    x, y = plan.at(plan.last, "ul")
    start, end = (x, y - BOX_HEIGHT / 2), (x, HEADER + HEADER_HEIGHT / 2)
    yield _route([start, end], class_="flow ul", arrow="end-ul")
    yield _box(
        (right, HEADER),
        size,
        f"{config.mixtures} logistics per pixel",
        f"ELU, 1 × 1 layer: {outputs} numbers",  # noqa: RUF001
        class_="end output",
    )
    if flow.label_channels:
        points = [(LABEL_X - LABEL_WIDTH / 2, HEADER), (left + half, HEADER)]
        yield _route(points, class_="label", arrow="end-label", data_to="input")
    if flow.label_in_output:
        points = [(LABEL_X + LABEL_WIDTH / 2, HEADER), (right - half - 9, HEADER)]
        yield _route(points, class_="label")
        yield _mark((right - half, HEADER), frozenset({"result"}), data_to="output")
    used = _label_is_used(flow)
    views = f", {config.views} views" if config.views > 1 else ""
    yield _box(
        (LABEL_X, HEADER),
        (LABEL_WIDTH, HEADER_HEIGHT),
        f"one of {config.classes} classes",
        f"embedding of {config.embedding}{views}" if used else "not used",
        class_="end label-box" if used else "end unused",
    )


def _behind_convolutions(model: PixelCNN, flow: Flow, plan: _Plan) -> Iterator[str]:
    """What is no step of both streams: attention, at the turn or after the last step; a head."""
    after_last = []
    if flow.attention_size is not None:
        if flow.attention_size == model.config.image_size:
            after_last.append("attention")
        else:
            lowest = max(plan.heights.values())
            yield _box(
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
        yield _box((x, middle), size, " · ".join(after_last), class_="step ul", **full)
        if flow.label_in_head:
            edge = x - size[0] / 2
            yield _route(
                [(LABEL_X, HEADER + HEADER_HEIGHT / 2), (LABEL_X, middle), (edge - 9, middle)],
                class_="label",
            )
            yield _mark((edge, middle), frozenset({"gates"}), data_to="head")


def _label_is_used(flow: Flow) -> bool:
    return bool(
        flow.label_channels or flow.label_in_output or flow.label_in_head or flow.label_in_blocks
    )


def _legend(flow: Flow) -> Iterator[str]:
    entries = [
        ("flow u", "stream u: sees the rows above"),
        ("flow ul", "stream ul: and the pixels to the left"),
        ("short-cut ul", "short cut"),
    ]
    if _label_is_used(flow):
        entries.append(("label", "the label enters"))
    x = 24.0
    for class_, words in entries:
        yield _route([(x, 94.0), (x + 30, 94.0)], class_=class_)
        yield _text(words, x + 38, 98.5, class_="small")
        x += 74 + 5.5 * len(words)


def _block_diagram(
    model: PixelCNN, places: frozenset[Place], corner: tuple[float, float], width: float
) -> str:
    """Draws one block of the network with the places where the label acts.

    Args:
        model: Decides the sizes of kernels and the number of features.
        places: Where the label acts in some block.
        corner: Upper left corner of the panel.
        width: Its width.
    """
    blocks = [module for module in model.modules() if isinstance(module, GatedResidual)]
    kernels = " or ".join(dict.fromkeys(_kernel(block.conv_in) for block in blocks))
    up = AXIS - 52
    parts = [
        _element("rect", x=0, y=0, width=width, height=DETAIL_HEIGHT, rx=14, class_="detail"),
        _text("Inside a gated block", 16, 26, class_="name"),
        _text(f"kernels {kernels} (rows × columns)", 160, 26, class_="small quiet"),  # noqa: RUF001
        _text("x", 20, AXIS + 5, class_="name"),
        _route([(34, AXIS), (72, AXIS)], class_="wire", arrow="end-wire"),
        _box((138, AXIS), PART, "convolution", "of concat-ELU", class_="part"),
        _route([(204, AXIS), (273, AXIS)], class_="wire", arrow="end-wire"),
        *_sum(284),
        *_skips(284),
        _route([(295, AXIS), (446, AXIS)], class_="wire", arrow="end-wire"),
        _text("h", 330, AXIS - 9, class_="name"),
        _box((512, AXIS), PART, "convolution", "concat-ELU, dropout", class_="part"),
        _route([(578, AXIS), (656, AXIS)], class_="wire", arrow="end-wire"),
        _text("a, b", 586, AXIS - 9, class_="name"),
        _box((704, AXIS), (94, PART[1]), "a · σ(b)", "gate", class_="part"),  # noqa: RUF001
        _route([(751, AXIS), (775, AXIS)], class_="wire", arrow="end-wire"),
        *_sum(786),
        _route(
            [(54, AXIS), (54, up), (786, up), (786, AXIS - 11)], class_="wire", arrow="end-wire"
        ),
        _route([(797, AXIS), (890, AXIS)], class_="wire", arrow="end-wire"),
        _text("out", 896, AXIS + 5, class_="name"),
        *_entries(places, model.config.stage_features[0]),
    ]
    return _element(
        "g", *parts, transform=f"translate({corner[0]:g},{corner[1]:g})", class_="block"
    )


def _mark(centre: tuple[float, float], places: Set[Place], **data: object) -> str:
    """A disc that says what the label does here: a cross scales, a plus adds, a star does both."""
    x, y = centre
    arm, slant = 4.2, 3.2
    strokes = ""
    if places - {"scale"}:
        strokes += f"M{x - arm:g},{y:g}h{2 * arm:g}M{x:g},{y - arm:g}v{2 * arm:g}"
    if "scale" in places:
        strokes += (
            f"M{x - slant:g},{y - slant:g}l{2 * slant:g},{2 * slant:g}"
            f"M{x - slant:g},{y + slant:g}l{2 * slant:g},{-2 * slant:g}"
        )
    return _element(
        "g",
        _element("circle", cx=x, cy=y, r=MARK_RADIUS),
        _element("path", d=strokes),
        class_="mark",
        data_label=" ".join(sorted(places)),
        **data,
    )


def _entries(places: frozenset[Place], features: int) -> Iterator[str]:
    """A mark on the wire for each place, with what the label does there in words."""
    scaled, numbers = "h + vector", f"{features} numbers"
    if "scale" in places:
        scaled, numbers = "h · (1 + scale) + shift", f"{features} + {features} numbers"
    for stop, here, words in (
        ("hidden", places & {"scale", "shift"}, (scaled, numbers)),
        ("gates", places & {"gates"}, ("(a, b) + vector", f"{2 * features} numbers")),
        ("result", places & {"result"}, ("out + vector", f"{features} numbers")),
    ):
        if here:
            x = STOPS[stop]
            foot = AXIS + 62
            yield _route([(x, foot), (x, AXIS)], class_="label")
            yield _mark((x, AXIS), here, data_at="detail")
            yield _text(words[0], x, foot + 15, class_="by-label", text_anchor="middle")
            yield _text(
                f"{words[1]} per class", x, foot + 31, class_="small quiet", text_anchor="middle"
            )


def _sum(x: float) -> Iterator[str]:
    cross = f"M{x - 6:g},{AXIS:g}h12M{x:g},{AXIS - 6:g}v12"
    circle = _element("circle", cx=x, cy=AXIS, r=11)
    yield _element("g", circle, _element("path", d=cross), class_="sum")


def _skips(x: float) -> Iterator[str]:
    foot = AXIS + 62
    yield _route([(x, foot), (x, AXIS + 11)], class_="wire", arrow="end-wire")
    for line, words in enumerate(("1 × 1 layer of concat-ELU of", "short cuts, in ul also u")):  # noqa: RUF001
        yield _text(words, x - 58, foot + 15 + 16 * line, class_="small", text_anchor="middle")


def _kernel(layer: WeightNormConv2d) -> str:
    rows, columns = layer.direction.shape[2:]
    return f"{rows} × {columns}"  # noqa: RUF001


def _element(tag: str, *content: str, **attributes: object) -> str:
    """Writes one element; content is markup, attribute values are escaped.

    >>> _element("rect", x=1, stroke_width=2.5, class_="thin")
    '<rect x="1" stroke-width="2.5" class="thin"/>'
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{named}>{''.join(content)}</{tag}>" if content else f"<{tag}{named}/>"


def _text(content: str, x: float, y: float, **attributes: object) -> str:
    """Writes a line of text; y is its baseline."""
    return _element("text", escape(content, quote=False), x=x, y=y, **attributes)


def _box(centre: Point, size: Point, *lines: str, class_: str, **attributes: object) -> str:
    """A rounded box with centred lines of text, the first one stronger."""
    (x, y), (width, height) = centre, size
    drawn = [_element("rect", x=x - width / 2, y=y - height / 2, width=width, height=height, rx=8)]
    first = y + 5 - 8.5 * (len(lines) - 1)
    drawn += [
        _text(line, x, first + 17 * i, class_="name" if i == 0 else "small", text_anchor="middle")
        for i, line in enumerate(lines)
    ]
    return _element("g", *drawn, class_=class_, **attributes)


def _route(
    points: Sequence[Point], *, class_: str, arrow: str | None = None, **data: object
) -> str:
    """A line through the points with round bends.

    Args:
        points: At least two.
        class_: Its style.
        arrow: Id of the marker at its end.
        data: Further attributes.
    """
    parts = [f"M{_pair(points[0])}"]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        parts.append(f"L{_pair(_towards(here, before))}")
        parts.append(f"Q{_pair(here)} {_pair(_towards(here, after))}")
    parts.append(f"L{_pair(points[-1])}")
    end = None if arrow is None else f"url(#{arrow})"
    return _element("path", d="".join(parts), class_=class_, marker_end=end, **data)


def _towards(start: Point, end: Point) -> Point:
    """The point one corner radius, or half the way, from start towards end."""
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])  # routes run along the axes
    share = min(CORNER / length, 0.5) if length else 0.0
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _pair(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
