"""The page of an audit: the images whose labels are most doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pixelbayes.report.render import HTML

__all__ = ["Doubtful", "audit_html"]


@dataclass(frozen=True)
class Doubtful:
    """What is shown of one image."""

    name: str
    """Its path."""
    image: str
    """PNG in base64, as the model sees it."""
    given: str
    """Its label."""
    suggested: str
    """The most probable class."""
    of_given: float
    """Probability of the label, by a model that was not trained on the image."""
    of_suggested: float
    """That of the most probable class."""
    suspected: bool
    """Whether confident learning takes the label for wrong."""


def audit_html(
    *, title: str, judged_by: str, images: int, suspected: int, doubtful: Sequence[Doubtful]
) -> str:
    """Renders an audit as one self-contained web page.

    Args:
        title: Of the page.
        judged_by: What gave the probabilities.
        images: How many were looked at.
        suspected: How many labels confident learning takes for wrong.
        doubtful: The images to show, the most doubtful first.
    """
    return HTML.get_template("audit.html.jinja").render(
        title=title, judged_by=judged_by, images=images, suspected=suspected, doubtful=doubtful
    )
