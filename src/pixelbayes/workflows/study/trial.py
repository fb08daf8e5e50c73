"""The trials of a study: one model with one seed, how it is made, continued and found again."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pixelbayes.data import SplitRecord, same_source
from pixelbayes.errors import PixelBayesError
from pixelbayes.io import plain
from pixelbayes.models import Ensemble, Model, load_model
from pixelbayes.models.base import answers_digest
from pixelbayes.models.hub import find_model, load
from pixelbayes.models.storage import BEST, DESCRIPTION, checkpoint_folder, read_description
from pixelbayes.training.metrics import Criterion, columns, criterion_of
from pixelbayes.workflows.config import DataConfig, RunConfig, RunError
from pixelbayes.workflows.provenance import now, provenance
from pixelbayes.workflows.resuming import (
    require_same_schedule,
    require_same_settings,
    require_unfinished,
)
from pixelbayes.workflows.runs import BEFORE_TRAINING, INFO, Run, is_locked, is_new
from pixelbayes.workflows.study.config import (
    CheckpointConfig,
    EnsembleConfig,
    ModelConfig,
    StudyConfig,
)
from pixelbayes.workflows.train import train

__all__ = [
    "CheckpointTrial",
    "EnsembleTrial",
    "MembersMissingError",
    "TrainingTrial",
    "Trial",
    "TrialState",
    "trial_of",
]

ANEW = "remove it, or give another --output"


class MembersMissingError(RunError):
    """Members of an ensemble are not trained yet, or not to their end."""


@dataclass(frozen=True)
class TrialState:
    """What a trial has on disk.

    Attributes:
        best: Its checkpoint, which may not be there yet.
        kept: Checkpoints kept on the way, by the number of epochs done.
        info: How it was made, as run.json says.
        curves: Columns of metrics.csv; none where nothing is trained.
        criterion: What decided which epoch is best.
        lacks: What it lacks of what the study asks for; None where nothing is left to do.
    """

    best: Path
    kept: Mapping[int, Path]
    info: Mapping[str, Any]
    curves: Mapping[str, list[float | None]]
    criterion: Criterion
    lacks: str | None

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.curves["epoch"])

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.lacks is None

    @property
    def has_model(self) -> bool:
        """Whether there is a checkpoint to measure."""
        return (self.best / DESCRIPTION).is_file()


@dataclass(frozen=True)
class Trial(ABC):
    """One model of a study with one seed, and its directory.

    Attributes:
        name: Of the model.
        seed: Of the run.
        path: Its directory.
        data: What it is measured on.
    """

    name: str
    seed: int
    path: Path
    data: DataConfig

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"

    @property
    @abstractmethod
    def kind(self) -> str:
        """Kind of the model, as in `pixelbayes.models.MODELS`."""

    @property
    def fusion(self) -> str | None:
        """Where the label enters; None where the kind of model has no such choice."""
        return None

    @property
    def temperature(self) -> float:
        """Temperature that stays unless the validation images gain by another one."""
        return 1.0

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What was asked for, in plain values, without the place of the data on this machine."""

    @abstractmethod
    def check(self) -> None:
        """Refuses what would only be found out after hours.

        Raises:
            PixelBayesError: If a setting is not accepted, or a package is missing.
        """

    @abstractmethod
    def find(self) -> TrialState | None:
        """The trial as it is on disk, None where it has not begun.

        Raises:
            RunError: If there is something else, or a run with other settings or of other length.
        """

    @abstractmethod
    def make(
        self, *, seconds: float | None, progress: bool, record: SplitRecord | None = None
    ) -> None:
        """Makes the model, from where the trial is.

        Args:
            seconds: Time limit; None: there is none.
            progress: Whether to show progress on stderr.
            record: Splits that a training keeps to; None: they are made anew.

        Raises:
            RunError: If it cannot be made yet.
            RunStopped, DivergedError, DatasetError: As `pixelbayes.workflows.train.train`.
        """

    def is_elsewhere(self) -> bool:
        """Whether another program is at work on it at this moment."""
        return False


@dataclass(frozen=True)
class TrainingTrial(Trial):
    """A model that is trained, in a run directory."""

    config: RunConfig

    @property
    def kind(self) -> str:
        """The kind that is trained."""
        return self.config.model

    @property
    def fusion(self) -> str | None:
        """As configured."""
        return self.config.fusion

    def settings(self) -> dict[str, Any]:
        """Those of the run where it has begun, else those asked for."""
        return without_place(self._found_config() or self.config)

    def check(self) -> None:
        """Builds the network once, which says what it needs."""
        try:
            self.config.kind.build(self.config.network, classes=2, channels=3, image_size=(32, 32))
        except PixelBayesError as error:
            raise RunError(f"models.{self.name}: {error}") from error

    def find(self) -> TrialState | None:
        """The run in the directory, if it is one of this training."""
        if not self._has_begun():
            return None
        try:
            run = Run.open(self.path)
        except RunError as error:
            raise RunError(f"{error}; remove {self.path} to train {self.name} anew") from error
        if run.kind != self.kind:
            raise RunError(
                f"{self.path} holds a run of a {run.kind}, a {self.kind} is asked for; {ANEW}"
            )
        require_same_settings(run, self.config, advice=ANEW)
        curves = run.metrics()
        self._require_same_length(run, len(curves["epoch"]))
        return TrialState(
            best=run.best,
            kept=run.kept,
            info=run.info,
            curves=curves,
            criterion=run.criterion,
            lacks=self._lacks(run, len(curves["epoch"])),
        )

    def is_elsewhere(self) -> bool:
        """See `Trial.is_elsewhere`."""
        return is_locked(self.path)

    def make(
        self, *, seconds: float | None, progress: bool, record: SplitRecord | None = None
    ) -> None:
        """Trains."""
        config, begun = self.config, self._has_begun()
        if seconds is not None:
            limit = f"{max(seconds, 1.0):.0f}s"
            config = replace(config, training=replace(config.training, max_time=limit))
        if not begun and self.path.exists():
            shutil.rmtree(self.path)  # only `BEFORE_TRAINING` are in it
        train(config, self.path, resume=begun, progress=progress, record=record)

    def _has_begun(self) -> bool:
        if not self.path.exists():
            return False
        names = {entry.name for entry in self.path.iterdir()}
        made_whole = INFO in names and not is_new(self.path)
        return made_whole or not names <= {*BEFORE_TRAINING}

    def _found_config(self) -> RunConfig | None:
        return Run.open(self.path).config if self._has_begun() else None

    def _lacks(self, run: Run, done: int) -> str | None:
        try:
            require_unfinished(run, self.config.training)
        except RunError:
            return None
        return f"{done} of {self.config.training.epochs} epochs are done"

    def _require_same_length(self, run: Run, done: int) -> None:
        wanted = self.config.training.epochs
        if done > wanted:
            raise RunError(
                f"{self.path} has trained {done} epochs, more than the {wanted} asked for; ask for "
                "as many epochs as before, or give another --output"
            )
        require_same_schedule(run, self.config.training)


@dataclass(frozen=True)
class _UntrainedTrial(Trial):
    """A model that the study takes from checkpoints that are there."""

    @abstractmethod
    def _checkpoints(self) -> list[Path]:
        """What it is made of."""

    @abstractmethod
    def _model(self) -> Model:
        """The model.

        Raises:
            RunError: If it cannot be made yet.
        """

    def check(self) -> None:
        """See `Trial.check`; what it is made of is checked by itself."""

    def find(self) -> TrialState | None:
        """See `Trial.find`; one of other weights or other settings is to be made again."""
        if not (self.path / BEST / DESCRIPTION).is_file():
            return None
        made_of = load_model(self.path / BEST).metadata.provenance
        criterion = criterion_of(None)
        return TrialState(
            best=self.path / BEST,
            kept={},
            info=made_of,
            curves={name: [] for name in columns(criterion)},
            criterion=criterion,
            lacks=None if self._is_made_of(made_of) else "what it is made of has changed since",
        )

    def _made_of(self) -> dict[str, Any]:
        """What is noted of it; None stands for a checkpoint that is not there yet."""
        there = [path if (path / DESCRIPTION).is_file() else None for path in self._checkpoints()]
        return {
            "weights": [path and answers_digest(path) for path in there],
            "temperatures": [path and read_description(path).get("temperature") for path in there],
            "settings": self.settings(),
        }

    def _is_made_of(self, noted: Mapping[str, Any]) -> bool:
        made_of = self._made_of()
        same = all(noted.get(name, it) == it for name, it in made_of.items())  # older: not noted
        return same and "weights" in noted

    def make(
        self, *, seconds: float | None, progress: bool, record: SplitRecord | None = None
    ) -> None:
        """Writes the model into the study, with what it is made of."""
        model = self._model()
        origin = {
            **provenance(),
            **model.metadata.provenance,
            **self._made_of(),
            "status": "finished",
            "ended": now(),
        }
        model.with_metadata(replace(model.metadata, provenance=origin)).save(self.path / BEST)


@dataclass(frozen=True)
class EnsembleTrial(_UntrainedTrial):
    """An ensemble of other models of the study, put together from their best checkpoints."""

    members: tuple[Path, ...]
    """Run directories."""
    names: tuple[str, ...]
    mirrored: bool

    kind = Ensemble.kind

    def settings(self) -> dict[str, Any]:
        """The names of its members, and whether they are asked about mirror images."""
        mirrored = {"mirrored": True} if self.mirrored else {}
        return {"ensemble": list(self.names), **mirrored}

    def _model(self) -> Ensemble:
        missing = [str(path) for path in self.members if not _is_there(path)]
        if missing:
            raise MembersMissingError(f"members are not trained to their end: {', '.join(missing)}")
        members = [load_model(path / BEST) for path in self.members]
        return Ensemble(members, mirrored=self.mirrored)

    def _checkpoints(self) -> list[Path]:
        return [path / BEST for path in self.members]


def _is_there(member: Path) -> bool:
    """Whether a member is trained to its end, or was taken as it was."""
    training = (member / INFO).is_file() and Run.open(member).info.get("status") != "finished"
    return (member / BEST / DESCRIPTION).is_file() and not training


@dataclass(frozen=True)
class CheckpointTrial(_UntrainedTrial):
    """A model that was trained elsewhere, measured as it is."""

    config: CheckpointConfig

    @property
    def kind(self) -> str:
        """The kind of the stored model."""
        return self._model().kind

    @property
    def fusion(self) -> str | None:
        """That of the stored model, where it has one."""
        return self._model().describe().get("fusion")

    @property
    def temperature(self) -> float:
        """The model's own on data that it was not fitted on; on its own data, as of all others."""
        model = self._model()
        trained_on = model.metadata.provenance.get("data", {}).get("source", "")
        return 1.0 if same_source(trained_on, self.data.data) else model.temperature

    def settings(self) -> dict[str, Any]:
        """Which checkpoint, and what it is measured on."""
        return without_place(self.config)

    def check(self) -> None:
        """Looks for the model."""
        find_model(self.config.checkpoint)

    def _model(self) -> Model:
        return load(self.config.checkpoint)

    def _checkpoints(self) -> list[Path]:
        return [checkpoint_folder(find_model(self.config.checkpoint))]


def trial_of(study: StudyConfig, folder: Path, name: str, seed: int) -> Trial:
    """The trial of one model of a study with one seed.

    Args:
        study: The study.
        folder: Its directory.
        name: Of the model.
        seed: Of the run.
    """

    def place(model: str) -> Path:
        return folder / model / f"seed-{seed}"

    config: ModelConfig = study.model(name, seed)
    if isinstance(config, EnsembleConfig):
        members = tuple(place(member) for member in config.ensemble)
        data = study.data_of(name)
        return EnsembleTrial(
            name, seed, place(name), data, members, config.ensemble, config.mirrored
        )
    if isinstance(config, CheckpointConfig):
        return CheckpointTrial(name, seed, place(name), config.data, config)
    return TrainingTrial(name, seed, place(name), config.data, config)


def without_place(config: RunConfig | CheckpointConfig) -> dict[str, Any]:
    """A configuration in plain values, without the folder of its data."""
    content: dict[str, Any] = plain(replace(config, data=replace(config.data, data_dir=None)))
    return content
