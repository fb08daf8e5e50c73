"""From runs to results: which of them are up to date, and what an unfinished one can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from pixelbayes.core.storage import DESCRIPTION
from pixelbayes.evaluation.fid import Features
from pixelbayes.report import ModelResult, Reason, ReportError, load_result
from pixelbayes.workflows.configuration import RunError
from pixelbayes.workflows.provenance import commit, now
from pixelbayes.workflows.runs import RunDirectory
from pixelbayes.workflows.study.comparisons import ANSWERS_KEY, label
from pixelbayes.workflows.study.config import StudyConfig
from pixelbayes.workflows.study.contenders import Contender, contender
from pixelbayes.workflows.study.directory import StudyDirectory
from pixelbayes.workflows.study.pieces import digest
from pixelbayes.workflows.study.trained import weights_digest

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
    def of(cls, run: RunDirectory[Any], config: StudyConfig, features: Features | None) -> Wanted:
        """What the result of a run must be made of."""
        settings = {
            "kept": {str(epoch): weights_digest(path) for epoch, path in run.kept.items()},
            "data": run.info.get("data_sha256"),
            "samples_per_class": config.samples_per_class,
            "fid": None if config.fid is None else asdict(config.fid),
        }
        network = None if features is None else features.network.digest
        return cls(weights_digest(run.best), digest(settings), network)


def is_up_to_date(run: Path, wanted: Wanted) -> bool:
    """Whether a run's result is there, and made of what is wanted.

    Scores made with a feature network stay where now there is none.
    """
    try:
        made_of = load_result(run / RESULT).provenance.get(WANTED_KEY)
    except (FileNotFoundError, ReportError):  # none, or of another version: measured again
        return False
    if wanted.features is None and isinstance(made_of, dict):
        wanted = replace(wanted, features=made_of.get("features"))
    return bool(made_of == asdict(wanted))


def complete_result(
    one: Contender,
    run: RunDirectory[Any],
    fields: Mapping[str, Any],
    wanted: Wanted,
    *,
    answers: Mapping[str, Any],
    device: str,
    remarks: Sequence[str],
) -> ModelResult:
    """The result of a run that was measured.

    Args:
        one: The contender.
        run: Its run.
        fields: From `Measurement.run`.
        wanted: What it was made of.
        answers: Key of its predictions.
        device: Where it was measured.
        remarks: Notes on how, beside those of the measurement.
    """
    result = replace(_unmeasured(one, run), **fields)
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
) -> tuple[list[ModelResult], dict[str, Path]]:
    """Every result of a study's models, whichever seeds and models a call was about.

    Returns:
        The results, by model and then by seed: complete ones, and of runs that are not measured
        what their training has written.  And the runs of the complete ones, by `label`.

    Raises:
        ReportError: If a result cannot be read.
    """
    results, measured = [], {}
    for name in config.models:
        for seed in directory.seeds(name):
            one = contender(name, seed, config.model(name, seed), directory.path)
            found = _found(one)
            if found is None:
                continue
            result, complete = found
            results.append(result)
            if complete:
                measured[label(result)] = one.path
    return results, measured


def _found(one: Contender) -> tuple[ModelResult, bool] | None:
    """The result of a run and whether it is complete; None where no epoch is done."""
    try:
        run = one.directory.open(one.path)
    except RunError:
        return None
    epochs = len(run.metrics()["epoch"])
    if not epochs or not (run.best / DESCRIPTION).is_file():
        return None
    if (one.path / RESULT).is_file():
        result = load_result(one.path / RESULT)
        if result.epochs == epochs:  # else the training has gone on since
            return result, True
    one = replace(one, config=run.config)
    result = _unmeasured(one, run)
    stands = "is not measured yet" if result.finished else "is unfinished"
    remark = f"The model {stands}: {epochs} of at most {one.config.training.epochs} epochs."
    parameters = one.load(run.best, "cpu").parameters
    return replace(result, parameters=parameters, notes=[remark]), False


def _unmeasured(one: Contender, run: RunDirectory[Any]) -> ModelResult:
    """What a run itself says."""
    info, curves = run.info, run.metrics()
    reason: Reason = "unfinished"
    if info.get("status") == "finished":
        reason = "patience" if info.get("reason") == "patience" else "epochs"
    best = [value for value in curves[run.objective.val] if value is not None]
    known = ("command", "commit", "versions", "machine")
    return ModelResult(
        name=one.name,
        kind=one.kind,
        seed=one.seed,
        fusion=one.fusion,
        parameters=0,
        epochs=len(curves["epoch"]),
        best_epoch=best.index(min(best)) + 1 if best else 0,
        reason=reason,
        training_seconds=sum(seconds or 0.0 for seconds in curves["seconds"]),
        curves=curves,
        settings=_settings(one),
        provenance={
            **{name: info.get(name) for name in known},
            "date": info.get("ended"),
            "seed": one.seed,
        },
    )


def _settings(one: Contender) -> dict[str, Any]:
    """The configuration in plain types, without the place of the data on this machine."""
    config = replace(one.config, data=replace(one.config.data, data_dir=None))
    settings: dict[str, Any] = yaml.safe_load(config.to_yaml())
    return settings
