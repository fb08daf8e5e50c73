"""`pixelbayes evaluate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pixelbayes.cli import terminal
from pixelbayes.cli.commands import results
from pixelbayes.cli.commands.device import resolve
from pixelbayes.cli.signatures import CommandParser
from pixelbayes.errors import PixelBayesError

__all__ = ["evaluate", "main"]

EVALUATIONS = Path("evaluation")
EPILOG = """
examples:

  pixelbayes evaluate runs/demo
  pixelbayes evaluate runs/demo --split test --json | jq .accuracy
  pixelbayes evaluate cpen455-gated --data-dir data
"""


def evaluate(
    run: str,
    *,
    split: list[str] | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    output: Path | None = None,
    samples_per_class: int = 4,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Measures the best model of a run and writes report.json, report.md and report.html.

    Accuracy comes with its 95 % Wilson interval, code length (bits per dimension) with that of a
    mean, calibration before and after a temperature that is fitted on the validation images.  The
    temperature is stored with the model of a run, unless --output is given.

    Args:
        run: Run directory, checkpoint folder or name of a shipped model.
        split: Images to measure on: train, validation or test; may be repeated, or a list with
            commas (default: validation and test).
        data: Source of the images: digits, cpen455, cifar10, folder:PATH, csv:PATH or npz:PATH
            (default: as in training).
        data_dir: Where the files of cpen455 or cifar10 are (default: as in training).
        output: Folder of the report (default: the run directory; evaluation/NAME of what is no
            run).
        samples_per_class: Images to generate of each class for the report; 0 for none.
        seed: Of the generated images.
        device: Where the model runs; auto takes a GPU if there is one.
        json: Print the report as JSON instead of a table.
        quiet: Show no progress.
    """
    from pixelbayes.models.hub import find_model
    from pixelbayes.report import to_json
    from pixelbayes.workflows.evaluate import evaluate_checkpoint, evaluate_run, is_checkpoint

    if samples_per_class < 0:
        raise PixelBayesError(f"--samples-per-class is 0 or more, got {samples_per_class}")
    folder = find_model(run)
    alone = is_checkpoint(folder)
    if alone:
        output = output or EVALUATIONS / folder.name
    measure = evaluate_checkpoint if alone else evaluate_run
    with terminal.Progress() as progress:
        report = measure(
            folder,
            splits=listed(split),
            seed=seed,
            samples_per_class=samples_per_class,
            data=data,
            data_dir=data_dir,
            output=output,
            device=resolve(device),
            progress=None if quiet else progress,
        )
    if json:
        terminal.show_json(to_json(report))
    else:
        results.show_report(report, output or folder)
    return 0


def listed(values: list[str] | None) -> list[str] | None:
    """Splits repeated options at commas.

    >>> listed(["koala,pizza", "0"])
    ['koala', 'pizza', '0']
    """
    if values is None:
        return None
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def main(argv: Sequence[str]) -> int:
    """Parses and runs; returns the exit status."""
    parser = CommandParser("pixelbayes evaluate", results.summary(evaluate), EPILOG)
    parser.add_function(evaluate)
    return evaluate(**parser.parse_given(argv))
