"""SVG as text: elements, paths and arrows, without any library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["box", "element", "page", "route", "text"]

Point = tuple[float, float]
CORNER = 9.0  # radius of the bends of a route


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


def page(
    width: float, height: float, *content: str, title: str, description: str, style: str
) -> str:
    """The whole document, with the title and description that a screen reader reads."""
    return element(
        "svg",
        element("title", escape(title, quote=False), id="title"),
        element("desc", escape(description, quote=False), id="description"),
        element("style", style),
        *content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_number(width)} {_number(height)}",
        width=width,
        height=height,
        role="img",
        aria_labelledby="title description",
    )


def _towards(start: Point, end: Point) -> Point:
    """The point one corner radius, or half the way, from start towards end."""
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])  # routes run along the axes
    share = min(CORNER / length, 0.5) if length else 0.0
    return start[0] + share * (end[0] - start[0]), start[1] + share * (end[1] - start[1])


def _pair(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
