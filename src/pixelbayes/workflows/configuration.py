"""Configurations: frozen dataclasses of sections, read from YAML and written to it.

What a file does not mention has its default; a key that is unknown is refused by name.
"""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, cast, get_type_hints

import yaml

from pixelbayes.training.config import TrainingConfig

__all__ = [
    "Configuration",
    "DataConfig",
    "RunError",
    "TrainingRequest",
    "read_configuration",
    "require_seed",
]

# As in pixelbayes.data.transforms, which needs torch: help does without it.
FILTERS = ("box", "bilinear", "bicubic", "lanczos")
GEOMETRIES = ("crop", "stretch")

Section = TypeVar("Section")
Config = TypeVar("Config", bound="Configuration")


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
    filter: str = field(default="bilinear", metadata={"choices": FILTERS})
    """Filter of the resizing."""
    geometry: str = field(default="crop", metadata={"choices": GEOMETRIES})
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


class Configuration:
    """Everything that decides a run, as a dataclass: its sections are dataclasses too."""

    def to_yaml(self) -> str:
        """Returns text that `from_yaml` turns back into an equal configuration."""
        return yaml.safe_dump(_plain(asdict(cast(Any, self))), sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(cls: type[Config], text: str, origin: str = "config.yaml") -> Config:
        """Reads a configuration; what it does not mention has its default.

        Args:
            text: YAML with the names of the fields.
            origin: Where the text is from, for error messages.

        Raises:
            RunError: If it is no such YAML, has unknown keys or values that are not accepted.
        """
        try:
            content = yaml.safe_load(text) or {}
        except yaml.YAMLError as error:
            raise RunError(f"{origin} is not YAML: {error}") from error
        values = _mapping(content, cls, origin)
        hints = get_type_hints(cls)
        return cls(
            **{
                name: _section(hints[name], value, f"{name} in {origin}")
                if is_dataclass(hints[name])
                else value
                for name, value in values.items()
            }
        )

    @classmethod
    def read(cls: type[Config], path: str | Path) -> Config:
        """Reads a configuration file.

        Raises:
            RunError: If it cannot be read, or as for `from_yaml`.
        """
        return cls.from_yaml(read_configuration(path), str(path))


def read_configuration(path: str | Path) -> str:
    """The text of a configuration file.

    Raises:
        RunError: If it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read the configuration {path}: {error}") from error


class TrainingRequest(Protocol):
    """What the configurations of all kinds of models have in common."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def data(self) -> DataConfig:
        """Which images."""

    @property
    def training(self) -> TrainingConfig:
        """How long, on what, augmented how."""

    @property
    def seed(self) -> int:
        """The run's seed."""


def require_seed(seed: Any) -> None:
    """Refuses what is no seed.

    Raises:
        RunError: If it is no whole number of 0 or more.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise RunError(f"--seed is a whole number, 0 or more, got {seed!r}")


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
