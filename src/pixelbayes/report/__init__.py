"""Reports and studies: the JSON is the source; texts, pages and figures are made from it.

The only package that knows matplotlib, which it loads when a figure is drawn, and Jinja2.
"""

from pixelbayes.report.published import published_study
from pixelbayes.report.render import save
from pixelbayes.report.results import (
    Comparison,
    CompletedImage,
    EpochScore,
    ModelResult,
    Reason,
    Report,
    ReportError,
    SplitResult,
    WrongImage,
    png_base64,
    share,
)
from pixelbayes.report.storage import (
    from_json,
    load,
    load_result,
    save_result,
    to_json,
)
from pixelbayes.report.study_pages import write_study
from pixelbayes.report.tables import results_rows, settings_rows, temperature_sentence

__all__ = [
    "Comparison",
    "CompletedImage",
    "EpochScore",
    "ModelResult",
    "Reason",
    "Report",
    "ReportError",
    "SplitResult",
    "WrongImage",
    "from_json",
    "load",
    "load_result",
    "png_base64",
    "published_study",
    "results_rows",
    "save",
    "save_result",
    "settings_rows",
    "share",
    "temperature_sentence",
    "to_json",
    "write_study",
]
