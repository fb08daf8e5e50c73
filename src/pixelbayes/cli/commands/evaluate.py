"""`pixelbayes evaluate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pixelbayes.cli import terminal
from pixelbayes.cli.commands import results
from pixelbayes.cli.commands.device import Device, resolve
from pixelbayes.cli.options import UsageError, command, listed

__all__ = ["app", "evaluate"]

EVALUATIONS = Path("evaluation")
EXAMPLES = """
  pixelbayes evaluate runs/demo
  pixelbayes evaluate runs/demo --split test --json | jq .accuracy
  pixelbayes evaluate cpen455-gated --data-dir data
"""


def evaluate(
    model: str,
    *,
    split: list[str] | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    output: Path | None = None,
    samples_per_class: int = 4,
    seed: int = 0,
    device: Device = "auto",
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Measures the best model of a run and writes report.json, report.md and report.html.

    Accuracy comes with its 95 % Wilson interval, code length (bits per dimension) with that of a
    mean, calibration before and after a temperature that is fitted on the validation images and
    used only if images that it was not fitted on gain by it.  The temperature is stored with the
    model of a run, unless --output is given or other data are measured than it was trained on.
    Other data are measured whole, as one set, unless they have splits or a --split is asked for.

    Args:
        model: Run directory, checkpoint folder or name of a shipped model.
        split: Images to measure on: train, validation or test; may be repeated, or a list with
            commas (default: validation and test).
        data: Source of the images: digits, cpen455, cifar10, folder:PATH, csv:PATH or npz:PATH
            (default: as in training).
        data_dir: Where the files of cpen455 or cifar10 are (default: as in training).
        output: Folder of the report (default: the run directory; evaluation/NAME of what is no
            run, or evaluation/NAME-2 and so on).
        samples_per_class: Images to generate of each class for the report; 0 for none.
        seed: Of the generated images.
        device: Where the model runs; auto takes a GPU if there is one.
        json: Print the report as JSON instead of a table.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.models.hub import find_model
    from pixelbayes.workflows.evaluate import evaluate_saved, is_checkpoint
    from pixelbayes.workflows.outputs import free_folder

    if samples_per_class < 0:
        raise UsageError(f"--samples-per-class is 0 or more, got {samples_per_class}")
    folder = find_model(model)
    if is_checkpoint(folder):
        output = output or free_folder(EVALUATIONS / folder.name)
    running_on = resolve(device)
    if verbose:
        terminal.note(f"model: {folder}, on {running_on}")
    with terminal.Progress() as progress:
        report = evaluate_saved(
            folder,
            splits=listed(split),
            seed=seed,
            samples_per_class=samples_per_class,
            data=data,
            data_dir=data_dir,
            output=output,
            device=running_on,
            progress=None if quiet else progress,
        )
    results.show_report(report, output or folder, json=json)
    return 0


app = partial(command, evaluate, usage="[OPTIONS] MODEL", examples=EXAMPLES)
