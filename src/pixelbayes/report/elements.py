"""The parts that web pages are made of: tables, images, figures, the document around them.

A page needs no other file and no network: images and figures are embedded, the style is inline,
there is no script.  It follows the reader's light or dark setting and fits a telephone.  Text
is escaped here; what is passed as `body` is taken as it is.
"""

import base64
import struct
from collections.abc import Callable, Iterable, Sequence
from html import escape
from importlib import resources

from pixelbayes.errors import PixelBayesError
from pixelbayes.report.report import ReportError

__all__ = ["NO_MATPLOTLIB", "card", "document", "figure", "image", "plot", "table"]

SMALLEST_SIDE = 64  # CSS pixels; below that nobody recognises an image
NO_MATPLOTLIB = (
    "The figures are missing because matplotlib is not installed. "
    "Get it with pip install 'pixelbayes[report]' and write the report again."
)


def document(title: str, body: str, style: str = "") -> str:
    """The whole page.

    Args:
        title: Of the window.
        body: HTML.
        style: CSS after that of all pages.
    """
    common = resources.files("pixelbayes.report").joinpath("page.css").read_text("utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{common}{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def card(name: str, value: str, remark: str) -> str:
    """A headline number, for a <dl class="cards">."""
    return (
        f"<div><dt>{escape(name)}</dt><dd><strong>{escape(value)}</strong> "
        f'<span class="quiet">{escape(remark)}</span></dd></div>'
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table whose first column names its rows."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for first, *cells in rows
    )
    head = f"<thead><tr>{top}</tr></thead>" if header else ""
    return f'<table class="{kind}">{head}<tbody>{body}</tbody></table>'


def image(png: str, alt: str) -> str:
    """An image enlarged by a whole factor, so that its pixels stay equally large squares.

    Args:
        png: PNG in base64.
        alt: Text in its place.

    Raises:
        ReportError: If it is not a PNG in base64.
    """
    width, height = _png_size(png)
    factor = max(1, -(-SMALLEST_SIDE // min(width, height)))
    return (
        f'<img class="pixels" src="data:image/png;base64,{escape(png)}" alt="{escape(alt)}" '
        f'width="{factor * width}" height="{factor * height}">'
    )


def _png_size(png: str) -> tuple[int, int]:
    try:
        head = base64.b64decode(png[:32], validate=True)  # 24 bytes: signature and IHDR
        if not head.startswith(b"\x89PNG\r\n\x1a\n"):
            raise PixelBayesError("no PNG signature")
        width, height = struct.unpack(">II", head[16:24])
        if not (width and height):
            raise PixelBayesError("an empty image")
    except (ValueError, struct.error) as error:
        raise ReportError(
            f"an image of the report is not a PNG in base64 ({error}); make it with png_base64"
        ) from error
    return width, height


def plot(draw: Callable[[], str], alt: str, caption: str = "") -> str:
    """A drawn figure; without matplotlib, a note in its place.

    Args:
        draw: Returns SVG.
        alt: Text in its place.
        caption: Text below it, if any.
    """
    try:
        svg = draw()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return f'<p class="note">{escape(NO_MATPLOTLIB)}</p>'
    # As an image and not inline: identifiers of several figures cannot collide.
    source = base64.b64encode(svg.encode()).decode("ascii")
    return figure(f"data:image/svg+xml;base64,{source}", alt, caption)


def figure(source: str, alt: str, caption: str = "") -> str:
    """An image on a white card, which stays legible on a dark page.

    Args:
        source: Its address; a data URI where the page is to need no other file.
        alt: Text in its place.
        caption: Text below it, if any.
    """
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><div class="plot"><img src="{escape(source)}" alt="{escape(alt)}"></div>'
        f"{below}</figure>"
    )
