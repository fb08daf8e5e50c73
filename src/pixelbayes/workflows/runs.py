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
runs/NAME/.lock          locked by the training as long as it runs

The files are checked against each other: run.json knows the digests of config.yaml and split.json,
it and the last checkpoint the number of rows of metrics.csv, so that half a file is damage and not
other settings.  run.json comes first, and says that the run is new until its training begins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pixelbayes.io import (
    PARTIAL,
    FormatError,
    Reading,
    naming,
    read_json,
    write_json,
    write_whole,
)
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

__all__ = [
    "DataConfig",
    "NetworkConfig",
    "Run",
    "RunConfig",
    "RunError",
    "is_locked",
    "locked",
    "require_free_for_run",
]

CONFIG, INFO, METRICS, SPLIT = "config.yaml", "run.json", "metrics.csv", "split.json"
LOCK = ".lock"
BEFORE_TRAINING = (
    *(name + end for name in (INFO, CONFIG, SPLIT) for end in ("", PARTIAL)),
    LOCK,
    "tensorboard",
)
"""What a run's directory holds before its first step."""
NEW = "new"
"""Status of a run that was made, and whose training has not begun."""


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
        """Makes the directory of a new run, also where one was killed before its training began.

        Raises:
            RunError: If there is something else already.
        """
        path = Path(path)
        require_free_for_run(path)
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path, config)
        write_json(path / INFO, {"status": NEW})
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
        if not info or info.get("status") == NEW:
            why = "its training has not begun" if info else f"{INFO} is empty, so it is damaged"
            raise RunError(f"no run in {path}: {why}")
        recorded = info.get("config_sha256")
        if recorded not in (None, _digest(text)):
            raise RunError(
                f"{path / CONFIG} is not the file that {INFO} was written with: it was changed or "
                "damaged. Restore it; to train with other settings, give it to --config of a new "
                "run"
            )
        # Without a digest but for one: killed while it was replaced.
        whole = recorded is None and "config_sha256" in info
        reading = Reading.CURRENT if whole else Reading.CONFIGURATION
        run = cls(path, RunConfig.from_yaml(text, str(path / CONFIG), reading))
        rows, epochs = len(run.metrics()["epoch"]), info.get("epochs", 0)
        if rows < max(epochs, run._saved_epoch()):
            known = f"{INFO} knows of {epochs}" if rows < epochs else "last/ is of a later one"
            raise RunError(
                f"{path / METRICS} is damaged: it has {rows} rows, one for each epoch, but "
                f"{known}; restore it from a copy"
            )
        return run

    @property
    def kind(self) -> str:
        """Of the model, as in `pixelbayes.models.MODELS`."""
        return self.config.model

    @property
    def criterion(self) -> Criterion:
        """What decides which epoch is best."""
        return criterion_of(self.config.kind, self.config.training.objective)

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
        """Replaces config.yaml, unless it is that already."""
        self.config = config
        text, path = config.to_yaml(), self.path / CONFIG
        digest = _digest(text)
        if path.is_file():
            if self.info.get("config_sha256") == digest:
                return
            self.update_info(config_sha256=None)  # until both files are written
        write_whole(path, text)
        self.update_info(config_sha256=digest)

    def update_info(self, **changes: Any) -> None:
        """Changes entries of run.json, which appears whole or not at all."""
        write_json(self.path / INFO, {**self.info, **changes})

    def _saved_epoch(self) -> int:
        """Epochs that the last checkpoint has behind it; 0 where there is none.

        Raises:
            RunError: If it is damaged.
        """
        try:
            description = read_json(self.last / "model.json", "a model")
        except FileNotFoundError:
            return 0
        except FormatError as error:
            raise RunError(str(error)) from error
        provenance = description.get("provenance")
        epoch = provenance.get("epoch") if isinstance(provenance, dict) else None
        return epoch if isinstance(epoch, int) else 0


def require_free_for_run(path: Path) -> None:
    """Refuses a path that holds more than a run whose training has not begun.

    Raises:
        RunError: If so, with what to do.
    """
    if not path.exists() or (path.is_dir() and not _holds_something(path)):
        return
    what = "holds a run" if (path / INFO).exists() else "exists and is not empty"
    raise RunError(
        f"{path} {what}; continue it with --resume {path}, or choose another --name or --output"
    )


def _holds_something(folder: Path) -> bool:
    names = {entry.name for entry in folder.iterdir()}
    return not names <= ({*BEFORE_TRAINING} if is_new(folder) else {INFO + PARTIAL, LOCK})


def is_new(folder: Path) -> bool:
    """Whether a directory holds a run whose training has not begun."""
    try:
        return read_json(folder / INFO, "a run").get("status") == NEW
    except (FileNotFoundError, FormatError):
        return False


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a second call out of a directory; the system ends the lock with the process.

    Nothing keeps anybody out where neither the system nor the disk knows such locks.

    Raises:
        RunError: If another call is at work there.
        OSError: If there can be no such directory; it names the directory.
    """
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        yield
        return
    with naming(folder, folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(
                f"another call is at work in {folder}; wait for its end, or give another --output"
            ) from error
        except OSError:  # a disk without locks, as some of a network are
            pass
        yield


def is_locked(folder: Path) -> bool:
    """Whether another call is at work in a directory, as far as `locked` can tell."""
    if not (folder / LOCK).exists():
        return False
    try:
        with locked(folder):
            return False
    except RunError:
        return True


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read_info(folder: Path) -> dict[str, Any]:
    try:
        return read_json(folder / INFO, "a run")
    except FileNotFoundError:
        return {}
    except FormatError as error:
        raise RunError(str(error)) from error
