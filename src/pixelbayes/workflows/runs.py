"""A run: one directory that holds a training's configuration, progress and results.

runs/NAME/config.yaml    everything that was asked for; can be given back with --config
runs/NAME/run.json       kind, status, seed, versions, commit, command, times, best epoch, classes
runs/NAME/metrics.csv    one row per epoch
runs/NAME/tensorboard/   the same for TensorBoard
runs/NAME/best/          checkpoint of the epoch with the lowest validation loss
runs/NAME/last/          checkpoint of the last epoch
runs/NAME/epochs/0005/   checkpoints kept on the way, where --checkpoint-every asks for them
runs/NAME/resume.ckpt    the training's own state, for --resume only
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from pixelbayes.io import write_whole
from pixelbayes.training.config import OptimConfig, TrainingConfig
from pixelbayes.training.metrics import BITS_PER_DIM, Objective, columns, read_metrics
from pixelbayes.workflows.configuration import Configuration, DataConfig, RunError, require_seed

__all__ = [
    "SECTIONS",
    "DataConfig",
    "NetworkConfig",
    "Run",
    "RunConfig",
    "RunDirectory",
    "RunError",
]

CONFIG, INFO, METRICS = "config.yaml", "run.json", "metrics.csv"
# As in pixelbayes.core.fusion, which needs torch: help does without it.
FUSIONS = ("none", "early", "gated", "late", "joint", "film", "gated-preact", "gated-gates")
STATUSES = ("running", "stopped", "finished", "failed")

Config = TypeVar("Config", bound=Configuration)
Directory = TypeVar("Directory", bound="RunDirectory[Any]")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """`PixelCNNConfig` without what the data decide; the defaults suit one processor.

    The values are checked when the network is built.
    """

    features: int = 40
    """Channels of both streams."""
    blocks_per_stage: int = 1
    """Gated blocks between two changes of resolution."""
    mixtures: int = 5
    """Logistic components per pixel."""
    dropout: float = 0.5
    """Probability of dropping a feature inside a gated block, in [0, 1)."""
    fusion: str = field(default="gated", metadata={"choices": FUSIONS})
    """Where the label enters."""
    embedding: int = 32
    """Size of the label embedding."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(Configuration):
    """Everything that decides a run of a PixelCNN++.

    Raises:
        RunError: On construction, if the seed is no whole number of 0 or more.
    """

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = 0
    """Decides first weights, order of the images, augmentation and dropout."""

    def __post_init__(self) -> None:
        require_seed(self.seed)


SECTIONS: Mapping[str, type] = {
    "data": DataConfig,
    "network": NetworkConfig,
    "optim": OptimConfig,
    "training": TrainingConfig,
}


class RunDirectory(Generic[Config]):
    """The directory of a run, whatever kind of model it trains.

    Attributes:
        kind: What is trained, as in run.json.
        objective: What the training minimises.
        path: The directory.
        config: What was asked for.
    """

    kind: ClassVar[str]
    objective: ClassVar[Objective]
    configuration: ClassVar[type[Configuration]]

    def __init__(self, path: Path, config: Config) -> None:
        self.path = path
        self.config = config

    @classmethod
    def create(cls: type[Directory], path: str | Path, config: Any) -> Directory:
        """Makes the directory of a new run.

        Raises:
            RunError: If there is something already.
        """
        path = Path(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            what = "holds a run" if (path / INFO).exists() else "exists and is not empty"
            raise RunError(
                f"{path} {what}; continue it with --resume {path}, or choose another --name or "
                "--output"
            )
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path, config)
        run.write_config(config)
        return run

    @classmethod
    def open(cls: type[Directory], path: str | Path) -> Directory:
        """Opens the directory of an existing run.

        Raises:
            RunError: If it is none, with what is missing, or that of another kind of model.
        """
        path = Path(path)
        if not path.is_dir():
            raise RunError(f"no run in {path}: there is no such directory")
        missing = [name for name in (CONFIG, INFO) if not (path / name).is_file()]
        if missing:
            raise RunError(f"no run in {path}: {' and '.join(missing)} missing there")
        found = kind_of(path)
        if found != cls.kind:
            raise RunError(f"{path} holds a run of a {found}; this needs one of a {cls.kind}")
        return cls(path, cls.configuration.read(path / CONFIG))

    @property
    def info(self) -> dict[str, Any]:
        """Content of run.json; empty before the run has written it.

        Raises:
            RunError: If the file cannot be read.
        """
        return _read_info(self.path)

    @property
    def best(self) -> Path:
        """Checkpoint with the lowest validation loss."""
        return self.path / "best"

    @property
    def last(self) -> Path:
        """Checkpoint of the last epoch."""
        return self.path / "last"

    @property
    def kept(self) -> dict[int, Path]:
        """Checkpoints kept on the way, by the number of epochs done, in that order."""
        folders = sorted((self.path / "epochs").glob("[0-9]*"))
        return {int(folder.name): folder for folder in folders if folder.name.isdecimal()}

    @property
    def resume_state(self) -> Path:
        """State from which training continues."""
        return self.path / "resume.ckpt"

    def metrics(self) -> dict[str, list[float | None]]:
        """Columns of metrics.csv, one entry per epoch; None where nothing was measured."""
        rows = read_metrics(self.path / METRICS)
        return {name: [row.get(name) for row in rows] for name in columns(self.objective)}

    def write_config(self, config: Config) -> None:
        """Replaces config.yaml."""
        self.config = config
        write_whole(self.path / CONFIG, config.to_yaml())

    def update_info(self, **changes: Any) -> None:
        """Changes entries of run.json, which appears whole or not at all."""
        write_whole(self.path / INFO, json.dumps({**self.info, **changes}, indent=2) + "\n")


class Run(RunDirectory[RunConfig]):
    """The run of a PixelCNN++."""

    kind = "pixelcnn"
    objective = BITS_PER_DIM
    configuration = RunConfig


def kind_of(path: Path) -> str:
    """What the run in a directory trains, "pixelcnn" where it does not say.

    Raises:
        RunError: If run.json cannot be read.
    """
    return str(_read_info(path).get("kind", Run.kind))


def _read_info(folder: Path) -> dict[str, Any]:
    path = folder / INFO
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} does not describe a run")
    return content
