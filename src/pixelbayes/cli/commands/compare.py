"""`pixelbayes compare`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device, resolve
from pixelbayes.cli.options import command

if TYPE_CHECKING:
    from pixelbayes.workflows.compare import Contrasts

__all__ = ["app", "compare"]

SMALLEST_P = 1e-4  # a smaller one says nothing more
EXAMPLES = """
  pixelbayes compare runs/gated runs/late
  pixelbayes compare runs/* --split validation --json
  pixelbayes compare runs/photos cpen455-gated --data folder:new-photos
"""


def compare(
    *models: str,
    split: str | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    device: Device = "auto",
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Sets trained models side by side and tests which one is better.

    All are measured on the same images, which stand in the same split of each of them: accuracy,
    bits per dimension, log-loss, Brier score and calibration, with 95 % intervals.  Then each pair,
    image by image: the difference in accuracy with its interval, McNemar's exact test, and the
    difference in bits per dimension.  Nothing is written.

    Args:
        models: Run directories, checkpoint folders or names of shipped models, two or more.
        split: Images to measure on: test or validation (default: test where all have labels there,
            else validation).
        data: Source of the images: digits, cpen455, cifar10, folder:PATH, csv:PATH or npz:PATH
            (default: as in training).
        data_dir: Where the files of cpen455 or cifar10 are (default: as in training).
        device: Where the models run; auto takes a GPU if there is one.
        json: Print JSON instead of tables.
        quiet: Show no progress.
        verbose: Show where an error came from.
    """
    from pixelbayes.workflows.compare import compare as contrasted

    running_on = resolve(device)
    with terminal.Progress() as progress:
        found = contrasted(
            models,
            split=split,
            data=data,
            data_dir=data_dir,
            device=running_on,
            progress=None if quiet else progress,
        )
    if json:
        terminal.show_json(_plain(found))
        return 0
    terminal.show_text(f"{found.n} images, {found.split} of {found.data}; brackets: 95 %\n")
    _show_models(found)
    terminal.show_text("")
    _show_contrasts(found)
    for note in found.notes:
        terminal.show_text(f"note: {note}")
    terminal.show_text(
        "note: p is McNemar's, exact and two-sided; with several pairs, of "
        f"{len(found.contrasts)} here, small ones turn up by chance"
        if len(found.contrasts) > 1
        else "note: p is McNemar's, exact and two-sided"
    )
    return 0


def _show_models(found: Contrasts) -> None:
    """One column for each model, as in a report of one."""
    from pixelbayes.report.tables import COLUMNS, column_of

    measured = {name: None for model in found.models for name in model.measures}
    rows = [["model", *(model.title for model in found.models)]]
    for name in sorted(measured, key=[*COLUMNS].index):
        column = column_of(name)
        rows.append(
            [column.title, *(column.text(model.measures.get(name)) for model in found.models)]
        )
    rows.append(["temperature", *(f"{model.temperature:.4g}" for model in found.models)])
    terminal.show_table(rows, ["", *(model.name for model in found.models)])


def _show_contrasts(found: Contrasts) -> None:
    from pixelbayes.report.tables import column_of

    points, bits = column_of("difference"), column_of("bits_per_dim")
    rows = []
    for contrast in found.contrasts:
        pair, test = contrast.comparison, contrast.comparison.mcnemar
        rows.append(
            [
                f"{contrast.first} - {pair.other}",
                points.text(pair.difference),
                str(test.b),
                str(test.c),
                f"< {SMALLEST_P:g}" if test.p_value < SMALLEST_P else f"{test.p_value:.3g}",
                bits.text(contrast.bits_per_dim),
            ]
        )
    header = ["difference", "accuracy", "only first right", "only second", "p", "bits/dim"]
    terminal.show_table(rows, header)


def _plain(found: Contrasts) -> dict[str, Any]:
    return {
        "data": found.data,
        "split": found.split,
        "n": found.n,
        "models": [
            {
                "name": model.name,
                "title": model.title,
                "temperature": model.temperature,
                "measures": {name: it.to_json() for name, it in model.measures.items()},
            }
            for model in found.models
        ],
        "contrasts": [
            {
                "first": contrast.first,
                "second": contrast.comparison.other,
                "accuracy": contrast.comparison.difference.to_json(),
                "only_first_right": contrast.comparison.mcnemar.b,
                "only_second_right": contrast.comparison.mcnemar.c,
                "mcnemar_p": contrast.comparison.mcnemar.p_value,
                "bits_per_dim": contrast.bits_per_dim and contrast.bits_per_dim.to_json(),
            }
            for contrast in found.contrasts
        ],
        "notes": found.notes,
    }


app = partial(command, compare, usage="[OPTIONS] MODEL MODEL...", examples=EXAMPLES)
