"""Reports: the JSON is the source; Markdown, the web page and the figures are made from it.

The only package that knows matplotlib, and it loads it when a figure is drawn.
"""

from pixelbayes.report.report import (
    Report,
    ReportError,
    SplitResult,
    WrongImage,
    from_json,
    load,
    png_base64,
    save,
    to_json,
)

__all__ = [
    "Report",
    "ReportError",
    "SplitResult",
    "WrongImage",
    "from_json",
    "load",
    "png_base64",
    "save",
    "to_json",
]
