"""Explain: a folder that says why a model answers as it does, in numbers and in a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pixelbayes.inference.counterfactual import Counterfactual
from pixelbayes.io import write_json
from pixelbayes.models import Model
from pixelbayes.models.explanation import Explanation, side_by_side
from pixelbayes.workflows.outputs import FILES_OF, Kind, filling

__all__ = ["described", "write_explanation"]


def described(
    model: Model, explanation: Explanation, changed: Counterfactual | None, *, searched: bool
) -> dict[str, Any]:
    """Everything in plain values, with the counterfactual where one was looked for.

    Args:
        model: Gives the names of classes.
        explanation: From `Model.explain`.
        changed: From `Model.counterfactual`.
        searched: Whether one was looked for.
    """
    content = explanation.to_json()
    if not searched:
        return content
    found = None
    if changed is not None:
        found = {
            "rows": list(changed.rows),
            "columns": list(changed.columns),
            "pixels": changed.pixels,
            "before": model.classes[changed.before],
            "after": model.classes[changed.after],
            "drawn_as": model.classes[changed.drawn_as],
            "share_of_draws": changed.share,
        }
    return {**content, "counterfactual": found}


def write_explanation(
    folder: Path,
    model: Model,
    explanation: Explanation,
    changed: Counterfactual | None = None,
    *,
    searched: bool = False,
) -> None:
    """Writes explanation.json, explanation.png and, if there is one, counterfactual.png.

    Arguments are those of `described`; what an earlier explanation left in the folder goes.

    Raises:
        OSError: If the files cannot be written.
    """
    with filling(folder, FILES_OF[Kind.EXPLANATION]) as staging:
        write_json(
            staging / "explanation.json", described(model, explanation, changed, searched=searched)
        )
        explanation.figure().save(staging / "explanation.png")
        if changed is not None:
            side_by_side(changed, model.classes).save(staging / "counterfactual.png")
