"""From results to what the page shows: templates, pictures that stay exact, colours of evidence.

Every text is escaped by Jinja2: a file may be called "<b>".  A picture is a PNG in the markup
itself, so that what is saved from the page holds the levels that were computed, and the browser
enlarges it without smoothing.

Shapes: C channels, H x W pixels.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from pixelbayes.report.results import png_base64
from pixelbayes.templates import environment

__all__ = ["evidence_png", "note", "percent", "png", "render"]

SPEAKS_FOR, SPEAKS_AGAINST = (0, 114, 178), (213, 94, 0)
"""Okabe and Ito's blue and vermilion, told apart by colour-blind people too."""
NO_BREAK = "\N{NO-BREAK SPACE}"
FULL_COLOUR = 0.98  # quantile of evidence from which on a pixel has the full colour


def png(levels: Tensor) -> str:
    """An image as a data URI of a PNG that holds exactly these levels.

    Args:
        levels: uint8 (C, H, W).
    """
    return f"data:image/png;base64,{png_base64(levels)}"


def evidence_png(evidence: Tensor) -> str:
    """A map of evidence as a data URI: blue for, vermilion against, clear where there is none.

    Args:
        evidence: Nats of each pixel, (H, W).
    """
    size = evidence.abs()
    full = float(size.flatten().quantile(FULL_COLOUR))
    opacity = (size / full).clamp(max=1.0) if full > 0 else size
    pixels = np.empty((*evidence.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where((evidence > 0).numpy()[..., None], SPEAKS_FOR, SPEAKS_AGAINST)
    pixels[..., 3] = (255 * opacity).round().byte().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def percent(share: float) -> str:
    r"""A share as a person reads it; never 0 or 100 where it is not, and in one line.

    >>> percent(0.934), percent(0.9999), percent(1.0), percent(1e-9), percent(0.042)
    ('93\xa0%', 'over\xa099.9\xa0%', '100\xa0%', 'under\xa00.1\xa0%', '4.2\xa0%')
    """
    if 0 < share < 0.001:
        text = "under 0.1 %"
    elif 0.999 < share < 1:
        text = "over 99.9 %"
    else:
        digits = 1 if share < 0.1 or share >= 0.99 else 0
        text = f"{100 * share:.{digits}f} %".replace(".0 ", " ")
    return text.replace(" ", NO_BREAK)


def render(template: str, **values: Any) -> str:
    """Fills a template of this package."""
    return TEMPLATES.get_template(template).render(**values).removesuffix("\n")


def note(text: str, *, mistake: bool = False) -> str:
    """A sentence in a box; one about a mistake is read out at once."""
    return render("note.html.jinja", text=text, mistake=mistake)


TEMPLATES = environment("pixelbayes.app")
TEMPLATES.filters |= {"png": png, "evidence_png": evidence_png, "percent": percent}
