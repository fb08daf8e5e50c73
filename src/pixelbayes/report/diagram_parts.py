"""What the diagram of a network is drawn of: shapes, marks of the label, legend, one gated block.

Units: pixels of the drawing, from its upper left corner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from html import escape

from pixelbayes.core import PixelCNN
from pixelbayes.core.blocks import GatedResidual
from pixelbayes.core.layers import WeightNormConv2d
from pixelbayes.report.tracing import Flow, Place

__all__ = [
    "DETAIL_HEIGHT",
    "Point",
    "block_diagram",
    "box",
    "element",
    "legend",
    "mark",
    "route",
    "text",
]

Point = tuple[float, float]
CORNER = 9.0  # radius of the bends of a route
DETAIL_HEIGHT = 214.0
AXIS = 104.0  # height of the wire within the panel
MARK_RADIUS = 8.5
PART = (132.0, 46.0)
STOPS = {"hidden": 402.0, "gates": 618.0, "result": 838.0}  # where the label may act, left to right


def legend(flow: Flow) -> Iterator[str]:
    """Which line is what, above the network."""
    entries = [
        ("flow u", "stream u: sees the rows above"),
        ("flow ul", "stream ul: and the pixels to the left"),
        ("short-cut ul", "short cut"),
    ]
    if flow.uses_label:
        entries.append(("label", "the label enters"))
    x = 24.0
    for class_, words in entries:
        yield route([(x, 94.0), (x + 30, 94.0)], class_=class_)
        yield text(words, x + 38, 98.5, class_="small")
        x += 74 + 5.5 * len(words)


def block_diagram(
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
        element("rect", x=0, y=0, width=width, height=DETAIL_HEIGHT, rx=14, class_="detail"),
        text("Inside a gated block", 16, 26, class_="name"),
        text(f"kernels {kernels} (rows × columns)", 160, 26, class_="small quiet"),  # noqa: RUF001
        text("x", 20, AXIS + 5, class_="name"),
        route([(34, AXIS), (72, AXIS)], class_="wire", arrow="end-wire"),
        box((138, AXIS), PART, "convolution", "of concat-ELU", class_="part"),
        route([(204, AXIS), (273, AXIS)], class_="wire", arrow="end-wire"),
        *_sum(284),
        *_skips(284),
        route([(295, AXIS), (446, AXIS)], class_="wire", arrow="end-wire"),
        text("h", 330, AXIS - 9, class_="name"),
        box((512, AXIS), PART, "convolution", "concat-ELU, dropout", class_="part"),
        route([(578, AXIS), (656, AXIS)], class_="wire", arrow="end-wire"),
        text("a, b", 586, AXIS - 9, class_="name"),
        box((704, AXIS), (94, PART[1]), "a · σ(b)", "gate", class_="part"),  # noqa: RUF001
        route([(751, AXIS), (775, AXIS)], class_="wire", arrow="end-wire"),
        *_sum(786),
        route([(54, AXIS), (54, up), (786, up), (786, AXIS - 11)], class_="wire", arrow="end-wire"),
        route([(797, AXIS), (890, AXIS)], class_="wire", arrow="end-wire"),
        text("out", 896, AXIS + 5, class_="name"),
        *_entries(places, model.config.stage_features[0]),
    ]
    return element("g", *parts, transform=f"translate({corner[0]:g},{corner[1]:g})", class_="block")


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
            yield route([(x, foot), (x, AXIS)], class_="label")
            yield mark((x, AXIS), here, data_at="detail")
            yield text(words[0], x, foot + 15, class_="by-label", text_anchor="middle")
            yield text(
                f"{words[1]} per class", x, foot + 31, class_="small quiet", text_anchor="middle"
            )


def _sum(x: float) -> Iterator[str]:
    cross = f"M{x - 6:g},{AXIS:g}h12M{x:g},{AXIS - 6:g}v12"
    circle = element("circle", cx=x, cy=AXIS, r=11)
    yield element("g", circle, element("path", d=cross), class_="sum")


def _skips(x: float) -> Iterator[str]:
    foot = AXIS + 62
    yield route([(x, foot), (x, AXIS + 11)], class_="wire", arrow="end-wire")
    for line, words in enumerate(("1 × 1 layer of concat-ELU of", "short cuts, in ul also u")):  # noqa: RUF001
        yield text(words, x - 58, foot + 15 + 16 * line, class_="small", text_anchor="middle")


def _kernel(layer: WeightNormConv2d) -> str:
    rows, columns = layer.direction.shape[2:]
    return f"{rows} × {columns}"  # noqa: RUF001


def mark(centre: tuple[float, float], places: Set[Place], **data: object) -> str:
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
    return element(
        "g",
        element("circle", cx=x, cy=y, r=MARK_RADIUS),
        element("path", d=strokes),
        class_="mark",
        data_label=" ".join(sorted(places)),
        **data,
    )


def element(tag: str, *content: str, **attributes: object) -> str:
    """Writes one element; content is markup, attribute values are escaped.

    >>> element("rect", x=1, stroke_width=2.5, class_="thin")
    '<rect x="1" stroke-width="2.5" class="thin"/>'
    """
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_number(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return f"<{tag}{named}>{''.join(content)}</{tag}>" if content else f"<{tag}{named}/>"


def text(content: str, x: float, y: float, **attributes: object) -> str:
    """Writes a line of text; y is its baseline."""
    return element("text", escape(content, quote=False), x=x, y=y, **attributes)


def box(centre: Point, size: Point, *lines: str, class_: str, **attributes: object) -> str:
    """A rounded box with centred lines of text, the first one stronger."""
    (x, y), (width, height) = centre, size
    drawn = [element("rect", x=x - width / 2, y=y - height / 2, width=width, height=height, rx=8)]
    first = y + 5 - 8.5 * (len(lines) - 1)
    drawn += [
        text(line, x, first + 17 * i, class_="name" if i == 0 else "small", text_anchor="middle")
        for i, line in enumerate(lines)
    ]
    return element("g", *drawn, class_=class_, **attributes)


def route(points: Sequence[Point], *, class_: str, arrow: str | None = None, **data: object) -> str:
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
    return element("path", d="".join(parts), class_=class_, marker_end=end, **data)


def _towards(start: Point, end: Point) -> Point:
    """The point one corner radius, or half the way, from start towards end."""
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])  # routes run along the axes
    share = min(CORNER / length, 0.5) if length else 0.0
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _pair(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
