"""A study as tables, figures and pages, made from its `ModelResult`s alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pixelbayes.report.study.published import PUBLISHED, Published, published_study
from pixelbayes.report.study.results import (
    Comparison,
    EpochScore,
    ModelResult,
    load_result,
    save_result,
)

__all__ = [
    "PUBLISHED",
    "Comparison",
    "EpochScore",
    "ModelResult",
    "Published",
    "load_result",
    "published_study",
    "save_result",
    "write_study",
]


def write_study(
    folder: Path,
    results: Sequence[ModelResult],
    *,
    title: str,
    published: str | None = None,
    provenance: Mapping[str, Any],
) -> list[Path]:
    """Writes all tables, figures and pages of a study; files of an earlier call are replaced.

    Args:
        folder: Gets tables/, figures/, samples.html, index.html and README.md; created.
        results: One for each model and seed, in the order of the study; any subset of the models,
            also unfinished ones, which are marked.
        title: Of the pages.
        published: Name of the published figures to set beside (`PUBLISHED`), None for none.
        provenance: Command, commit, machine, date, as `workflows.provenance.provenance()`.

    Returns:
        The files written, index.html first.

    Raises:
        ValueError: If there are no results, two have the same name and seed, or no figures are
            published under this name.
        ReportError: If an image of a result is not a PNG in base64.
    """
    from pixelbayes.report.study.writing import write

    return write(folder, results, title, published_study(published), provenance)
