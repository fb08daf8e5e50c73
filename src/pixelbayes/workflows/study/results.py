"""From runs to results: which of them are up to date, and what an unfinished one can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pixelbayes.evaluation.fid import Features
from pixelbayes.models import load_model
from pixelbayes.models.base import answers_digest
from pixelbayes.report import ModelResult, Reason, ReportError, load_result
from pixelbayes.training.metrics import best_epoch
from pixelbayes.workflows.config import RunError
from pixelbayes.workflows.provenance import commit, now
from pixelbayes.workflows.study.cache import digest
from pixelbayes.workflows.study.comparisons import ANSWERS_KEY, label
from pixelbayes.workflows.study.config import StudyConfig
from pixelbayes.workflows.study.directory import StudyDirectory
from pixelbayes.workflows.study.measure import ANSWERS
from pixelbayes.workflows.study.trial import Trial, TrialState, trial_of

__all__ = ["RESULT", "Wanted", "collect", "complete_result", "is_up_to_date"]

RESULT = "result.json"
WANTED_KEY = "measured"
"""Entry of a result's provenance: what it was measured on, see `Wanted`."""


@dataclass(frozen=True)
class Wanted:
    """What a result depends on; a result with another one of these is made again."""

    checkpoint: str
    """Digest of the best checkpoint's weights."""
    settings: str
    """Digest of the kept checkpoints, the data, and how the study measures."""
    features: str | None
    """Digest of the feature network; None where there is none."""

    @classmethod
    def of(
        cls, state: TrialState, data: str | None, config: StudyConfig, features: Features | None
    ) -> Wanted:
        """What the result of a run must be made of; `data` is the digest of its images."""
        settings = {
            "kept": {str(epoch): answers_digest(path) for epoch, path in state.kept.items()},
            "data": data,
            "samples_per_class": config.samples_per_class,
            "fid": None if config.fid is None else asdict(config.fid),
        }
        network = None if features is None else features.network.digest
        return cls(answers_digest(state.best), digest(settings), network)


def is_up_to_date(run: Path, wanted: Wanted) -> bool:
    """Whether a run's result is there, and made of what is wanted.

    Scores made with a feature network stay where now there is none.
    """
    try:
        known = load_result(run / RESULT).provenance
    except (FileNotFoundError, ReportError):  # none, or of another version: measured again
        return False
    made_of, answers = known.get(WANTED_KEY), known.get(ANSWERS_KEY)
    if answers is not None and StudyDirectory.cache(run).is_damaged(ANSWERS, answers):
        return False  # comparisons need it
    if wanted.features is None and isinstance(made_of, dict):
        wanted = replace(wanted, features=made_of.get("features"))
    return bool(made_of == asdict(wanted))


def complete_result(
    one: Trial,
    state: TrialState,
    fields: Mapping[str, Any],
    wanted: Wanted,
    *,
    answers: Mapping[str, Any],
    device: str,
    remarks: Sequence[str],
) -> ModelResult:
    """The result of a run that was measured.

    Args:
        one: The trial.
        state: What it has on disk.
        fields: From `Measurement.run`.
        wanted: What it was made of.
        answers: Key of its predictions.
        device: Where it was measured.
        remarks: Notes on how, beside those of the measurement.
    """
    result = replace(_unmeasured(one, state), **fields)
    return replace(
        result,
        notes=[*result.notes, *remarks],
        provenance={
            **result.provenance,
            "evaluation": {"commit": commit(), "date": now(), "device": device},
            WANTED_KEY: asdict(wanted),
            ANSWERS_KEY: dict(answers),
        },
    )


def collect(
    config: StudyConfig, directory: StudyDirectory
) -> tuple[list[ModelResult], dict[str, Path], list[str]]:
    """Every result of a study's models, whichever seeds and models a call was about.

    Returns:
        The results, by model and then by seed: complete ones, and of runs that are not measured
        what their training has written.  The runs of the complete ones, by `label`.  And what
        keeps from being shown what is neither measured nor as the study asks for.

    Raises:
        ReportError: If a result cannot be read.
    """
    results, measured, unlike = [], {}, []
    for name in config.models:
        for seed in directory.seeds(name):
            one = trial_of(config, directory.path, name, seed)
            try:
                found = _found(one)
            except _UnlikeError as error:
                unlike.append(str(error))
                continue
            if found is None:
                continue
            result, complete = found
            results.append(result)
            if complete:
                measured[label(result)] = one.path
    return results, measured, unlike


class _UnlikeError(Exception):
    """A run that is not measured has other settings than the study's."""


def _found(one: Trial) -> tuple[ModelResult, bool] | None:
    """The result of a trial and whether it is complete; None where there is no model."""
    try:
        state = one.find()
    except RunError as error:  # other settings than the study's: shown as it is
        file = one.path / RESULT
        if not file.is_file():
            raise _UnlikeError(f"{one}: {error}") from error
        result = load_result(file)
        remark = f"Not as the study asks for now: {error}."
        return replace(result, notes=[*result.notes, remark]), False
    if state is None or not state.has_model:
        return None
    if (one.path / RESULT).is_file():
        result = load_result(one.path / RESULT)
        if result.epochs == state.epochs:  # else the training has gone on since
            if state.lacks is None:
                return result, True
            remark = f"Not as the study asks for now: {state.lacks}."
            return replace(result, notes=[*result.notes, remark]), False
    result = _unmeasured(one, state)
    stands = "is not measured yet" if result.finished else "is unfinished"
    remark = f"The model {stands}: {state.epochs} epochs are done."
    return replace(result, parameters=load_model(state.best).parameters, notes=[remark]), False


def _unmeasured(one: Trial, state: TrialState) -> ModelResult:
    """What a trial itself says."""
    info, curves = state.info, state.curves
    reason: Reason = "unfinished"
    if info.get("status") == "finished":
        reason = "patience" if info.get("reason") == "patience" else "epochs"
    known = ("command", "commit", "versions", "machine")
    return ModelResult(
        name=one.name,
        kind=one.kind,
        seed=one.seed,
        fusion=one.fusion,
        parameters=0,
        epochs=state.epochs,
        best_epoch=best_epoch(curves, state.criterion),
        reason=reason,
        training_seconds=sum(seconds for seconds in curves["seconds"] if seconds is not None),
        curves=dict(curves),
        settings=one.settings(),
        provenance={
            **{name: info.get(name) for name in known},
            "date": info.get("ended"),
            "seed": one.seed,
        },
    )
