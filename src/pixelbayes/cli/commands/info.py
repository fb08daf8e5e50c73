"""`pixelbayes info`."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path
from typing import Any

from pixelbayes.cli import terminal
from pixelbayes.cli.options import UsageError, command, rows_and_columns

__all__ = ["app", "info"]

EXAMPLES = """
  pixelbayes info runs/demo
  pixelbayes info cpen455-gated --diagram architecture.svg
  pixelbayes info folder:photos
"""


REPEATED = (
    r"(run|provenance)\.data\.|run\.(versions|command|commit|machine|classes|data_sha256)"
    r"|provenance\.members\.\d+\.(config\.(?!data\.data|seed)|data\.|versions|machine)"
)
"""Lines of a model's description that say again, or at length, what others say."""


def info(
    model: str,
    *,
    data_dir: Path | None = None,
    image_size: str | None = None,
    diagram: Path | None = None,
    overwrite: bool = False,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Describes a trained model or a data set.

    Of a model: classes, image size, architecture, number of weights, temperature, and where it
    comes from; of a shipped model, its card.  Of a data set: classes, size of the images, and
    how many there are of each class in each split.

    Args:
        model: Run directory, checkpoint folder, name of a shipped model, or data source
            (digits, cpen455, cifar10, folder:PATH, csv:PATH or npz:PATH).
        data_dir: Where the files of cpen455 or cifar10 are; without it they are downloaded.
        image_size: Rows and columns at which a data set is read, such as 32x32 (default: the
            source's own, 32x32 for files of several sizes).
        diagram: SVG file to write with the architecture of the model.
        overwrite: Replace an earlier diagram; other files are never replaced.
        json: Print JSON instead of a table or a card.
        quiet: Do not say where the diagram was written.
        verbose: Show where an error came from.
    """
    from pixelbayes.models.hub import find_model, is_model, model_card
    from pixelbayes.workflows.outputs import Kind, require_free

    folder = find_model(model) if is_model(model) or Path(model).is_dir() else None
    if folder is None and diagram is not None:
        raise UsageError(f"--diagram draws a model, and {model} is none")
    if folder is not None and image_size is not None:
        raise UsageError(f"--image-size is for data, and {model} is a model; leave it out")
    if diagram is not None:
        require_free(diagram, Kind.DIAGRAM, overwrite=overwrite, option="--diagram")
    described = _describe(model, data_dir, image_size) if folder is None else _model(folder)
    card = None if folder is None else model_card(model)
    if json:
        terminal.show_json(described if card is None else {**described, "card": card})
    elif card is not None:
        terminal.show_text(card.rstrip())
    else:
        _show(described)
    if folder is not None and diagram is not None:
        _draw(folder, diagram)
        if not quiet:
            terminal.note(f"written: {diagram}")
    return 0


def _show(described: dict[str, Any]) -> None:
    """Writes tables: of a data set the counts, class by split, in one of their own."""
    from pixelbayes.report import settings_rows

    splits = described.pop("splits", {})
    lines = [row for row in settings_rows(described) if not re.match(REPEATED, row[0])]
    terminal.show_table(lines)
    if splits:
        counted = (*described["classes"],)
        rows = [[name, *(str(s["per_class"][name]) for s in splits.values())] for name in counted]
        rows += [
            [f"({what})", *(str(s[what]) for s in splits.values())]
            for what in ("unlabelled", "images")
        ]
        terminal.show_text("")
        terminal.show_table(rows, ["class", *splits])


def _draw(folder: Path, file: Path) -> None:
    from pixelbayes.io import write_whole
    from pixelbayes.models import PixelBayes
    from pixelbayes.report.architecture_diagram import architecture_svg

    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, architecture_svg(PixelBayes.load(folder).network))


def _describe(subject: str, data_dir: Path | None, size: str | None) -> dict[str, Any]:
    from pixelbayes.data import DatasetError, describe, load_dataset, open_source
    from pixelbayes.models.hub import shipped

    try:
        open_source(subject, data_dir=data_dir)
    except DatasetError as error:
        if ":" in subject or data_dir is not None:
            raise
        names = f" (shipped models: {', '.join(shipped())})" if shipped() else ""
        raise UsageError(
            f"{subject} is neither a run directory or checkpoint folder nor a data source: {error}"
            f"{names}"
        ) from error
    chosen = None if size is None else rows_and_columns(size)
    return describe(load_dataset(subject, data_dir=data_dir, image_size=chosen))


def _model(path: Path) -> dict[str, Any]:
    from pixelbayes.io import plain
    from pixelbayes.models import load_model
    from pixelbayes.workflows.runs import Run

    model = load_model(path)
    described: dict[str, Any] = {
        "classes": list(model.classes),
        "prior": [math.exp(value) for value in model.metadata.log_prior],
        "temperature": model.temperature,
        "network": plain(model.describe()),
        "resize": dict(model.metadata.resize),
        "provenance": dict(model.metadata.provenance) or None,
    }
    if (path / "run.json").is_file():
        described["run"] = dict(Run.open(path).info)
    return described


app = partial(command, info, usage="[OPTIONS] MODEL", examples=EXAMPLES)
