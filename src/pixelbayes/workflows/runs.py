"""A run: one directory that holds a training's configuration, progress and results.

runs/NAME/config.yaml    everything that was asked for; can be given back with --config
runs/NAME/run.json       status, seed, versions, commit, command, times, best epoch, classes
runs/NAME/metrics.csv    one row per epoch
runs/NAME/tensorboard/   the same for TensorBoard
runs/NAME/best/          checkpoint of the epoch with the lowest validation bits/dim
runs/NAME/last/          checkpoint of the last epoch
runs/NAME/resume.ckpt    the training's own state, for --resume only
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import yaml

from pixelbayes.training.config import OptimConfig, TrainingConfig
from pixelbayes.training.metrics import COLUMNS, read_metrics

__all__ = ["SECTIONS", "DataConfig", "NetworkConfig", "Run", "RunConfig", "RunError"]

CONFIG, INFO, METRICS = "config.yaml", "run.json", "metrics.csv"
STATUSES = ("running", "stopped", "finished", "failed")

Section = TypeVar("Section")


class RunError(ValueError):
    """A run directory, or a configuration, cannot be used as it is."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which images, and how they get their size.  Checked when they are loaded."""

    data: str = "digits"
    """digits, cpen455, cifar10, folder:PATH, csv:PATH or npz:PATH."""
    data_dir: str | None = None
    """Folder of cpen455 or cifar10.  None: downloaded."""
    image_size: tuple[int, int] | None = None
    """Rows and columns in pixels.  None: the source's own."""
    channels: int | None = None
    """1 (grey) or 3 (RGB).  None: the source's own."""
    filter: str = "bilinear"
    """Filter of the resizing: box, bilinear, bicubic or lanczos."""
    geometry: str = "crop"
    """crop (the largest centred part with the right aspect) or stretch."""
    allow_upscaling: bool = False
    """Accepts originals that are smaller than the image size."""
    split_seed: int = 0
    """Decides which image goes into which split, and which ones --limit keeps."""
    skip_bad_files: bool = False
    """Goes on without image files that cannot be read."""
    limit: int | None = None
    """At most this many images of each split."""

    def __post_init__(self) -> None:
        if self.image_size is not None:
            object.__setattr__(self, "image_size", tuple(self.image_size))


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
    fusion: str = "gated"
    """Where the label enters: none, early, gated, late, joint, film, gated-preact or
    gated-gates."""
    embedding: int = 32
    """Size of the label embedding."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that decides a run.

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
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise RunError(f"--seed is a whole number, 0 or more, got {self.seed!r}")

    def to_yaml(self) -> str:
        """Returns text that `from_yaml` turns back into an equal configuration."""
        return yaml.safe_dump(_plain(asdict(self)), sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls, text: str, origin: str = CONFIG) -> RunConfig:
        """Reads a configuration; what it does not mention has its default.

        Args:
            text: YAML with the sections data, network, optim and training, and the seed.
            origin: Where the text is from, for error messages.

        Raises:
            RunError: If it is no such YAML, has unknown keys or values that are not accepted.
        """
        try:
            content = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise RunError(f"{origin} is not YAML: {error}") from error
        content = _mapping(content, cls, origin)
        values: dict[str, Any] = {}
        for name, section in SECTIONS.items():
            if name in content:
                values[name] = _section(section, content[name], f"{name} in {origin}")
        if "seed" in content:
            values["seed"] = content["seed"]
        return cls(**values)

    @classmethod
    def read(cls, path: str | Path) -> RunConfig:
        """Reads a configuration file.

        Raises:
            RunError: If it cannot be read, or as for `from_yaml`.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"cannot read the configuration {path}: {error}") from error
        return cls.from_yaml(text, str(path))


SECTIONS: Mapping[str, type] = {
    "data": DataConfig,
    "network": NetworkConfig,
    "optim": OptimConfig,
    "training": TrainingConfig,
}


class Run:
    """A run directory.

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
            RunError: If it is none, with what is missing.
        """
        path = Path(path)
        if not path.is_dir():
            raise RunError(f"no run in {path}: there is no such directory")
        missing = [name for name in (CONFIG, INFO) if not (path / name).is_file()]
        if missing:
            raise RunError(f"no run in {path}: {' and '.join(missing)} missing there")
        return cls(path, RunConfig.read(path / CONFIG))

    @property
    def info(self) -> dict[str, Any]:
        """Content of run.json; empty before the run has written it.

        Raises:
            RunError: If the file cannot be read.
        """
        path = self.path / INFO
        if not path.exists():
            return {}
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {path}: {error}") from error
        if not isinstance(content, dict):
            raise RunError(f"{path} does not describe a run")
        return content

    @property
    def best(self) -> Path:
        """Checkpoint with the lowest validation bits/dim."""
        return self.path / "best"

    @property
    def last(self) -> Path:
        """Checkpoint of the last epoch."""
        return self.path / "last"

    @property
    def resume_state(self) -> Path:
        """State from which training continues."""
        return self.path / "resume.ckpt"

    def metrics(self) -> dict[str, list[float | None]]:
        """Columns of metrics.csv, one entry per epoch; None where nothing was measured."""
        rows = read_metrics(self.path / METRICS)
        return {name: [row.get(name) for row in rows] for name in COLUMNS}

    def write_config(self, config: RunConfig) -> None:
        """Replaces config.yaml."""
        self.config = config
        _write(self.path / CONFIG, config.to_yaml())

    def update_info(self, **changes: Any) -> None:
        """Changes entries of run.json, which appears whole or not at all."""
        _write(self.path / INFO, json.dumps({**self.info, **changes}, indent=2) + "\n")


def _mapping(content: Any, cls: type, origin: str) -> dict[str, Any]:
    """Checks that `content` has no keys but the fields of `cls`."""
    known = [field.name for field in fields(cls)]
    if not isinstance(content, dict):
        raise RunError(f"{origin} holds names and values ({', '.join(known)}), got {content!r}")
    for name in content:
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise RunError(f"unknown key {name!r} in {origin}; known: {', '.join(known)}{hint}")
    return content


def _section(cls: type[Section], content: Any, origin: str) -> Section:
    try:
        return cls(**_mapping(content or {}, cls, origin))
    except RunError:
        raise
    except (TypeError, ValueError) as error:
        raise RunError(f"{origin}: {error}") from error


def _plain(value: Any) -> Any:
    """Tuples as lists, all the way down: safe YAML has no tuples."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
