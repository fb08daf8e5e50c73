"""Colours and lines of the architecture diagram.

The colours of the streams differ in lightness as well as in hue, so that they stay apart for
colour-blind readers and in print [1].

References:
    [1] Wong, Points of view: Color blindness, Nature Methods 8, 441, 2011.
"""

from __future__ import annotations

from pixelbayes.report.svg import element

__all__ = ["MARKERS", "STYLE"]

COLOURS = {"u": "#0072b2", "ul": "#c65400", "label": "#9b2d86"}
STYLE = """
text { font-family: "Helvetica Neue", Helvetica, Arial, sans-serif; font-size: 13px; fill: #1c2128 }
.paper { fill: #ffffff }
.title { font-size: 22px; font-weight: 700 }
.subtitle { font-size: 14px; fill: #59636e }
.size { font-size: 16px; font-weight: 700 }
.name { font-weight: 600 }
.small { font-size: 12px }
.quiet { fill: #59636e }
.band { fill: #f3f5f8 }
.step rect { stroke-width: 1.8 }
.u rect { fill: #e3f1fa; stroke: #0072b2 }
.ul rect { fill: #fdeee2; stroke: #c65400 }
.shrink rect, .expand rect, .entry rect { stroke-dasharray: 5 3 }
.end rect { fill: #ffffff; stroke: #59636e; stroke-width: 1.5 }
.label-box rect { fill: #f7e9f4; stroke: #9b2d86; stroke-width: 1.8 }
.unused rect { stroke-dasharray: 3 4 }
.unused text { fill: #59636e }
.flow, .short-cut, .label, .halo { fill: none }
.flow { stroke-width: 2.4 }
.short-cut { stroke-width: 1.4 }
.halo { stroke: #f3f5f8; stroke-width: 5 }
.u.flow, .u.short-cut { stroke: #0072b2 }
.ul.flow, .ul.short-cut { stroke: #c65400 }
.tap.u { fill: #0072b2 }
.label { stroke: #9b2d86; stroke-width: 1.8 }
.mark circle { fill: #9b2d86; stroke: #ffffff; stroke-width: 1.5 }
.mark path { stroke: #ffffff; stroke-width: 1.8; fill: none; stroke-linecap: round }
.detail { fill: none; stroke: #c9d0d8; stroke-width: 1.5 }
.wire { fill: none; stroke: #3d4650; stroke-width: 1.8 }
.part rect { fill: #f3f5f8; stroke: #8b96a3; stroke-width: 1.3 }
.sum circle { fill: #ffffff; stroke: #3d4650; stroke-width: 1.6 }
.sum path { stroke: #3d4650; stroke-width: 1.6; fill: none }
.by-label { fill: #9b2d86; font-weight: 600; font-size: 12px }
"""


def _arrow(name: str, colour: str) -> str:
    head = element("path", d="M0,0L7,3.5L0,7z", fill=colour)
    return element(
        "marker",
        head,
        id=f"end-{name}",
        viewBox="0 0 7 7",
        refX=6.5,
        refY=3.5,
        markerWidth=8,
        markerHeight=8,
        markerUnits="userSpaceOnUse",
        orient="auto",
    )


MARKERS = element(
    "defs", *(_arrow(name, colour) for name, colour in {**COLOURS, "wire": "#3d4650"}.items())
)
"""Arrow heads: end-u, end-ul, end-label and end-wire."""
