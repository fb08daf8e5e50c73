"""`pixelbayes calibrate`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Device, resolve
from pixelbayes.cli.options import UsageError, command

if TYPE_CHECKING:
    from pixelbayes.models.decisions import Decisions

__all__ = ["app", "calibrate"]

SHOWN_COVERAGES = (0.8, 0.9, 0.95)
EXAMPLES = """
  pixelbayes calibrate runs/demo
  pixelbayes calibrate runs/demo --data folder:labelled --split test
  pixelbayes calibrate cpen455-gated --data-dir data --output my-model
"""


def calibrate(
    model: str,
    *,
    data: str | None = None,
    data_dir: Path | None = None,
    split: str | None = None,
    false_alarm_rate: float = 0.05,
    output: Path | None = None,
    overwrite: bool = False,
    device: Device = "auto",
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Fits thresholds on labelled images and stores them with the model.

    With them, predict says which images are unlike the training data and gives sets of classes
    that hold the true one with a stated probability (--coverage).  The images must be like those to
    be predicted and not those of training.

    Args:
        model: Run directory, checkpoint folder or name of a shipped model.
        data: Source of the images: digits, cpen455, cifar10, folder:PATH, csv:PATH or npz:PATH
            (default: as in training).
        data_dir: Where the files of cpen455 or cifar10 are (default: as in training).
        split: Images to fit on; of other data without splits all are taken where none is asked for
            (default: validation).
        false_alarm_rate: Share of familiar images that may be called unlike the training data.
        output: Folder of the calibrated model (default: the model itself; of a shipped one a
            folder is needed).
        overwrite: Replace a model in that folder; other files are never replaced.
        device: Where the model runs; auto takes a GPU if there is one.
        json: Print the thresholds as JSON instead of a table.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.io import plain
    from pixelbayes.models.hub import find_model, is_shipped
    from pixelbayes.workflows.calibrate import calibrate_model
    from pixelbayes.workflows.outputs import Kind, require_free

    if output is None and is_shipped(model):
        raise UsageError(
            f"{model} is a part of the installation, which is not changed: give a folder for the "
            "calibrated model with --output"
        )
    if output is not None:
        require_free(output, Kind.MODEL, overwrite=overwrite)
    folder, running_on = find_model(model), resolve(device)
    if verbose:
        terminal.note(f"model: {folder}, on {running_on}")
    with terminal.Progress() as progress:
        decisions, written = calibrate_model(
            folder,
            data=data,
            data_dir=data_dir,
            split=split,
            false_alarm_rate=false_alarm_rate,
            output=output,
            device=running_on,
            progress=None if quiet else progress,
        )
    if json:
        terminal.show_json(plain(decisions))
    else:
        _show(decisions)
        terminal.show_text(f"written: {written}")
    return 0


def _show(decisions: Decisions) -> None:
    fitted = f"{decisions.n} images, {decisions.calibrated_on}"
    terminal.show_text(f"fitted on {fitted}, at temperature {decisions.temperature:.4g}")
    if decisions.outliers:
        terminal.show_table(
            [
                [name, f"{rule.threshold:.6g}", rule.estimate.brief]
                for name, rule in decisions.outliers.items()
            ],
            ["outlier score", "strange above", "false alarms"],
        )
    header = [f"{coverage:.0%}" for coverage in SHOWN_COVERAGES]
    rows = []
    for name, rule in decisions.sets.items():
        at = [rule.thresholds[rule.coverages.index(coverage)] for coverage in SHOWN_COVERAGES]
        rows.append([name, *(" ".join(map(_number, some)) for some in at)])
    terminal.show_table(rows, ["sets", *header])


def _number(threshold: float | None) -> str:
    return "-" if threshold is None else f"{threshold:.4g}"


app = partial(command, calibrate, usage="[OPTIONS] MODEL", examples=EXAMPLES)
