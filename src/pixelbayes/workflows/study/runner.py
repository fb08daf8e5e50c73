"""The study: every model trained, measured and set side by side, in as many calls as it takes.

    STUDY/study.yaml, study.json        what was asked for; what is done
    STUDY/MODEL/seed-S/                 a run directory
    STUDY/MODEL/seed-S/result.json      all that was measured (`ModelResult`)
    STUDY/MODEL/seed-S/measured/        what has been computed on the way there
    STUDY/index.html, tables/, ...      written from the results alone

A call does what is missing and nothing else.  It can be stopped at any moment.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixelbayes.evaluation.inception import FeatureNetwork
from pixelbayes.report import ModelResult, save_result, write_study
from pixelbayes.workflows.configuration import RunError
from pixelbayes.workflows.provenance import provenance
from pixelbayes.workflows.scoring import Progress
from pixelbayes.workflows.study.call import Note, StudyCall
from pixelbayes.workflows.study.comparisons import compared
from pixelbayes.workflows.study.config import StudyConfig
from pixelbayes.workflows.study.contenders import contender
from pixelbayes.workflows.study.directory import StudyDirectory, locked
from pixelbayes.workflows.study.pieces import Deadline
from pixelbayes.workflows.study.results import RESULT, collect

__all__ = ["StudyOutcome", "report_study", "study"]


@dataclass(frozen=True)
class StudyOutcome:
    """What a call left behind."""

    results: list[ModelResult]
    """Of every run there is, also unfinished ones."""
    files: list[Path]
    """Tables, figures and pages, index.html first; none where there is nothing to show."""
    missing: list[str]
    """Runs that were asked for and are not measured yet, or failed, with what keeps them."""
    failed: bool
    """Whether a training diverged."""


def study(
    config: StudyConfig,
    folder: Path,
    *,
    only: Sequence[str] | None = None,
    seconds: float | None = None,
    device: str = "cpu",
    network: FeatureNetwork | None = None,
    show_training: bool = True,
    progress: Progress | None = None,
    note: Note = lambda _: None,
) -> StudyOutcome:
    """Trains and measures what is missing, and writes tables, figures and pages.

    Args:
        config: The study.
        folder: The study directory; an earlier call's is continued.
        only: Names of models; None: all.
        seconds: Time limit of the whole call; None: there is none.
        device: Where models are measured; where they are trained, their configurations say.
        network: Gives the features of FID and KID; None leaves the scores out.
        show_training: Whether to show the progress of training on stderr.
        progress: See `Progress`.
        note: Called with a line for the user now and then.

    Raises:
        RunError: If a name is unknown, the folder holds runs with other settings, or another call
            is at work in it.
        BaselineError: If a baseline needs a package that is not installed.
        ModuleNotFoundError: If matplotlib is not installed.
        DatasetError: If the data cannot be used.
        RunStopped: If a signal stopped a training.
    """
    deadline, chosen = Deadline(seconds), config.chosen(only)
    _require_matplotlib()
    with locked(folder):
        directory = StudyDirectory(folder)
        contenders = [
            contender(name, seed, config.model(name, seed), folder)
            for seed in config.seeds
            for name in chosen
        ]
        for one in contenders:  # all mistakes before the first hour of training
            run = one.find()
            if run is None or not one.is_finished(run):
                one.check()
        directory.write_config(config)
        call = StudyCall(
            config,
            directory,
            deadline=deadline,
            device=device,
            network=network,
            show_training=show_training,
            progress=progress,
            note=note,
        )
        missing = call.advance(contenders)
        return _written(config, directory, missing, failed=call.failed)


def report_study(config: StudyConfig, folder: Path) -> StudyOutcome:
    """Writes tables, figures and pages from the results that there are; trains nothing.

    Raises:
        RunError: If there is no study in the folder, or another call is at work in it.
        ModuleNotFoundError: If matplotlib is not installed.
        ReportError: If a result cannot be read.
    """
    _require_matplotlib()
    if not folder.is_dir():
        raise RunError(f"no study in {folder}; leave out --report-only to begin it")
    with locked(folder):
        outcome = _written(config, StudyDirectory(folder), [], failed=False)
    if not outcome.files:
        raise RunError(f"no model has finished an epoch in {folder}; leave out --report-only")
    return outcome


def _written(
    config: StudyConfig, directory: StudyDirectory, missing: list[str], *, failed: bool
) -> StudyOutcome:
    """Compares, and writes everything that is made from results."""
    found, measured = collect(config, directory)
    folders = {name: directory.pieces(path).folder for name, path in measured.items()}
    results = compared(found, folders)
    for before, after in zip(found, results, strict=True):
        path = directory.run_path(after.name, after.seed)
        if after != before and path in measured.values():
            save_result(after, path / RESULT)
    directory.write_state(config, results, measured, missing)
    files = []
    if results:
        files = write_study(
            directory.path,
            results,
            title=config.title,
            published=config.published,
            provenance=directory.provenance or provenance(),
        )
    return StudyOutcome(results, files, missing, failed)


def _require_matplotlib() -> None:
    if importlib.util.find_spec("matplotlib") is None:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
