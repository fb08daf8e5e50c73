"""The contenders of a study: how a model of either kind is trained, continued and loaded.

A contender is one model with one seed and the directory of its run.
"""

from __future__ import annotations

import shutil
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pixelbayes.core import PixelCNNConfig
from pixelbayes.report import Kind
from pixelbayes.workflows.baseline import BaselineConfig, BaselineRun, train_baseline
from pixelbayes.workflows.configuration import RunError
from pixelbayes.workflows.recorded import require_same_settings, require_unfinished
from pixelbayes.workflows.runs import Run, RunConfig, RunDirectory
from pixelbayes.workflows.study.config import ModelConfig
from pixelbayes.workflows.study.trained import Trained, TrainedPixelCNN, TrainedResNet
from pixelbayes.workflows.train import train

__all__ = ["Contender", "contender"]

BEGINNINGS = ("config.yaml", "config.yaml.partial", "run.json.partial", "tensorboard")
"""What is in a run directory before run.json is."""
QUIET_FACTOR = 3.0  # a live training writes once an epoch; three times that long is silence
QUIET_SECONDS = 60.0  # before the first epoch is done, and for epochs of seconds


@dataclass(frozen=True)
class Contender(ABC):
    """One model of a study with one seed, and the directory of its run."""

    kind: ClassVar[Kind]
    directory: ClassVar[type[RunDirectory[Any]]]

    name: str
    seed: int
    path: Path
    config: Any

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"

    @property
    def fusion(self) -> str | None:
        """Where the label enters; None where the kind of model has no such choice."""
        return None

    @abstractmethod
    def check(self) -> None:
        """Refuses settings, or a missing package, that would only be found out in training."""

    @abstractmethod
    def train(self, config: ModelConfig, *, resume: bool, progress: bool) -> None:
        """Trains, into the directory."""

    @abstractmethod
    def load(self, folder: Path, device: str) -> Trained:
        """Loads one of the run's checkpoints."""

    def find(self) -> RunDirectory[Any] | None:
        """The run as it is on disk, None where it has not begun.

        Raises:
            RunError: If there is something else, or a run with other settings or of other length.
        """
        if not self.path.exists():
            return None
        if all(entry.name in BEGINNINGS for entry in self.path.iterdir()):
            return None  # stopped before its first moment
        try:
            run = self.directory.open(self.path)
        except RunError as error:
            raise RunError(f"{error}; remove {self.path} to train {self.name} anew") from error
        require_same_settings(run, self.config)
        self._require_same_length(run)
        return run

    def is_finished(self, run: RunDirectory[Any]) -> bool:
        """Whether the training has nothing left to do."""
        try:
            require_unfinished(run, self.config.training)
        except RunError:
            return True
        return False

    def is_elsewhere(self, run: RunDirectory[Any]) -> bool:
        """Whether another program seems to be training this run at this moment.

        Only a guess: the run says that it is running, and it was written to lately.  A study's own
        runs are never elsewhere, because a study directory is locked.
        """
        info = run.info
        if info.get("status") != "running" or " study " in f" {info.get('command', '')} ":
            return False
        longest = max((s or 0.0 for s in run.metrics()["seconds"]), default=0.0)
        written = max(file.stat().st_mtime for file in self.path.iterdir())
        return time.time() - written < max(QUIET_SECONDS, QUIET_FACTOR * longest)

    def continue_training(
        self, run: RunDirectory[Any] | None, *, seconds: float | None, progress: bool
    ) -> None:
        """Trains from where the run is.

        Args:
            run: From `find`.
            seconds: Time limit; None: there is none.
            progress: Whether to show progress on stderr.

        Raises:
            RunStopped, DivergedError, DatasetError: As `pixelbayes.workflows.train.train`.
        """
        config = self.config
        if seconds is not None:
            limit = f"{max(seconds, 1.0):.0f}s"
            config = replace(config, training=replace(config.training, max_time=limit))
        if run is None and self.path.exists():
            shutil.rmtree(self.path)  # `find` saw that only `BEGINNINGS` are in it
        self.train(config, resume=run is not None, progress=progress)

    def _require_same_length(self, run: RunDirectory[Any]) -> None:
        wanted, done = self.config.training.epochs, len(run.metrics()["epoch"])
        before = run.config.training.epochs
        remedy = "ask for as many epochs as before, or give another --output"
        if done > wanted:
            raise RunError(
                f"{self.path} has trained {done} epochs, more than the {wanted} asked for; {remedy}"
            )
        if done and before != wanted and self.config.optim.schedule == "cosine":
            raise RunError(
                f"{self.path} is on a cosine schedule that ends at epoch {before}, but {wanted} "
                f"epochs are asked for; {remedy}"
            )


class _PixelCNN(Contender):
    kind = "pixelcnn"
    directory = Run

    @property
    def fusion(self) -> str | None:
        return str(self.config.network.fusion)

    def check(self) -> None:
        try:
            PixelCNNConfig(classes=1, **asdict(self.config.network))
        except ValueError as error:
            raise RunError(f"models.{self.name}: {error}") from error

    def train(self, config: ModelConfig, *, resume: bool, progress: bool) -> None:
        assert isinstance(config, RunConfig)
        train(config, self.path, resume=resume, progress=progress)

    def load(self, folder: Path, device: str) -> Trained:
        return TrainedPixelCNN(folder, device)


class _ResNet(Contender):
    kind = "resnet18"
    directory = BaselineRun

    def check(self) -> None:
        from pixelbayes.baselines import ResNet18

        ResNet18(classes=2, channels=1)  # says how to install what it needs

    def train(self, config: ModelConfig, *, resume: bool, progress: bool) -> None:
        assert isinstance(config, BaselineConfig)
        train_baseline(config, self.path, resume=resume, progress=progress)

    def load(self, folder: Path, device: str) -> Trained:
        return TrainedResNet(folder, device)


def contender(name: str, seed: int, config: ModelConfig, folder: Path) -> Contender:
    """The contender of a model's configuration.

    Args:
        name: Of the model.
        seed: Of the run.
        config: Of the run, with this seed.
        folder: The study directory.
    """
    kind = _ResNet if isinstance(config, BaselineConfig) else _PixelCNN
    return kind(name, seed, folder / name / f"seed-{seed}", config)
