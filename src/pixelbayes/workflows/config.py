"""Configurations: frozen dataclasses of sections, read from YAML and written to it.

What a file does not mention has its default; a key that is unknown is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from yaml.constructor import ConstructorError

from pixelbayes.errors import PixelBayesError
from pixelbayes.io import FormatError, Reading, plain, structure
from pixelbayes.models.settings import NetworkConfig
from pixelbayes.training.config import OptimConfig, TrainingConfig

if TYPE_CHECKING:
    from pixelbayes.data import LoadOptions
    from pixelbayes.models import TrainedNetwork

__all__ = [
    "Configuration",
    "DataConfig",
    "NetworkConfig",
    "RunConfig",
    "RunError",
    "in_words_of_today",
    "read_configuration",
    "require_seed",
    "require_size",
    "trainable",
]

Config = TypeVar("Config", bound="Configuration")

PIXELCNN = "pixelcnn"
# As in pixelbayes.data.transforms, which needs torch: help does without it.
FILTERS = ("box", "bilinear", "bicubic", "lanczos")
GEOMETRIES = ("crop", "stretch")
MERGE = "tag:yaml.org,2002:merge"  # of the key <<
# As in pixelbayes.data.sources.base.
NEAR_DUPLICATES = ("tell", "keep-together", "drop", "ignore")


class RunError(PixelBayesError):
    """A run directory, or a configuration, cannot be used as it is."""


class _Loader(yaml.SafeLoader):
    """Reads YAML as PyYAML does, but refuses a key that is given twice, as YAML itself does."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key, _ in node.value:  # before merge keys add what a mapping may well replace
            if not isinstance(key, yaml.ScalarNode) or key.tag == MERGE:
                continue
            name, line = self.construct_object(key), key.start_mark.line + 1
            if name in lines:
                raise yaml.YAMLError(
                    f"line {line} gives {key.value!r} a second time, after line {lines[name]}; "
                    "keep one of them"
                )
            lines[name] = line
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:
            # What looks like a date, or is tagged as one, and is none, and the like.
            raise ConstructorError(None, None, f"no value: {error}", node.start_mark) from error


class Configuration:
    """Everything that decides something, as a dataclass: its sections are dataclasses too."""

    def to_yaml(self) -> str:
        """Returns text that `from_yaml` turns back into an equal configuration."""
        return yaml.safe_dump(plain(self), sort_keys=False, allow_unicode=True)

    @classmethod
    def from_yaml(
        cls: type[Config],
        text: str,
        origin: str = "config.yaml",
        reading: Reading = Reading.CONFIGURATION,
    ) -> Config:
        """Reads a configuration; what it does not mention has its default.

        Args:
            text: YAML with the names of the fields.
            origin: Where the text is from, for error messages.
            reading: Whether it is a person's, or was written whole by this program.

        Raises:
            RunError: If it is no such YAML, has unknown keys or values that are not accepted.
        """
        try:
            content = yaml.load(text, _Loader)  # noqa: S506 (it is a SafeLoader)
        except yaml.YAMLError as error:
            raise RunError(f"{origin} is not YAML: {error}") from error
        except RecursionError as error:
            raise RunError(f"{origin} has too many levels of lists and mappings") from error
        return cls.from_plain({} if content is None else content, origin, reading)

    @classmethod
    def from_plain(
        cls: type[Config], content: Any, origin: str, reading: Reading = Reading.CONFIGURATION
    ) -> Config:
        """Reads a configuration from the plain values of YAML.

        Raises:
            RunError: As for `from_yaml`.
        """
        try:
            return structure(cls, content, origin, reading)
        except FormatError as error:
            raise RunError(str(error)) from error

    @classmethod
    def read(cls: type[Config], path: str | Path) -> Config:
        """Reads a configuration file.

        Raises:
            RunError: If it cannot be read, or as for `from_yaml`.
        """
        return cls.from_yaml(read_configuration(path), str(path))


@dataclass(frozen=True, kw_only=True)
class DataConfig(Configuration):
    """Which images, and how they get their size.

    Raises:
        RunError: On construction, if there is no such source, or a field has a value that is not
            accepted; whether the images are there shows when they are loaded.
    """

    data: str = "digits"
    """digits, cpen455, cifar10, folder:PATH, csv:PATH or npz:PATH."""
    data_dir: str | None = None
    """Folder of cpen455 or cifar10.  None: downloaded."""
    image_size: tuple[int, int] | None = None
    """Rows and columns in pixels.  None: the source's own; of photographs their common size up to
    64x64, else 32x32."""
    channels: int | None = None
    """1 (grey) or 3 (RGB).  None: the source's own."""
    filter: str = field(default="bilinear", metadata={"choices": FILTERS})
    """Filter of the resizing."""
    geometry: str = field(default="crop", metadata={"choices": GEOMETRIES})
    """crop (the largest centred part with the right aspect) or stretch."""
    allow_upscaling: bool = False
    """Accepts originals that are smaller than the image size."""
    split_seed: int = 0
    """Decides which image goes into which split, and which ones limits and --set-aside take."""
    skip_bad_files: bool = False
    """Goes on without image files that cannot be read."""
    limit: int | None = None
    """At most this many images of each split."""
    train_limit: int | None = None
    """At most this many training images, in the proportions of the classes."""
    set_aside: int | None = None
    """So many training images, in the proportions of the classes, take the place of the validation
    images: to choose settings on, so that the validation images stay new to what is chosen."""
    near_duplicates: str = field(default="tell", metadata={"choices": NEAR_DUPLICATES})
    """Images saved again, rescaled or mirrored, in different splits: tell (a warning),
    keep-together (make splits that have each group on one side), drop (out of training), ignore."""

    def __post_init__(self) -> None:
        from pixelbayes.data import open_source  # with torch, which help does without

        if self.image_size is not None:
            object.__setattr__(self, "image_size", require_size("image_size", self.image_size))
        object.__setattr__(self, "split_seed", require_seed(self.split_seed, "split_seed"))
        try:
            open_source(self.data)  # without data_dir: a study's base may have that alone
            options = self.options()
            options.resize(native_size=(1, 1))
        except PixelBayesError as error:
            raise RunError(str(error)) from error
        for name in ("limit", "train_limit", "set_aside"):
            object.__setattr__(self, name, getattr(options, name))

    def options(self, crop_margin: int = 0) -> LoadOptions:
        """What to make of the source's images, with a margin of so many pixels around them.

        Raises:
            DatasetError: If a field has a value that is not accepted.
        """
        from pixelbayes.data import LoadOptions  # with torch

        return LoadOptions(
            image_size=self.image_size,
            channels=self.channels,
            filter=self.filter,
            geometry=self.geometry,
            allow_upscaling=self.allow_upscaling,
            crop_margin=crop_margin,
            seed=self.split_seed,
            skip_bad=self.skip_bad_files,
            limit=self.limit,
            train_limit=self.train_limit,
            set_aside=self.set_aside,
            near_duplicates=self.near_duplicates,
        )


@dataclass(frozen=True, kw_only=True)
class RunConfig(Configuration):
    """Everything that decides a run of one model, of any kind.

    Raises:
        RunError: On construction, if the seed is no whole number of 0 or more, the kind of model
            is unknown, or the network's settings are not those of the kind.
    """

    model: str = PIXELCNN
    """Kind of the model: pixelcnn, or resnet18 or diffusion, which take the settings of their
    networks from --config."""
    data: DataConfig = field(default_factory=DataConfig)
    network: Any = field(default=None, metadata={"section": NetworkConfig})
    """Settings of the network, of the class that its kind names; None: their defaults."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    seed: int = 0
    """Decides first weights, order of the images, augmentation and dropout."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", require_seed(self.seed))
        settings = self.kind.settings
        if self.network is None:
            object.__setattr__(self, "network", settings())
        elif not isinstance(self.network, settings):
            raise RunError(
                f"the network of a {self.kind.noun} is set by a {settings.__name__}, got "
                f"{self.network!r}"
            )

    @property
    def kind(self) -> type[TrainedNetwork[Any]]:
        """The class of the model.

        Raises:
            RunError: If there is no such kind, or it is not trained but put together.
        """
        kinds = trainable()
        if self.model not in kinds:
            raise RunError(f"model is one of: {', '.join(kinds)}; got {self.model!r}")
        return kinds[self.model]

    @property
    def fusion(self) -> str | None:
        """Where the label enters; None where the kind of model has no such choice."""
        return getattr(self.network, "fusion", None)

    @classmethod
    def from_plain(
        cls, content: Any, origin: str, reading: Reading = Reading.CONFIGURATION
    ) -> RunConfig:
        """See `Configuration.from_plain`; the section `network` is that of the kind of model."""
        if not isinstance(content, Mapping):
            names = ", ".join(item.name for item in fields(cls))
            raise RunError(f"{origin} holds names and values ({names}), got {content!r}")
        content = in_words_of_today(content, origin)
        network = content.pop("network", None)
        config = super().from_plain(
            {**content, "network": None} if reading is Reading.CURRENT else content, origin, reading
        )
        if network is None:
            return config
        try:
            settings: Any = structure(config.kind.settings, network, f"{origin}.network", reading)
        except FormatError as error:
            raise RunError(str(error)) from error
        object.__setattr__(config, "network", settings)
        return config


def trainable() -> dict[str, type[TrainedNetwork[Any]]]:
    """The kinds of models that are one network, which can be trained."""
    from pixelbayes.models import MODELS, TrainedNetwork

    return {name: kind for name, kind in MODELS.items() if issubclass(kind, TrainedNetwork)}


def read_configuration(path: str | Path) -> str:
    """The text of a configuration file.

    Raises:
        RunError: If it cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read the configuration {path}: {error}") from error


def require_seed(seed: Any, name: str = "--seed") -> int:
    """Returns a seed, an integer of any library, as an int.

    Raises:
        RunError: If it is no whole number of 0 or more, or too large a one.
    """
    from pixelbayes.data.naming import whole_number  # with torch, which help does without

    try:
        return whole_number(seed, f"{name} is a whole number, 0 or more")
    except PixelBayesError as error:
        raise RunError(str(error)) from error


def require_size(name: str, size: Any) -> tuple[int, int]:
    """Returns rows and columns as two ints.

    Raises:
        RunError: If they are not two whole numbers above 0.
    """
    from pixelbayes.data.naming import whole_number  # with torch, which help does without

    try:
        rows, columns = (whole_number(side, name, least=1) for side in size)
    except (TypeError, ValueError) as error:
        raise RunError(
            f"{name} is rows and columns, two whole numbers above 0, got {size!r}"
        ) from error
    return rows, columns


def in_words_of_today(content: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The settings of a run that are mentioned, as this version calls them.

    A section that is named and left empty is one that is not mentioned.  What versions before 0.1
    called a baseline is a kind of model like the others.

    Raises:
        RunError: If a setting is given under its old name and its new one.
    """
    content = {name: it for name, it in content.items() if it is not None}
    if "baseline" in content:
        if "model" in content:
            raise RunError(f"{origin} has model and baseline, which is its old name; keep one")
        content["model"] = content.pop("baseline")
    training = content.get("training", {})
    if "label_smoothing" in content and isinstance(training, Mapping):
        if "label_smoothing" in training:
            raise RunError(f"{origin} has label_smoothing outside and in training; keep the latter")
        content["training"] = {**training, "label_smoothing": content.pop("label_smoothing")}
    return content
