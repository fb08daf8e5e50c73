"""A run: one directory that holds a training's configuration, progress and results.

runs/NAME/config.yaml    everything that was asked for; can be given back with --config
runs/NAME/run.json       kind, status, seed, versions, commit, command, times, best epoch, classes
runs/NAME/split.json     which file of the data, by name and content, went to which split
runs/NAME/metrics.csv    one row per epoch
runs/NAME/tensorboard/   the same for TensorBoard
runs/NAME/best/          checkpoint of the epoch with the lowest validation loss
runs/NAME/last/          checkpoint of the last epoch
runs/NAME/epochs/0005/   checkpoints kept on the way, where --checkpoint-every asks for them
runs/NAME/resume.ckpt    the training's own state, for --resume only

The files are checked against each other: run.json knows the digest of config.yaml and the number of
rows of metrics.csv, so that half a file is damage and not other settings.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelbayes.io import FormatError, read_json, write_json, write_whole
from pixelbayes.training.metrics import Criterion, columns, criterion_of, read_metrics
from pixelbayes.workflows.config import (
    DataConfig,
    NetworkConfig,
    RunConfig,
    RunError,
    read_configuration,
)

if TYPE_CHECKING:
    from pixelbayes.data import SplitRecord

__all__ = ["DataConfig", "NetworkConfig", "Run", "RunConfig", "RunError"]

CONFIG, INFO, METRICS, SPLIT = "config.yaml", "run.json", "metrics.csv", "split.json"


class Run:
    """The directory of a run, whatever kind of model it trains.

    Attributes:
        path: The directory.
        config: What was asked for.
    """

    def __init__(self, path: Path, config: RunConfig) -> None:
        self.path = path
        self.config = config

    @classmethod
    def create(cls, path: str | Path, config: RunConfig) -> Run:
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
    def open(cls, path: str | Path) -> Run:
        """Opens the directory of an existing run.

        Raises:
            RunError: If it is none, with what is missing, or a file of it is damaged.
        """
        path = Path(path)
        if not path.is_dir():
            raise RunError(f"no run in {path}: there is no such directory")
        missing = [name for name in (CONFIG, INFO) if not (path / name).is_file()]
        if missing:
            raise RunError(f"no run in {path}: {' and '.join(missing)} missing there")
        text, info = read_configuration(path / CONFIG), _read_info(path)
        recorded = info.get("config_sha256")
        if recorded not in (None, _digest(text)):
            raise RunError(
                f"{path / CONFIG} is not the file that {INFO} was written with: it was changed or "
                "damaged. Restore it; to train with other settings, give it to --config of a new "
                "run"
            )
        run = cls(path, RunConfig.from_yaml(text, str(path / CONFIG)))
        rows, epochs = len(run.metrics()["epoch"]), info.get("epochs", 0)
        if rows < epochs:
            raise RunError(
                f"{path / METRICS} is damaged: it has {rows} rows, but {INFO} knows of {epochs} "
                "epochs; restore it from a copy"
            )
        return run

    @property
    def kind(self) -> str:
        """Of the model, as in `pixelbayes.models.MODELS`."""
        return self.config.model

    @property
    def criterion(self) -> Criterion:
        """What decides which epoch is best."""
        return criterion_of(self.config.kind)

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
        return {name: [row.get(name) for row in rows] for name in columns(self.criterion)}

    def write_split(self, record: SplitRecord) -> None:
        """Writes which file went to which split."""
        write_json(self.path / SPLIT, record.to_dict())

    def split(self) -> SplitRecord | None:
        """Which file went to which split; None in a run of a version that did not record it.

        Raises:
            RunError: If the record is damaged, or gone.
        """
        if self.info.get("split_sha256") != self.split_digest():
            raise RunError(
                f"{self.path / SPLIT} is missing, or not the file that {INFO} was written with; "
                "without it nobody knows which images were trained on. Restore it from a copy"
            )
        from pixelbayes.data import DatasetError, SplitRecord  # with torch, which help does without

        try:
            return SplitRecord.from_dict(read_json(self.path / SPLIT, "splits"))
        except FileNotFoundError:
            return None
        except (FormatError, DatasetError) as error:
            raise RunError(str(error)) from error

    def split_digest(self) -> str | None:
        """SHA-256 of the record of splits; None where there is none."""
        path = self.path / SPLIT
        return _digest(path.read_text(encoding="utf-8")) if path.is_file() else None

    def write_config(self, config: RunConfig) -> None:
        """Replaces config.yaml."""
        self.config = config
        text = config.to_yaml()
        begun = (self.path / INFO).exists()
        if begun:
            self.update_info(config_sha256=None)  # until both files are written
        write_whole(self.path / CONFIG, text)
        if begun:
            self.update_info(config_sha256=_digest(text))

    def update_info(self, **changes: Any) -> None:
        """Changes entries of run.json, which appears whole or not at all."""
        write_json(self.path / INFO, {**self.info, **changes})


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_info(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / INFO, "a run")
    except FileNotFoundError:
        return {}
    except FormatError as error:
        raise RunError(str(error)) from error
